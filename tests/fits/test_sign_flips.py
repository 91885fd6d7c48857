"""Sign-flip tests: exactness by enumeration, the score by hand, sizes where documents are skewed and have heavy tails."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ripplestats.fits.bootstrap import flip_signs
from ripplestats.fits.contrasts import contrast
from ripplestats.fits.sign_flips import GROWTH_WITH_TAILS, sign_flips
from tests.fits.frames import CHECKED

STUDIES = 4000
#: Three Monte-Carlo errors of 5 % in ``STUDIES``.
ERROR = 3 * np.sqrt(0.05 * 0.95 / STUDIES)


def sizes(
    values: np.ndarray, weights: np.ndarray, rng: np.random.Generator, growth: float = GROWTH_WITH_TAILS
) -> list[float]:
    """The share of studies (columns, mean zero) that reject at 5 % on either side, with signs of their own by fifties."""
    found = [
        sign_flips(part, weights, flip_signs(len(weights), 399, rng), growth=growth)
        for part in np.split(values, 80, axis=1)
    ]
    above, below = (np.concatenate([test.p_value for test in tests]) for tests in
                    zip(*((one.above_zero(), one.below_zero()) for one in found), strict=True))  # fmt: skip
    return [(above <= 0.05).mean(), (below <= 0.05).mean()]


def test_the_statistic_is_the_standardised_sum_of_corrected_scores() -> None:
    values, weights = np.array([0.5, -0.2, 0.1, 0.9, 0.4]), np.array([1.0, 2.0, 1.0, 3.0, 1.0])
    u = weights * values
    z = u / np.sqrt((u**2).sum())
    score = z + (1 / 6 + stats.norm.isf(0.05) ** 2 / 3) * (1 + 8 * (z**4).sum()) ** 2 * z**3
    signs = np.array(list(product([-1.0, 1.0], repeat=5)))
    found = sign_flips(values[:, None], weights, signs)
    assert found.statistic[0] == pytest.approx(score.sum() / np.sqrt((score**2).sum()))
    np.testing.assert_allclose(found.replicates[:, 0], signs @ score / np.sqrt((score**2).sum()), atol=1e-12)


def test_equal_documents_tie_with_every_pattern_that_moves_equal_scores() -> None:
    """With all 64 patterns of the signs of six equal contributions, p is the binomial tail: rounding breaks no tie."""
    signs = np.array(list(product([-1.0, 1.0], repeat=6)))
    values = np.array([0.1, 0.1, 0.1, 0.1, 0.1, -0.1])[:, None]
    p_value = sign_flips(values, np.ones(6), signs).above_zero().p_value[0]
    assert p_value == pytest.approx((1 + 64 * stats.binom.sf(4, 6, 0.5)) / 65)


@CHECKED
@given(seed=st.integers(0, 1000), scale=st.sampled_from([-2.0, 0.25, 3.0]))
def test_a_scale_changes_nothing_and_a_sign_turns_the_test(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    values, signs = rng.standard_exponential((12, 3)) - 1, flip_signs(12, 199, rng)
    found, scaled = (sign_flips(one, np.ones(12), signs) for one in (values, scale * values))
    other = scaled.above_zero() if scale > 0 else scaled.below_zero()
    np.testing.assert_array_equal(other.p_value, found.above_zero().p_value)


@CHECKED
@given(seed=st.integers(0, 1000), alpha=st.sampled_from([0.025, 0.05, 0.1]), discrete=st.booleans())
def test_the_statistic_is_beyond_what_rejects_exactly_where_the_p_value_is_small(
    seed: int, alpha: float, discrete: bool
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.choice([-1.0, 0.0, 1.0, 2.0], (9, 20)) if discrete else rng.standard_normal((9, 20)) + 0.4
    found = sign_flips(values, np.ones(9), flip_signs(9, 199, rng))
    above, below = found.beyond(alpha)
    np.testing.assert_array_equal(above > 0, found.above_zero().p_value <= alpha)
    np.testing.assert_array_equal(below > 0, found.below_zero().p_value <= alpha)


def test_too_few_documents_or_no_spread_or_too_few_flips_reject_nothing() -> None:
    rng = np.random.default_rng(0)
    for n in (3, 9):
        found = sign_flips(np.ones((n, 1)), np.ones(n), flip_signs(n, 99, rng))
        assert np.isnan([found.above_zero().p_value, *found.beyond(0.05)]).all()
    few = sign_flips(rng.standard_normal((20, 1)), np.ones(20), flip_signs(20, 18, rng))
    assert np.isneginf(few.beyond(0.05)).all()


def test_the_size_is_exact_with_ten_documents_of_very_heavy_tails() -> None:
    rng = np.random.default_rng(1)
    values = rng.standard_t(2, (10, STUDIES))
    assert sizes(values, 1.0 + np.arange(10) % 4, rng) == pytest.approx([0.05, 0.05], abs=ERROR)


def test_sizes_of_skewed_documents_where_the_t_test_is_not_its_level() -> None:
    rng = np.random.default_rng(2)
    values = rng.standard_exponential((30, STUDIES)) - 1
    assert sizes(values, np.ones(30), rng) == pytest.approx([0.05, 0.05], abs=0.01 + ERROR)
    by_t = contrast(values, np.ones(30), tuple(range(STUDIES)))
    assert (by_t.greater_than(0.0)[1] <= 0.05).mean() < 0.03
    assert (by_t.less_than(0.0)[1] <= 0.05).mean() > 0.08


def test_scores_without_a_part_of_their_correction_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutations: sizes on the two sides of a skewed population then differ by three points, and not by one."""
    values, signs = np.random.default_rng(2).standard_exponential((30, STUDIES)) - 1, np.random.default_rng(3)
    ours = sizes(values, np.ones(30), signs)
    without_growth = sizes(values, np.ones(30), signs, growth=0.0)
    monkeypatch.setattr("ripplestats.fits.sign_flips._CORRECTION", 0.0)
    without_both = sizes(values, np.ones(30), signs)
    differences = [below - above for above, below in (ours, without_growth, without_both)]
    assert differences[0] < 0.02
    assert 0.03 < differences[1] < differences[2]


