"""Each script of analyses/ writes the file of its name from a run directory, with that run's numbers."""

import importlib
import re
import sys
from pathlib import Path

import pandas as pd
import pytest

from ripplestats.errors import InputError
from tests.analyses.conftest import ANALYSES, Built

pytestmark = pytest.mark.long

#: Not of a run: shared code, the entry for all scripts, and the research note's own experiment, which needs a model.
OTHERS = {"__main__", "from_run", "paper_parts", "seed"}
SCRIPTS = sorted(path.stem for path in ANALYSES.glob("*.py") if path.stem not in OTHERS)


def estimate(run: Built, **wanted: object) -> pd.Series:
    rows = run.run.estimates()
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    return rows.iloc[0]


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_writes_the_file_of_its_name(script: str, first: Built) -> None:
    assert [path for path in first.out.iterdir() if path.stem == script and path.stat().st_size > 0]


def test_all_scripts_are_run_for_the_paper() -> None:
    import paper_parts

    assert sorted(module.__name__ for module in (*paper_parts.OF_RUN, *paper_parts.OF_RESULTS)) == SCRIPTS


@pytest.mark.parametrize("script", ["threshold", "calibration"])
def test_a_script_runs_alone_from_the_command_line(
    script: str, first: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module(script)
    monkeypatch.setattr(sys, "argv", [f"analyses/{script}.py", str(first.run.path), "--out", str(tmp_path)])
    main = module.main if hasattr(module, "main") else module.main_of_results
    assert main(module.write, module.__doc__) == 0
    assert str(tmp_path) in capsys.readouterr().out
    assert (tmp_path / f"{script}.tex").read_text(encoding="utf-8") == first.texts[script]


def test_a_folder_that_is_no_run_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import threshold

    assert threshold.main(threshold.write, "", [str(tmp_path), "--out", str(tmp_path)]) == InputError.exit_code
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_the_threshold_of_table_and_prose_is_that_of_the_estimates(first: Built) -> None:
    row = estimate(first, quantity="threshold", arm="top", metric="delta_logprob", layer="all")
    shown = f"{100 * row['estimate']:.1f}"
    limits = f"[{100 * row['conf_low']:.1f}, {100 * row['conf_high']:.1f}]"
    assert f"{shown} & {limits}" in first.texts["threshold"]
    assert rf"\newcommand{{\ThresholdEstimate}}{{{shown}~\% of neurons {limits}}}" in first.texts["prose_numbers"]


def test_the_decisions_are_those_of_the_claims(second: Built) -> None:
    claims = pd.read_csv(second.run.path / "claims.csv", dtype={"layer": str})
    decided = claims[(claims["layer"] == "all") & claims["decision"].notna()].set_index("claim")["decision"]
    assert rf"\ClaimThresholdVerdict}}{{{decided['2 threshold']}}}" in second.texts["prose_numbers"]
    assert rf"\ClaimAgainstZeroVerdict}}{{{decided['6 median against zero']}}}" in second.texts["prose_numbers"]
    assert r"\ClaimAgainstMeanVerdict}{not tested}" in second.texts["prose_numbers"]


def test_what_a_run_lacks_is_said_in_words(first: Built, second: Built) -> None:
    assert "keep\\_top is not in this run" in first.texts["sufficiency"]
    assert "the only replacement in this run is the median" in first.texts["replacement"]
    assert r"\begin{tabular}" in second.texts["sufficiency"]
    assert r"\begin{tabular}" in second.texts["replacement"]


def test_macros_have_names_that_tex_allows_and_none_twice(first: Built) -> None:
    names = re.findall(r"\\newcommand\{\\([^}]*)\}", first.texts["prose_numbers"])
    assert len(names) == len(set(names)) > 80
    assert all(name.isalpha() for name in names)
    assert not re.search(r"\bnan\b", first.texts["prose_numbers"])
