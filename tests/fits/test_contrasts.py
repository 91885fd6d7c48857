"""Contrasts over documents against scipy's one-sample tests, and decisions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ripplestats.fits.contrasts import contrast, nearest_dose
from ripplestats.hypotheses.decisions import above_limit, below_limit, within_margin


def test_equal_documents_give_the_one_sample_t_test() -> None:
    values = np.random.default_rng(0).normal(0.1, 1, (40, 3))
    found = contrast(values, np.full(40, 5.0), ("a", "b", "c"))
    expected = stats.ttest_1samp(values, 0.05, alternative="greater")
    statistic, p_value = found.greater_than(0.05)
    np.testing.assert_allclose(statistic, expected.statistic)
    np.testing.assert_allclose(p_value, expected.pvalue)
    low, high = found.interval(0.9)
    limits = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    np.testing.assert_allclose([low, high], [limits.low, limits.high])


def test_two_one_sided_tests_take_the_weaker_side() -> None:
    values = np.random.default_rng(1).normal(0.02, 0.1, (30, 1))
    found = contrast(values, np.ones(30), ("a",))
    _, p_value = found.two_one_sided_tests(0.05)
    sides = [stats.ttest_1samp(values[:, 0], -0.05, alternative="greater").pvalue,
             stats.ttest_1samp(values[:, 0], 0.05, alternative="less").pvalue]  # fmt: skip
    np.testing.assert_allclose(p_value, max(sides))


def test_weights_are_prompts() -> None:
    values, weights = np.array([[1.0], [2.0], [4.0], [5.0]]), np.array([1.0, 3.0, 1.0, 1.0])
    found = contrast(values, weights, ("a",))
    mean = (1 + 6 + 4 + 5) / 6
    deviations = weights * (values[:, 0] - mean)
    assert found.estimate[0] == pytest.approx(mean)
    assert found.std_error[0] == pytest.approx(np.sqrt((deviations**2).sum() * 4 / 3) / 6)


def test_too_few_documents_or_no_spread_give_no_p_value() -> None:
    few = contrast(np.ones((3, 1)), np.ones(3), ("a",))
    flat = contrast(np.ones((9, 1)), np.ones(9), ("a",))
    for one in (few, flat):
        assert np.isnan(one.greater_than(0.0)[1]).all()


@pytest.mark.parametrize("seed", [0])
def test_the_size_of_the_equivalence_test_is_at_most_its_level(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # At the margin itself the null is true; 4,000 studies give a Monte-Carlo error of 0.35 points.
    values = rng.standard_t(5, (4000, 60)) * 0.1 + 0.05
    p_values = np.array([contrast(row[:, None], np.ones(60), ("a",)).two_one_sided_tests(0.05)[1][0] for row in values])
    assert 0.04 < (p_values < 0.05).mean() < 0.06


def test_the_dose_nearest_to_the_one_asked_for_is_picked_within_a_tenth() -> None:
    x = np.array([0.002, 0.0996, 0.5, 0.8997])
    assert nearest_dose(x, 0.1).tolist() == [0, 1, 0, 0]
    assert nearest_dose(x, 0.9).tolist() == [0, 0, 0, 1]
    assert np.isnan(nearest_dose(x, 0.3)).any()


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0.01, 1))
def test_decisions_follow_from_interval_and_margin(low: float, width: float, margin: float) -> None:
    high = low + width
    expected = "supported" if high < margin else "refuted" if low > margin else "undecided"
    assert below_limit(low, high, margin) == expected
    assert above_limit(-high, -low, -margin) == expected
    if within_margin(low, high, margin) == "supported":
        assert max(abs(low), abs(high)) < margin
    if within_margin(low, high, margin) == "refuted":
        assert min(abs(low), abs(high)) > margin
        assert low * high > 0


def test_an_undefined_interval_decides_nothing() -> None:
    for decide in (below_limit, above_limit, within_margin):
        assert decide(np.nan, 0.1, 0.5) == "undecided"
