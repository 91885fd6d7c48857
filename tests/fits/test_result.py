"""What every estimator returns."""

import dataclasses
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from ripplestats.fits.result import TERMS, FitResult


def make_result(**changes: Any) -> FitResult:
    terms = pd.DataFrame(
        [
            (0, "threshold", 0.034567, 0.001, np.nan, np.nan, 0.032, 0.037, ""),
            (1, "threshold", np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, "undefined: the curve is flat"),
        ],
        columns=["layer", *TERMS],
    )
    return FitResult(
        **{
            "title": "Two-phase line of y_1 on x",
            "terms": terms,
            "conf_level": 0.95,
            "n_prompts": 24,
            "n_documents": 12,
            "notes": ("A first note.", "100% & a second."),
            "draw": lambda ax: ax.set_title("drawn"),
            **changes,
        }
    )


def test_tidy_is_a_copy_that_may_be_changed() -> None:
    result = make_result()
    terms = result.tidy()
    terms["estimate"] = 0.0
    assert result.tidy()["estimate"].iloc[0] == 0.034567


def test_the_confidence_limits_keep_the_groups_and_the_terms() -> None:
    limits = make_result().conf_int()
    assert list(limits.columns) == ["layer", "term", "conf_low", "conf_high"]
    assert limits["conf_high"].iloc[0] == 0.037


def test_the_summary_says_title_counts_terms_and_notes_and_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    text = make_result().summary()
    lines = text.splitlines()
    assert lines[:2] == ["Two-phase line of y_1 on x", "24 prompts, 12 documents"]
    assert lines[-2:] == ["A first note.", "100% & a second."]
    assert "0.03457" in text
    assert "undefined: the curve is flat" in text
    assert "nan" not in text.lower()
    assert capsys.readouterr() == ("", "")


def test_the_latex_table_escapes_title_and_notes_and_says_the_counts() -> None:
    text = make_result().to_latex()
    assert r"\caption{Two-phase line of y\_1 on x}" in text
    assert r"24 prompts in 12 documents. A first note. 100\% \& a second." in text
    assert r"0 & threshold & 0.0346 & 0.00100 & [0.0320, 0.0370] \\" in text
    assert "threshold of layer 1: undefined: the curve is flat." in text


def test_a_result_is_drawn_on_the_axes_given() -> None:
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    assert make_result().plot(ax) is ax
    assert ax.get_title() == "drawn"


def test_a_result_is_drawn_on_new_axes_where_none_are_given() -> None:
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    ax = make_result().plot()
    try:
        assert ax.get_title() == "drawn"
        assert ax.figure.number in plt.get_fignums()
    finally:
        plt.close(ax.figure)


def test_a_result_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_result().title = "other"
