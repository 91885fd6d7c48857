"""Intervals by inverting sign-flip tests: agreement with the test, open ends, sizes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripplestats.fits.bootstrap import flip_signs
from ripplestats.fits.contrasts import contrast
from ripplestats.fits.core import core_statistic
from ripplestats.fits.curves import DocumentCurves
from ripplestats.fits.rising_contrasts import core_contrasts, mean_contrasts, ratio_contrasts
from ripplestats.fits.saturation import plateau_weights
from ripplestats.fits.sign_flips import sign_flips
from tests.fits.frames import CHECKED, DOSES

PLATEAU = plateau_weights(DOSES)
ENDS = np.where(DOSES == 0.9, 1.0, 0.0) - np.where(DOSES == 0.1, 1.0, 0.0)
GROUPS = 6


def curves_of(rng: np.random.Generator, mean: np.ndarray, n: int = 30, noise: float = 0.1, groups: int = GROUPS):
    level = rng.gamma(4, 0.25, (n, groups, 1))
    values = level * mean + noise * rng.standard_normal((n, groups, len(DOSES)))
    return DocumentCurves(DOSES, np.ones(len(DOSES)), values, np.ones(n), tuple(range(groups)))


def core_interval(
    curves: DocumentCurves, plateau: np.ndarray, share: float, signs: np.ndarray, limit: float = 0.02
) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval of the core fraction that goes with the test at the limit."""
    return core_contrasts(curves, plateau, share, limit, signs).interval(0.95, (limit,))


@CHECKED
@given(seed=st.integers(0, 500), at=st.floats(0.01, 0.06), limit=st.sampled_from([0.02, 0.025]))
def test_the_core_interval_agrees_with_the_test_at_the_limit(seed: int, at: float, limit: float) -> None:
    rng = np.random.default_rng(seed)
    curves = curves_of(rng, np.minimum(DOSES / at, 1))
    roots = core_contrasts(curves, PLATEAU, 0.5, limit, flip_signs(30, 199, rng))
    low, high = roots.interval(0.95, (limit,))
    np.testing.assert_array_equal(high < limit, roots.below(limit).p_value <= 0.025)
    np.testing.assert_array_equal(low > limit, roots.above(limit).p_value <= 0.025)
    assert (low <= high).all()
    assert ((low >= 0) & (high <= 0.9)).all()


@CHECKED
@given(seed=st.integers(0, 500), rise=st.floats(-0.6, 0.6))
def test_the_ratio_interval_agrees_with_the_tests_at_both_limits(seed: int, rise: float) -> None:
    rng = np.random.default_rng(seed)
    curves = curves_of(rng, np.minimum(DOSES / 0.02, 1) + rise * DOSES)
    ratios = ratio_contrasts(
        curves.values @ ENDS, curves.values @ PLATEAU, curves.weights, (-0.2, 0.2), flip_signs(30, 199, rng)
    )
    low, high = ratios.interval(0.9, (-0.2, 0.2))
    np.testing.assert_array_equal(high < 0.2, ratios.below(0.2).p_value <= 0.05)
    np.testing.assert_array_equal(low > -0.2, ratios.above(-0.2).p_value <= 0.05)
    pooled = curves.pooled()
    ratio = pooled @ ENDS / (pooled @ PLATEAU)
    assert ((low <= ratio) & (ratio <= high)).all()


def test_little_noise_pins_the_core_fraction_down() -> None:
    rng = np.random.default_rng(0)
    curves = curves_of(rng, np.minimum(DOSES / 0.03, 1), noise=1e-4)
    low, high = core_interval(curves, PLATEAU, 0.5, flip_signs(30, 199, rng))
    estimate = core_statistic(curves, PLATEAU, np.array([0.5]))(curves.pooled())[:, 1]
    np.testing.assert_allclose(low, estimate, atol=1e-4)
    np.testing.assert_allclose(high, estimate, atol=1e-4)


def test_an_interval_that_does_not_end_on_the_grid_ends_with_it() -> None:
    rng = np.random.default_rng(1)
    curves = curves_of(rng, DOSES, n=8, noise=1.0)
    low, high = core_interval(curves, PLATEAU, 0.9, flip_signs(8, 199, rng))
    assert (high == DOSES[-1]).all()
    assert (low >= 0).all()


