"""The specification curve as a figure and a table: written, not blank, and what they say is what the frame holds."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from ripplestats.fits.specification_result import SpecificationCurve
from ripplestats.fits.specifications import specification_curve
from ripplestats.report.specification_curve import (
    draw_specification_curve,
    specification_table,
    write_specification_curve,
)
from ripplestats.store.run_directory import Run
from ripplestats.store.sealed import write_sealed
from tests.rendering.tex import compile_tex, needs_pdflatex, text_of
from tests.store.synthetic_run import synthetic_effects, synthetic_manifest

EVIL = r"evil_% & # \input{x} $"


@pytest.fixture(scope="module")
def curve() -> SpecificationCurve:
    effects = synthetic_effects(range(12), layers=(0, 1, 2, 3), replacements=("median", "zero"))
    return specification_curve(pd.DataFrame(effects).assign(kl=0.0), n_boot=50)


@pytest.fixture(scope="module")
def run(curve: SpecificationCurve, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("specifications") / "run"
    folder.mkdir()
    manifest = {"format": "ripplestats run 1", "definition": {}, **synthetic_manifest(EVIL)}
    write_sealed(folder / "manifest.json", manifest)
    run = Run(folder)
    write_specification_curve(run, curve)
    return run


def test_figure_is_written_and_not_blank(run: Run) -> None:
    pixels = imread(run.path / "figures" / "specification_curve.png")[..., :3]
    assert 0.03 < (pixels < 0.98).any(axis=2).mean() < 0.6
    assert (np.ptp(pixels, axis=2) > 0.2).mean() > 0.01  # colours, not only grey
    text = text_of(run.path / "figures" / "specification_curve.pdf")
    for said in ("Threshold rate", "Core fraction, 50 % of the plateau", "undefined", "log-probability", "zero",
                 "random neurons", "all blocks but the first", "main specification", EVIL):  # fmt: skip
        assert said in text, said


def test_a_choice_that_was_always_the_same_has_no_line(run: Run) -> None:
    text = text_of(run.path / "figures" / "specification_curve.pdf")
    assert "nonlinearity" not in text
    assert "Site" not in text


def test_marks_stand_below_the_estimates_that_made_the_choice(curve: SpecificationCurve) -> None:
    page = Figure()
    draw_specification_curve(page, curve.where(metric="delta_logprob"))
    upper, lower = page.axes[0], page.axes[2]
    labels = [label.get_text() for label in lower.get_yticklabels()]
    rows = curve.where(metric="delta_logprob", quantity="threshold").rows
    marks = [one for one in lower.collections if len(one.get_segments()) == (rows["arm"] == "random").sum()]
    height = labels.index("random neurons")
    chosen = {seg[0, 0] for one in marks for seg in one.get_segments() if abs(seg[:, 1].mean() - height) < 1e-9}
    places = {
        round(x): y
        for line in upper.lines
        for x, y in zip(*line.get_data(), strict=True)
        if len(line.get_data()[0]) > 2
    }
    values = sorted(places[round(x)] for x in chosen)
    assert values == pytest.approx(sorted(100 * rows.loc[rows["arm"] == "random", "estimate"]))


def test_the_table_holds_the_summary(curve: SpecificationCurve) -> None:
    table = specification_table(curve, synthetic_manifest(EVIL))
    row = curve.where(arm="top", quantity="threshold").summary().iloc[0]
    median = f"{100 * row['median']:.1f} [{100 * row['conf_low']:.1f}, {100 * row['conf_high']:.1f}]"
    first = next(line for line in table.splitlines() if line.startswith("all specifications"))
    assert median in first
    assert f"{100 * row['lowest']:.1f}--{100 * row['highest']:.1f}" in first
    for said in (
        "replaced by: zero",
        "neurons: random neurons",
        "dose scale: logarithmic",
        "blocks: all but the first",
    ):
        assert said in table, said
    core = curve.where(arm="top", quantity="core_fraction").rows["estimate"]
    assert f"{core.isna().sum()} of {len(core)} core fractions" in table


@needs_pdflatex
def test_the_table_compiles(run: Run, tmp_path: Path) -> None:
    table = (run.path / "tables" / "specification_curve.tex").read_text(encoding="utf-8")
    assert "evil_% & #" in text_of(compile_tex(table, tmp_path)).replace("\\", "\\")


def test_one_specification_or_none_defined_is_drawn(curve: SpecificationCurve) -> None:
    for part in (curve.where(metric="kl"), curve.where(arm="top", metric="delta_logprob", dose_scale="linear",
                                                       replacement="median", layer_set="all blocks")):  # fmt: skip
        page = Figure(figsize=(7, 4))
        draw_specification_curve(page, part)
        page.canvas.draw()
        assert specification_table(part, synthetic_manifest()).count("\\\\") >= 2
