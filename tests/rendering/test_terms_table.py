"""Tables of a result, long and wide, plain and for siunitx: they compile, and are those of the snapshots."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ripplestats.errors import InputError
from ripplestats.fits.result import TERMS, FitResult
from ripplestats.rendering.terms_table import LONGEST, terms_table, undefined_notes
from tests.rendering.tex import compile_tex, needs_pdflatex, needs_siunitx, text_of
from tests.store.synthetic_run import make_run

SNAPSHOTS = Path(__file__).parent.parent / "snapshots"
FLAT = "undefined: the curve is flat"
SMALL = [
    (0, "threshold", 0.034567, 0.0012, np.nan, np.nan, 0.032, 0.0372, ""),
    (0, "slope_below", 12.5, 2.1, 5.95, 0.0004, 8.3, 16.7, ""),
    (1, "threshold", 0.1, 0.04, np.nan, np.nan, 0.02, 0.18, ""),
    (1, "slope_below", -0.75, 0.9, -0.83, 0.42, -2.6, 1.1, ""),
    (2, "threshold", *[np.nan] * 6, FLAT),
    (2, "slope_below", *[np.nan] * 6, FLAT),
]


def result(rows: list[tuple[object, ...]] = SMALL) -> FitResult:
    terms = pd.DataFrame(rows, columns=["layer", *TERMS])
    return FitResult("Line of y_1 on x", terms, 0.95, 24, 12, ("By least squares.",), lambda _: None)


@pytest.mark.parametrize("layout", ["long", "wide"])
@pytest.mark.parametrize("columns", ["plain", "siunitx"])
def test_the_tables_are_those_of_the_snapshots(layout: str, columns: str) -> None:
    # To accept a change: UPDATE_SNAPSHOTS=1 .venv/bin/python -m pytest tests/rendering/test_terms_table.py
    found = result().to_latex(layout=layout, columns=columns, stars=columns == "siunitx")
    snapshot = SNAPSHOTS / f"terms_{layout}_{columns}.tex"
    if os.environ.get("UPDATE_SNAPSHOTS") == "1":
        snapshot.write_text(found, encoding="utf-8")
    assert found == snapshot.read_text(encoding="utf-8")


@needs_pdflatex
def test_plain_tables_need_booktabs_alone(tmp_path: Path) -> None:
    tables = [result().to_latex(layout=layout, stars=True) for layout in ("long", "wide")]
    printed = text_of(compile_tex("\n".join(tables), tmp_path))
    assert printed.count("12.5***") == 2
    assert printed.count("[8.3, 16.7]") == 2
    assert "Stars: p below 0.05 (*)" in printed
    assert "threshold, slope_below of layer 2: " in printed


@needs_pdflatex
@needs_siunitx
def test_tables_for_siunitx_compile(tmp_path: Path) -> None:
    tables = [result().to_latex(layout=layout, columns="siunitx", stars=True) for layout in ("long", "wide")]
    printed = text_of(compile_tex("\n".join(tables), tmp_path, r"\usepackage{siunitx}"))
    assert printed.count("[8.3, 16.7]") == 2


@needs_pdflatex
def test_a_long_table_breaks_over_pages_and_repeats_its_head(tmp_path: Path) -> None:
    rows = [(layer, *SMALL[0][1:]) for layer in range(LONGEST + 40)]
    table = result(rows).to_latex(label="tab:long")
    assert table.startswith(r"% \usepackage{booktabs,longtable}")
    pdf = compile_tex(table, tmp_path, r"\usepackage{longtable}")
    printed = text_of(pdf)
    assert "Table 1, continued" in printed
    assert printed.count("std. error") >= 2
    assert "24 prompts in 12 documents. By least squares." in printed


def test_the_fewer_of_groups_and_terms_stand_side_by_side() -> None:
    wide = terms_table(result().terms, 0.95, layout="wide", starred=False)
    assert list(wide.columns) == ["layer", "threshold", "slope_below"]
    assert wide["layer"].str.strip().to_list() == ["0", "", "1", "", "2"]
    wide = terms_table(result(SMALL[:2]).terms, 0.95, layout="wide", starred=False)
    assert list(wide.columns) == ["term", "0"]
    wide = terms_table(result(SMALL[:2]).terms.drop(columns="layer"), 0.95, layout="wide", starred=False)
    assert list(wide.columns) == ["term", "estimate"]
    assert wide["estimate"].to_list() == ["0.0346", "[0.0320, 0.0372]", "12.5", "[8.3, 16.7]"]


def test_limits_can_be_told_from_a_margin_that_decides_on_them() -> None:
    rows = [
        (layer, "difference", 0.03, 0.01, 1.0, 0.1, low, 0.06, "supported") for layer, low in ((0, -0.04996), (1, 0))
    ]
    fit = dataclasses.replace(result(rows), margin=0.05)
    long = terms_table(fit.terms, 0.9, layout="long", starred=False, margin=fit.margin)
    assert long["90 % interval"].to_list() == ["[−0.04996, 0.06000]", "[0.000, 0.060]"]
    assert "$-$0.04996" in fit.to_latex()
    assert "-0.0499996" in dataclasses.replace(fit, terms=fit.terms.replace(-0.04996, -0.0499996)).summary()


def test_a_column_without_content_is_left_out() -> None:
    terms = result().terms.assign(conf_low=np.nan, conf_high=np.nan, p_value=np.nan)
    long = terms_table(terms, np.nan, layout="long", starred=False)
    assert list(long.columns) == ["layer", "term", "estimate", "std. error", "statistic"]


def test_adjusted_p_values_have_a_column_and_make_the_stars() -> None:
    terms = result().terms.assign(p_adjusted=[np.nan, 0.02, np.nan, 0.9, np.nan, np.nan])
    long = terms_table(terms, 0.95, layout="long", starred=True)
    assert long["p"].to_list() == ["", "0.0004", "", "0.42", "", ""]
    assert long["p, adjusted"].to_list() == ["", "0.02", "", "0.9", "", ""]
    assert long["estimate"].iloc[1] == "12.5*"


def test_a_note_on_a_defined_estimate_is_a_column_and_a_reason_is_said_below() -> None:
    terms = result().terms.assign(note=["supported", "", "refuted", "", FLAT, FLAT])
    long = terms_table(terms, 0.95, layout="long", starred=False)
    assert long["note"].to_list() == ["supported", "", "refuted", "", "", ""]
    assert undefined_notes(terms) == ["threshold, slope_below of layer 2: undefined: the curve is flat."]


def test_the_caption_states_what_the_run_used(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", arms=("random",), layers=(1,))
    stated = r"Line of y\_1 on x. Model synthetic-model, revision r1, dataset synthetic, 2026-01-02."
    assert rf"\caption{{{stated}}}" in result().to_latex(run=run)


@pytest.mark.parametrize("options", [{"layout": "tall"}, {"columns": "dcolumn"}])
def test_a_layout_or_kind_of_columns_that_is_not_known_is_one_line(options: dict[str, str]) -> None:
    with pytest.raises(InputError, match="is not known; allowed: "):
        result().to_latex(**options)
