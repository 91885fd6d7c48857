"""Contrasts over documents against scipy's one-sample tests, bootstrap-t against plain loops, and decisions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ripplestats.fits.bootstrap import resample_documents
from ripplestats.fits.contrasts import contrast, contrast_of_doses, nearest_dose
from ripplestats.fits.curves import document_curves
from ripplestats.hypotheses.decisions import above_limit, below_limit, within_margin
from tests.fits.frames import CHECKED, noisy_frame


def samples_of(rng: np.random.Generator, n_documents: int, n_samples: int) -> np.ndarray:
    return rng.multinomial(n_documents, np.full(n_documents, 1 / n_documents), size=n_samples).astype(np.float64)


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


def test_replicates_are_studentised_means_of_the_samples() -> None:
    rng = np.random.default_rng(2)
    values, weights = rng.gamma(1, 1, (9, 40)), rng.integers(1, 5, 9).astype(np.float64)
    counts = samples_of(rng, 9, 25)
    found = contrast(values, weights, tuple(range(40)), counts)
    assert found.replicates is not None
    for sample, replicate in zip(counts, found.replicates, strict=True):
        drawn = np.repeat(np.arange(9), sample.astype(int))
        again = contrast(values[drawn], weights[drawn], found.groups)
        np.testing.assert_allclose(replicate, (again.estimate - found.estimate) / again.std_error, rtol=1e-9)


@CHECKED
@given(
    seed=st.integers(0, 1000), n_documents=st.integers(4, 12), alpha=st.sampled_from([0.025, 0.05, 0.1]),
    discrete=st.booleans(), value=st.floats(-1, 1), resampled=st.booleans(),
)  # fmt: skip
def test_interval_and_p_value_never_contradict_each_other(
    seed: int, n_documents: int, alpha: float, discrete: bool, value: float, resampled: bool
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.choice([0.0, 0.5, 1.0], (n_documents, 6)) if discrete else rng.standard_exponential((n_documents, 6))
    counts = samples_of(rng, n_documents, 199) if resampled else None
    found = contrast(values, np.ones(n_documents), tuple(range(6)), counts)
    low, high = found.interval(1 - 2 * alpha)
    np.testing.assert_array_equal(low > value, found.greater_than(value)[1] <= alpha)
    np.testing.assert_array_equal(high < value, found.less_than(value)[1] <= alpha)
    inside = (low > -abs(value)) & (high < abs(value))
    np.testing.assert_array_equal(inside, found.two_one_sided_tests(abs(value))[1] <= alpha)


@CHECKED
@given(seed=st.integers(0, 1000), shift=st.floats(-5, 5), scale=st.sampled_from([-2.0, 0.25, 3.0]))
def test_tests_move_with_the_data(seed: int, shift: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    values, counts = rng.standard_exponential((15, 2)), samples_of(rng, 15, 99)
    found = contrast(values, np.ones(15), (0, 1), counts)
    moved = contrast(scale * values + shift, np.ones(15), (0, 1), counts)
    limits = np.sort(scale * np.array(found.interval(0.9)) + shift, axis=0)
    np.testing.assert_allclose(moved.interval(0.9), limits, rtol=1e-9, atol=1e-9)
    test = moved.greater_than if scale > 0 else moved.less_than
    np.testing.assert_allclose(test(scale * 1.1 + shift)[1], found.greater_than(1.1)[1])


def test_every_document_twice_leaves_the_estimate() -> None:
    values, weights = np.random.default_rng(3).standard_normal((8, 3)), np.arange(1.0, 9.0)
    once, twice = (contrast(np.tile(values, (n, 1)), np.tile(weights, n), (0, 1, 2)) for n in (1, 2))
    np.testing.assert_allclose(once.estimate, twice.estimate)


@pytest.mark.parametrize("resampled", [False, True])
def test_no_spread_but_rounding_gives_neither_p_value_nor_interval(resampled: bool) -> None:
    rng = np.random.default_rng(4)
    values = np.full((30, 2), 0.1) * (1 + 1e-16 * rng.standard_normal((30, 2)))
    found = contrast(values, np.ones(30), (0, 1), samples_of(rng, 30, 99) if resampled else None)
    assert np.isnan([*found.interval(0.95), found.greater_than(0.0)[1], found.less_than(0.0)[1]]).all()


def test_too_few_samples_for_a_size_leave_the_interval_open() -> None:
    rng = np.random.default_rng(5)
    found = contrast(rng.standard_normal((20, 1)), np.ones(20), (0,), samples_of(rng, 20, 30))
    assert np.isinf(found.interval(0.95)).all()
    assert np.isfinite(found.interval(0.9)).all()


def test_an_unbalanced_contrast_weighs_each_dose_by_its_rows() -> None:
    frame = noisy_frame(0, n_documents=12).drop(index=[3, 50, 51])
    curves = document_curves(frame, y="effect", x="rate", cluster="document_id")
    weights = nearest_dose(curves.x, 0.9) - nearest_dose(curves.x, 0.02)
    found = contrast_of_doses(curves, weights, samples_of(np.random.default_rng(6), 12, 99))
    means = frame.groupby("rate")["effect"].mean()
    assert found.estimate[0] == pytest.approx(means[0.9] - means[0.02])
    low, high = found.interval(0.9)
    assert low[0] < found.estimate[0] < high[0]


def test_sizes_of_bootstrap_t_where_documents_are_skewed_and_t_is_not_its_level() -> None:
    rng = np.random.default_rng(7)
    # 4,000 studies of 30 documents with exponential levels, the mean as the null says: Monte-Carlo error 0.35 points.
    values = rng.standard_exponential((30, 4000))
    sizes = {}
    for name, counts in (("t", None), ("bootstrap-t", samples_of(rng, 30, 399))):
        found = contrast(values, np.ones(30), tuple(range(4000)), counts)
        sizes[name] = [(test(1.0)[1] <= 0.05).mean() for test in (found.greater_than, found.less_than)]
    assert all(0.03 < size < 0.07 for size in sizes["bootstrap-t"])
    assert sizes["t"][0] < 0.03
    assert sizes["t"][1] > 0.08


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
        assert decide(0.1, 0.2, np.nan) == "undecided"


def test_an_open_interval_decides_on_its_closed_side() -> None:
    assert below_limit(-np.inf, 0.1, 0.5) == "supported"
    assert below_limit(0.6, np.inf, 0.5) == "refuted"
    assert within_margin(-np.inf, 0.1, 0.5) == "undecided"


def test_of_two_tests_with_the_smallest_p_value_the_smaller_statistic_is_the_weaker() -> None:
    rng = np.random.default_rng(1)
    values = 0.1 + 0.01 * rng.standard_normal((40, 1))
    counts = resample_documents(40, 200, rng).bootstrap
    found = contrast(values, np.ones(40), ("all",), counts)
    statistic, p_value = found.two_one_sided_tests(5.0)
    assert p_value[0] == 1 / 201
    assert statistic[0] == pytest.approx((5 - values.mean()) / found.std_error[0])


def test_a_limit_that_samples_without_spread_leave_open_is_infinite() -> None:
    values = np.zeros((6, 1))
    values[0] = 1.0
    multiplicities = resample_documents(6, 400, np.random.default_rng(0)).bootstrap
    found = contrast(values, np.ones(6), ("all",), multiplicities)
    low, high = found.interval(0.95)
    # A third of the samples miss the only document that differs: they have a mean, and no spread.
    assert high[0] == np.inf
    assert np.isfinite(low[0]) or low[0] == -np.inf
