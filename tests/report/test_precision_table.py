"""The table and lines of the precision audit, from a manifest alone."""

from pathlib import Path
from typing import Any

from ripplestats.report.precision_table import precision_lines, write_precision
from ripplestats.store.run_directory import Run
from tests.store.synthetic_run import make_run


def audit(warning: str = "", n_rates: int = 3) -> dict[str, Any]:
    """An audit of one outcome in two arms."""
    rates = [(1 + number) / 100 for number in range(n_rates)]
    rows = [(arm, rate) for arm in ("top", "random") for rate in rates]
    return {
        "arithmetic": "bfloat16", "reference": "float32", "prompts": [1, 4], "layers": [1, 20], "replacement": "median",
        "site": "pre", "limits": {"bias": 0.05, "errors": 3.0, "spread": 0.5}, "warning": warning,
        "verdict": {"arm": "top", "metric": "delta_logprob", "rate": 0.01, "bias": -0.0123, "bias_error": None,
                    "plateau": 0.5, "drift_sd": 0.1, "effect_sd": 1.0},
        "drift": {
            "arm": [arm for arm, _ in rows], "metric": ["delta_logprob"] * len(rows), "rate": [rate for _, rate in rows],
            "n_cells": [4] * len(rows), "drift_mean": [0.0000123] * len(rows), "drift_error": [None] * len(rows),
            "drift_sd": [0.034] * len(rows), "drift_largest": [0.07] * len(rows), "effect_mean": [-0.5] * len(rows),
            "effect_sd": [0.9] * len(rows),
        },
    }  # fmt: skip


def table(run: Run) -> str:
    return (run.path / "tables" / "precision.tex").read_text(encoding="utf-8")


def test_the_table_has_a_row_a_rate_of_the_main_arm(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    run.update(precision=audit())
    write_precision(run)
    rows = [line for line in table(run).splitlines() if line.startswith("drop in log-probability")]
    assert len(rows) == 3
    # Numbers are plain, and what is undefined is a dash.
    assert r"1.0~\% & 0.000012 & -- & 0.034 & 0.07 & $-$0.5 & 0.9 \\" in rows[0]
    assert "2 prompts drawn at random $\\times$ blocks 1, 20" in table(run)
    assert "neither is" in table(run)


def test_of_a_long_grid_few_rates_are_shown(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    run.update(precision=audit(n_rates=90))
    write_precision(run)
    rows = [line for line in table(run).splitlines() if line.startswith("drop in log-probability")]
    assert [row.split(" & ")[1] for row in rows] == [rf"{rate}.0~\%" for rate in (1, 2, 5, 10, 20, 50, 90)]


def test_a_run_without_an_audit_has_no_table_and_no_line(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    run.update(precision=audit())
    write_precision(run)
    run.update(precision=None)
    write_precision(run)
    assert not (run.path / "tables" / "precision.tex").exists()
    assert precision_lines(run.manifest) == []


def test_the_summary_has_the_figures_or_the_warning() -> None:
    (line,) = precision_lines({"precision": audit()})
    assert "bfloat16 differs from float32 by at most −0.012 in the mean (standard error undefined; plateau 0.5)" in line
    assert precision_lines({"precision": audit("bfloat16 has a drift")}) == ["Warning: bfloat16 has a drift."]
