"""Plateau weights, isotonic curves and inversion, against closed forms and scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from ripplestats.fits import saturation
from ripplestats.fits.saturation import first_dose_reaching, isotonic, isotonic_dose_reaching, plateau_weights
from tests.fits.frames import CHECKED, DOSES

SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def doses(draw: st.DrawFn) -> np.ndarray:
    """Distinct doses that cover 10 to 90 %."""
    inner = draw(st.lists(st.integers(101, 899), max_size=8, unique=True))
    outer = [draw(st.integers(0, 100)), draw(st.integers(900, 1000))]
    below = draw(st.lists(st.integers(0, 99), max_size=3))
    return np.unique([*inner, *outer, *below]) / 1000


@CHECKED
@given(doses(), st.floats(-10, 10), st.floats(-10, 10))
def test_the_plateau_of_a_line_is_its_value_in_the_middle(x: np.ndarray, start: float, slope: float) -> None:
    weights = plateau_weights(x)
    assert weights is not None
    assert (start + slope * x) @ weights == pytest.approx(start + slope * 0.5, rel=1e-10, abs=1e-11)


def test_the_plateau_by_hand() -> None:
    # Points 0 and 1 only: the mean over .1 to .9 of a line from y0 to y1 is (y0 + y1) / 2.
    np.testing.assert_allclose(plateau_weights(np.array([0.0, 1.0])), [0.5, 0.5], rtol=1e-12)
    # From .1 to .5 the line y0 → y1, from .5 to .9 y1 → y2: halves of (y0 + y1)/2 and (y1 + y2)/2.
    np.testing.assert_allclose(plateau_weights(np.array([0.1, 0.5, 0.9])), [0.25, 0.5, 0.25], rtol=1e-12)
    # A dose below the interval counts through the line that enters it: y(.1) = (y0 + y1)/2 here.
    np.testing.assert_allclose(plateau_weights(np.array([0.0, 0.2, 0.9])), [0.03125, 0.53125, 0.4375], rtol=1e-12)


@CHECKED
@given(st.floats(0.01, 100))
def test_half_of_the_plateaus_doses_are_enough_in_any_unit(unit: float) -> None:
    interval = (0.1 * unit, 0.9 * unit)
    assert plateau_weights(np.array([0.1, 0.5]) * unit, interval) is not None
    assert plateau_weights(np.array([0.1, 0.499]) * unit, interval) is None


@CHECKED
@given(doses(), SEEDS, st.lists(st.integers(0, 1000), min_size=1, max_size=20))
def test_a_finer_grid_of_the_same_broken_line_has_the_same_plateau(x: np.ndarray, seed: int, more: list[int]) -> None:
    y = np.random.default_rng(seed).standard_normal(len(x))
    finer = np.union1d(x, np.clip(np.array(more) / 1000, x[0], x[-1]))
    coarse_weights, fine_weights = plateau_weights(x), plateau_weights(finer)
    assert coarse_weights is not None
    assert fine_weights is not None
    assert np.interp(finer, x, y) @ fine_weights == pytest.approx(y @ coarse_weights, rel=1e-9, abs=1e-10)


@CHECKED
@given(doses())
def test_plateau_weights_are_an_average(x: np.ndarray) -> None:
    weights = plateau_weights(x)
    assert weights is not None
    assert weights.sum() == pytest.approx(1, rel=1e-12)
    assert (weights >= 0).all()


def test_a_grid_that_ends_just_inside_averages_over_what_it_covers() -> None:
    # floor(.9 · 1536)/1536 is .8997: a line's mean is its value half way from .1 to there.
    x = np.array([0.0996, 0.3, 0.6, 0.8997])
    weights = plateau_weights(x)
    assert weights is not None
    assert x @ weights == pytest.approx((0.1 + 0.8997) / 2, rel=1e-12)


@pytest.mark.parametrize("last", [0.05, 0.1, 0.49])
def test_a_grid_that_covers_less_than_half_has_no_plateau(last: float) -> None:
    assert plateau_weights(np.array([0.002, 0.01, last])) is None
    assert plateau_weights(np.array([0.002, 0.01, 0.51])) is not None


def test_the_plateau_of_other_doses_scales_with_them() -> None:
    np.testing.assert_allclose(plateau_weights(100 * DOSES, (10, 90)), plateau_weights(DOSES), rtol=1e-9, atol=1e-12)


@CHECKED
@given(SEEDS, st.integers(1, 12), st.integers(1, 6), st.floats(-2, 2))
def test_the_isotonic_curve_is_scipys_cut_off_at_zero(seed: int, n_doses: int, n_curves: int, slope: float) -> None:
    rng = np.random.default_rng(seed)
    curves = rng.standard_normal((n_curves, n_doses)).round(1) + slope * np.linspace(0, 1, n_doses)
    weights = rng.integers(1, 4, n_doses).astype(float)
    expected = [np.maximum(isotonic_regression(curve, weights=weights).x, 0) for curve in curves]
    np.testing.assert_allclose(isotonic(curves, weights), expected, rtol=1e-9, atol=1e-12)


def test_the_isotonic_curve_by_hand() -> None:
    curves = np.array([[1.0, 3.0, 2.0, 4.0], [4.0, 3.0, 2.0, 1.0], [-3.0, -1.0, -2.0, 5.0]])
    expected = [[1, 2.5, 2.5, 4], [2.5, 2.5, 2.5, 2.5], [0, 0, 0, 5]]
    np.testing.assert_allclose(isotonic(curves, np.ones(4)), expected, atol=1e-12)
    # The second dose counts three times: (3·3 + 2) / 4.
    np.testing.assert_allclose(isotonic(curves[:1], np.array([1.0, 3, 1, 1])), [[1, 2.75, 2.75, 4]], atol=1e-12)


def test_isotonic_curves_in_chunks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    curves = np.random.default_rng(1).standard_normal((8, 5))
    whole = isotonic(curves, np.ones(5))
    monkeypatch.setattr(saturation, "_CURVES_AT_ONCE", 3)
    np.testing.assert_array_equal(isotonic(curves, np.ones(5)), whole)


@CHECKED
@given(SEEDS, st.floats(0.001, 0.999), st.booleans())
def test_inversion_finds_the_dose_whose_effect_was_asked_for(seed: int, share: float, starts_at_zero: bool) -> None:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.01, 0.2, 6).cumsum()
    values = rng.uniform(0.05, 1, 6).cumsum()
    if starts_at_zero:
        x, values = np.concatenate([[0], x]), np.concatenate([[0], values])
    dose = share * x[-1]
    level = np.interp(dose, np.concatenate([[0], x]), np.concatenate([[0], values]))
    found = first_dose_reaching(values[None], x, np.array([[level]]))
    assert found[0, 0] == pytest.approx(dose, rel=1e-9)


def test_inversion_by_hand() -> None:
    x = np.array([0.1, 0.2, 0.4, 0.8])
    curves = np.array([[1.0, 2.0, 2.0, 4.0], [0.0, 0.0, 1.0, 1.0]])
    levels = np.array([[0.5, 2.0, 3.0, 4.0], [0.5, 1.0, 0.25, 1.5]])
    # First row: halfway to the first dose, the first dose of the flat stretch, halfway up the last, the end.
    # Second row: the rise runs from .2 to .4; 1.5 is never reached.
    expected = [[0.05, 0.2, 0.6, 0.8], [0.3, 0.4, 0.25, np.nan]]
    np.testing.assert_allclose(first_dose_reaching(curves, x, levels), expected, rtol=1e-12)


@pytest.mark.parametrize("level", [np.nan, 0.0, -1.0, 2.1, np.inf])
def test_a_level_that_is_not_positive_or_not_reached_has_no_dose(level: float) -> None:
    found = first_dose_reaching(np.array([[1.0, 2.0]]), np.array([0.1, 0.2]), np.array([[level]]))
    assert np.isnan(found[0, 0])


def test_a_level_reached_at_dose_zero_needs_no_neurons() -> None:
    # Curves that do not pass through (0, 0): the first dose at which the level is reached is 0, not a negative one.
    found = first_dose_reaching(np.array([[1.0, 2.0], [1.0, 1.0]]), np.array([0.0, 0.5]), np.array([[0.5], [0.5]]))
    np.testing.assert_array_equal(found, [[0.0], [0.0]])


@CHECKED
@given(st.integers(0, 10_000), st.booleans(), st.booleans())
def test_the_dose_is_that_of_the_isotonic_fit(seed: int, starts_at_zero: bool, own_weights: bool) -> None:
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(0.001, 1, 12))
    if starts_at_zero:
        x[0] = 0.0
    curves = np.cumsum(rng.normal(0.1, 0.5, (200, 12)), axis=1).round(rng.integers(0, 3))
    weights = rng.uniform(0.5, 2, (200, 12) if own_weights else 12)
    levels = rng.uniform(-0.5, 2, (200, 3)).round(1)
    # A level is reached where the fit is, rounding apart; the fit by other sums may miss a tie.
    expected = first_dose_reaching(isotonic(curves, weights) * (1 + 1e-12), x, levels)
    np.testing.assert_allclose(isotonic_dose_reaching(curves, weights, x, levels), expected, rtol=1e-9, atol=1e-12)
