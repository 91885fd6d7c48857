"""Breaks against R's lm + segmented::segmented on pooled rows (segmented.R, package segmented 1.6-2).

Tolerances:
- 1e-12 relative, straight line: both are ordinary least squares.
- 1e-9 relative, residual sum of squares: where R's local search ends at our global minimum. Both are in double
  precision; R stops at a relative change of 1e-12, and a sum of squares is flat at its minimum.
- 1e-6 relative, breaks, intercept and slopes there: R's breaks are where its iteration stops, which moves them by the
  root of what it moves the sum of squares; the largest difference is 5e-7 (a slope of 0.01 in log dose).
- ``LOWER`` lists the cases where R ends above our minimum, and by which share of its residual sum of squares ours is
  lower; 5 % relative, since only the size is of interest. R's is never the lower one.
"""

import numpy as np
import pytest

from ripplestats.fits.breakpoint import BreakDesign
from tests.reference.ours import breaks, curves_and_error, table

THEIRS = table("segmented")
CASES = list(THEIRS[["set", "scale", "n_breaks"]].itertuples(index=False, name=None))
#: By which share ours is lower. Where the best break is at a dose, R's iteration steps around it without end.
LOWER = {
    ("clear_kink", "linear", 2): 2.78e-3,  # another minimum
    ("weak_kink", "linear", 1): 7.29e-9,  # a dose, .15
    ("weak_kink", "linear", 2): 2.41e-4,  # another minimum
    ("weak_kink", "log", 2): 5.33e-9,  # a dose, .05
    ("curved", "log", 2): 7.78e-6,  # a neighbouring interval
    ("heavy_tails", "linear", 2): 5.94e-7,  # a dose, .01
    ("heavy_tails", "log", 2): 4.06e-3,  # another minimum
    ("kink_at_a_dose", "linear", 1): 2.68e-9,  # a dose, .03
    ("kink_at_a_dose", "linear", 2): 6.88e-6,  # doses, .03 and .7
    ("kink_at_a_dose", "log", 2): 4.46e-4,  # another minimum
    ("no_kink", "linear", 2): 7.56e-4,  # another minimum
    ("no_kink", "log", 2): 5.26e-7,  # a dose, .5
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_breaks_are_those_of_segmented_or_fit_better(case: tuple[str, str, int]) -> None:
    name, scale, n_breaks = case
    theirs = THEIRS.set_index(["set", "scale", "n_breaks"]).loc[case]
    assert theirs["found"]
    fit, ours = breaks(name, scale, n_breaks)
    if case in LOWER:
        assert 1 - ours / theirs["residual_ss"] == pytest.approx(LOWER[case], rel=0.05)
        return
    assert ours == pytest.approx(theirs["residual_ss"], rel=1e-9)
    at = theirs[["psi_1", "psi_2"][:n_breaks]].to_numpy(float)
    slopes = theirs[["slope_1", "slope_2", "slope_3"][: n_breaks + 1]].to_numpy(float)
    np.testing.assert_allclose(fit.breakpoints[0], at, rtol=1e-6)
    np.testing.assert_allclose(fit.slopes[0], slopes, rtol=1e-6)
    assert fit.intercept[0] == pytest.approx(theirs["intercept"], rel=1e-6)


@pytest.mark.parametrize("case", [case for case in CASES if case[2] == 1], ids=lambda case: "-".join(map(str, case)))
def test_the_one_break_design_is_held_to_the_same(case: tuple[str, str, int]) -> None:
    name, scale, _ = case
    theirs = THEIRS.set_index(["set", "scale", "n_breaks"]).loc[case]
    curves, error = curves_and_error(name, scale)
    fit = BreakDesign(curves.x, curves.dose_weights).fit(curves.pooled())
    ours, line = (error + curves.n_prompts * float(one[0]) for one in (fit.residual_ss, fit.residual_ss_line))
    assert line == pytest.approx(theirs["residual_ss_line"], rel=1e-12)
    if case in LOWER:
        assert 1 - ours / theirs["residual_ss"] == pytest.approx(LOWER[case], rel=0.05)
        return
    assert ours == pytest.approx(theirs["residual_ss"], rel=1e-9)
    found = [fit.breakpoint[0], fit.intercept[0], fit.slope_below[0], fit.slope_above[0]]
    np.testing.assert_allclose(found, theirs[["psi_1", "intercept", "slope_1", "slope_2"]].to_numpy(float), rtol=1e-6)


def test_the_cases_where_r_is_above_our_minimum_are_cases() -> None:
    assert set(LOWER) < set(CASES)