def test_p_values_are_those_of_all_sign_patterns() -> None:
    """Against scipy's permutation test, which flips the data and computes the whole statistic anew."""
    rng = np.random.default_rng(4)
    weights = 1.0 + np.arange(9) % 4
    values = rng.standard_exponential((9, 6)) - 0.6

    def statistic(u: np.ndarray, axis: int = -1) -> np.ndarray:
        z = u / np.sqrt((u**2).sum(axis=axis, keepdims=True))
        s = z + (1 / 6 + stats.norm.isf(0.05) ** 2 / 3) * (1 + 8 * (z**4).sum(axis=axis, keepdims=True)) ** 2 * z**3
        total: np.ndarray = s.sum(axis=axis) / np.sqrt((s**2).sum(axis=axis))
        return total

    signs = np.array(list(product([-1.0, 1.0], repeat=9)))
    found = sign_flips(values, weights, signs).above_zero()
    for group in range(6):
        exact = stats.permutation_test(
            (weights * values[:, group],),
            statistic,
            permutation_type="samples",
            n_resamples=np.inf,
            alternative="greater",
        )
        assert found.statistic[group] == pytest.approx(exact.statistic, abs=1e-9)
        # Ours counts the data once more, as it has to where flips are drawn.
        assert found.p_value[group] == pytest.approx((1 + 512 * exact.pvalue) / 513)


@CHECKED
@given(seed=st.integers(0, 2000), n=st.integers(4, 30), skewed=st.sampled_from([0.5, 1.0, 1.5]))
def test_p_values_fall_as_the_mean_on_trial_rises(seed: int, n: int, skewed: float) -> None:
    """So that what is not rejected is an interval; no theorem, for the correction itself changes with the mean."""
    rng = np.random.default_rng(seed)
    values, weights = np.exp(skewed * rng.standard_normal(n)), 1.0 + rng.integers(0, 4, n)
    trials = np.average(values, weights=weights) + values.std() * np.linspace(-3, 3, 61)
    p_value = sign_flips(trials - values[:, None], weights, flip_signs(n, 199, rng)).above_zero().p_value
    assert (np.diff(p_value) <= 0).all()
