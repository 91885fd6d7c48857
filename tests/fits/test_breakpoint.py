"""The exact two-phase fit against brute force: numpy's least squares over a dense grid of breaks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripplestats.fits import breakpoint as module
from ripplestats.fits.breakpoint import MINIMUM_DOSES, BreakDesign, BreakFit
from tests.fits.frames import CHECKED, DOSES, least_squares_of_break, two_phase

SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def doses(draw: st.DrawFn) -> np.ndarray:
    """Five to twelve distinct doses, at least a thousandth apart."""
    numbers = draw(st.lists(st.integers(0, 1000), min_size=MINIMUM_DOSES, max_size=12, unique=True))
    return np.sort(np.array(numbers)) / 1000


@st.composite
def weighted_doses(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Doses, and how many rows each stands for."""
    x = draw(doses())
    return x, np.array(draw(st.lists(st.integers(1, 3), min_size=len(x), max_size=len(x))), float)


def fitted_line(fit: BreakFit, x: np.ndarray) -> np.ndarray:
    return two_phase(x, fit.intercept[0], fit.slope_below[0], fit.slope_above[0], fit.breakpoint[0])


def fit_one(x: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> BreakFit:
    return BreakDesign(x, np.ones(len(x)) if weights is None else weights).fit(y[None])


@CHECKED
@given(weighted_doses(), SEEDS)
def test_no_break_on_a_dense_grid_fits_better(design: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    x, weights = design
    y = np.random.default_rng(seed).standard_normal(len(x)).cumsum()
    fit = fit_one(x, y, weights)
    grid = np.union1d(np.linspace(x[0], x[-1], 200), x)
    best = min(least_squares_of_break(x, y, at, weights) for at in grid)
    scale = float(weights @ (y - y.mean()) ** 2)
    assert fit.residual_ss[0] <= best + 1e-11 * scale


@CHECKED
@given(weighted_doses(), SEEDS)
def test_the_line_returned_has_the_residuals_that_are_reported(
    design: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    x, weights = design
    y = np.random.default_rng(seed).standard_normal(len(x)).cumsum()
    fit = fit_one(x, y, weights)
    scale = float(weights @ (y - y.mean()) ** 2)
    left = float(weights @ (y - fitted_line(fit, x)) ** 2)
    assert left == pytest.approx(float(fit.residual_ss[0]), rel=1e-7, abs=1e-10 * scale)
    assert x[1] <= fit.breakpoint[0] <= x[-2]


@CHECKED
@given(doses(), st.data(), st.integers(-20, 20), st.integers(-20, 20), st.integers(-20, 20).filter(bool))
def test_a_line_without_noise_is_recovered(
    x: np.ndarray, data: st.DataObject, start: int, below: int, change: int
) -> None:
    # The break lies at a dose or at least a hundredth of a step away from one.
    step = data.draw(st.integers(1, len(x) - 3))
    at = x[step] + data.draw(st.integers(0, 100)) / 100 * (x[step + 1] - x[step])
    fit = fit_one(x, two_phase(x, start, below, below + change, at))
    assert fit.breakpoint[0] == pytest.approx(at, abs=1e-8)
    assert fit.intercept[0] == pytest.approx(start, abs=1e-7)
    assert fit.slope_below[0] == pytest.approx(below, abs=1e-7)
    assert fit.slope_above[0] == pytest.approx(below + change, abs=1e-7)


@CHECKED
@given(SEEDS, st.floats(-100, 100), st.floats(0.01, 100), st.sampled_from([-1, 1]))
def test_an_affine_map_of_y_moves_no_break(seed: int, shift: float, scale: float, sign: int) -> None:
    y = np.random.default_rng(seed).standard_normal(len(DOSES)).cumsum()
    factor = sign * scale
    plain, mapped = fit_one(DOSES, y), fit_one(DOSES, shift + factor * y)
    np.testing.assert_allclose(mapped.breakpoint, plain.breakpoint, rtol=1e-6)
    np.testing.assert_allclose(mapped.slope_below, factor * plain.slope_below, rtol=1e-6, atol=1e-8 * scale)
    np.testing.assert_allclose(mapped.slope_above, factor * plain.slope_above, rtol=1e-6, atol=1e-8 * scale)
    np.testing.assert_allclose(mapped.residual_ss, scale**2 * plain.residual_ss, rtol=1e-6, atol=1e-9 * scale**2)


@CHECKED
@given(SEEDS, st.floats(0.01, 100))
def test_the_break_scales_with_x(seed: int, scale: float) -> None:
    y = np.random.default_rng(seed).standard_normal(len(DOSES)).cumsum()
    plain, scaled = fit_one(DOSES, y), fit_one(scale * DOSES, y)
    np.testing.assert_allclose(scaled.breakpoint, scale * plain.breakpoint, rtol=1e-7)
    np.testing.assert_allclose(scaled.slope_below, plain.slope_below / scale, rtol=1e-6)
    np.testing.assert_allclose(scaled.residual_ss, plain.residual_ss, rtol=1e-7)


@CHECKED
@given(weighted_doses(), SEEDS)
def test_a_dose_of_weight_two_counts_as_two_rows(design: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    x, weights = design
    y = np.random.default_rng(seed).standard_normal(len(x))
    fit = fit_one(x, y, weights)
    counts = weights.astype(int)
    rows = least_squares_of_break(np.repeat(x, counts), np.repeat(y, counts), float(fit.breakpoint[0]))
    assert rows == pytest.approx(float(fit.residual_ss[0]), rel=1e-8, abs=1e-11)


def test_the_straight_line_that_is_reported_is_that_of_polyfit() -> None:
    rng = np.random.default_rng(4)
    y, weights = rng.standard_normal(len(DOSES)), rng.integers(1, 4, len(DOSES)).astype(float)
    line = np.polyval(np.polyfit(DOSES, y, 1, w=np.sqrt(weights)), DOSES)
    fit = fit_one(DOSES, y, weights)
    np.testing.assert_allclose(fit.residual_ss_line[0], weights @ (y - line) ** 2, rtol=1e-12)
    assert fit.residual_ss[0] < fit.residual_ss_line[0]


def test_many_curves_come_out_as_each_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CURVES_AT_ONCE", 3)
    curves = np.random.default_rng(5).standard_normal((7, len(DOSES)))
    design = BreakDesign(DOSES, np.ones(len(DOSES)))
    together = design.fit(curves)
    for name in vars(together):
        alone = np.concatenate([getattr(fit_one(DOSES, curve), name) for curve in curves])
        np.testing.assert_allclose(getattr(together, name), alone, rtol=1e-9)


def test_five_doses_by_hand() -> None:
    # Up to 2 the line x, from then on flat: the break is the third of five doses.
    x = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    fit = fit_one(x, np.array([0.0, 1.0, 2.0, 2.0, 2.0]))
    found = [fit.breakpoint[0], fit.intercept[0], fit.slope_below[0], fit.slope_above[0], fit.residual_ss[0]]
    np.testing.assert_allclose(found, [2, 0, 1, 0, 0], atol=1e-12)
    # The line through all five: slope 0.5, intercept 0.4, residuals −.4 .1 .6 .1 −.4 → 0.16+0.01+0.36+0.01+0.16.
    assert fit.residual_ss_line[0] == pytest.approx(0.7, rel=1e-12)


def test_the_edges_keep_two_doses_on_each_side() -> None:
    design = BreakDesign(DOSES, np.ones(len(DOSES)))
    assert (design.first, design.last) == (DOSES[1], DOSES[-2])