def test_scales_of_effect_and_dose_change_nothing_else() -> None:
    rng = np.random.default_rng(2)
    curves = curves_of(rng, np.minimum(DOSES / 0.03, 1))
    signs = flip_signs(30, 199, rng)
    larger = DocumentCurves(curves.x, curves.dose_weights, 7 * curves.values, curves.weights, curves.groups)
    np.testing.assert_allclose(core_interval(larger, PLATEAU, 0.8, signs), core_interval(curves, PLATEAU, 0.8, signs))
    wider = DocumentCurves(4 * curves.x, curves.dose_weights, curves.values, curves.weights, curves.groups)
    found = core_interval(wider, PLATEAU, 0.8, signs, limit=0.08)
    np.testing.assert_allclose(found, 4 * np.array(core_interval(curves, PLATEAU, 0.8, signs)))


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_the_size_of_the_core_test_is_its_level(share: float) -> None:
    rng = np.random.default_rng(3)
    mean = np.minimum(DOSES * share / 0.02, 1)
    exact = np.interp(0.02, DOSES, mean) / (mean @ PLATEAU)
    # 1,000 independent studies as groups; Monte-Carlo error 0.7 points at 5 %, 1.0 at the coverage's.
    curves = curves_of(rng, mean, n=40, groups=1000)
    roots = core_contrasts(curves, PLATEAU, exact, 0.02, flip_signs(40, 399, rng))
    assert 0.03 < (roots.below(0.02).p_value <= 0.05).mean() < 0.075
    assert 0.03 < (roots.above(0.02).p_value <= 0.05).mean() < 0.075
    low, high = roots.interval(0.95, (0.02,))
    assert 0.92 < ((low <= 0.02) & (high >= 0.02)).mean() < 0.975


@CHECKED
@given(seed=st.integers(0, 500), limit=st.floats(-1, 1), discrete=st.booleans(), n=st.integers(4, 15))
def test_the_interval_of_a_mean_agrees_with_its_tests(seed: int, limit: float, discrete: bool, n: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.choice([0.0, 0.5, 1.0], (n, 6)) if discrete else rng.standard_exponential((n, 6)) - 1
    means = mean_contrasts(values, rng.integers(1, 5, n).astype(float), (limit,), flip_signs(n, 199, rng))
    low, high = means.interval(0.9, (limit,))
    np.testing.assert_array_equal(low > limit, means.above(limit).p_value <= 0.05)
    np.testing.assert_array_equal(high < limit, means.below(limit).p_value <= 0.05)


def test_limits_between_trials_are_where_the_test_turns() -> None:
    """Against bisection of the p-value, with 9,999 flips; in standard errors the limits differ by at most 0.01."""
    rng = np.random.default_rng(4)
    values, weights, signs = rng.gamma(2, 1, (30, 1)), 1.0 + np.arange(30) % 4, flip_signs(30, 9999, rng)
    low, high = mean_contrasts(values, weights, (0.0,), signs).interval(0.9, (0.0,))
    error = contrast(values, weights, (0,)).std_error[0]

    def rejected(mean: float) -> tuple[bool, bool]:
        found = sign_flips(values - mean, weights, signs)
        return found.above_zero().p_value[0] <= 0.05, found.below_zero().p_value[0] <= 0.05

    for limit, side in ((low[0], 0), (high[0], 1)):
        outwards = (2 * side - 1) * 0.01 * error
        assert rejected(limit + outwards)[side]
        assert not rejected(limit - outwards)[side]


def test_a_mean_of_too_few_documents_to_reject_has_an_open_interval() -> None:
    rng = np.random.default_rng(5)
    # Of sixteen patterns of signs one is the observed: p is at least a sixteenth, whatever the data.
    means = mean_contrasts(10 + rng.standard_normal((4, 3)), np.ones(4), (0.0,), flip_signs(4, 999, rng))
    assert (means.above(0.0).p_value > 0.04).all()
    assert np.isinf(means.interval(0.95, (0.0,))).all()
