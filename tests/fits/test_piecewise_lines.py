"""The line that is drawn is the one that the terms describe."""

import numpy as np
import pandas as pd
import pytest

from ripplestats.fits.piecewise_lines import piecewise_lines

X = np.array([0.01, 0.1, 1.0])
TERMS = pd.DataFrame(
    {
        "group": ["a"] * 6 + ["b"] * 4,
        "term": ["threshold_1", "threshold_2", "intercept", "slope_1", "slope_2", "slope_3", "threshold", "intercept",
                 "slope_below", "slope_above"],
        "estimate": [0.1, 0.5, 1.0, 2.0, -1.0, 3.0, np.nan, 1.0, 2.0, 3.0],
    }
)  # fmt: skip


def test_a_line_bends_at_its_breaks_by_its_slopes() -> None:
    doses, values = piecewise_lines(TERMS, X, "linear")["a"]
    np.testing.assert_allclose(np.interp([0.01, 0.1, 0.5, 1.0], doses, values), [1.02, 1.2, 0.8, 2.3])
    assert {0.1, 0.5} <= set(doses)


def test_on_the_logarithm_it_is_straight_there() -> None:
    doses, values = piecewise_lines(TERMS, X, "log")["a"]
    slopes = np.diff(values) / np.diff(np.log(doses))
    assert slopes[0] == pytest.approx(2)
    assert slopes[-1] == pytest.approx(3)
    assert values[0] == pytest.approx(1 + 2 * np.log(0.01))


def test_an_undefined_line_is_left_out_and_a_dose_of_zero_is_no_trouble() -> None:
    lines = piecewise_lines(TERMS, np.array([0.0, 0.5, 1.0]), "linear")
    assert list(lines) == ["a"]
    assert lines["a"][1][0] == 1.0
