"""Resampling of documents, against numpy's quantiles and scipy's own bootstrap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ripplestats.fits.bootstrap import (
    MINIMUM_DOCUMENTS,
    Resamples,
    bootstrap,
    resample_documents,
    simultaneous_band,
)
from ripplestats.fits.curves import DocumentCurves
from tests.fits.frames import CHECKED


def curves_of(values: np.ndarray) -> DocumentCurves:
    """Documents × doses as curves of one group, one prompt a document."""
    x = np.arange(1.0, values.shape[1] + 1)
    return DocumentCurves(x, np.ones(len(x)), values[:, None].astype(float), np.ones(len(values)), ("all",))


def mean_of(rows: np.ndarray) -> np.ndarray:
    return rows.mean(axis=1)


@CHECKED
@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_each_resample_draws_as_many_documents_as_there_are(n: int, n_boot: int, seed: int) -> None:
    resamples = resample_documents(n, n_boot, np.random.default_rng(seed))
    assert resamples.bootstrap.shape == (n_boot, n)
    assert (resamples.bootstrap.sum(axis=1) == n).all()
    assert (resamples.bootstrap >= 0).all()


def test_every_document_is_drawn_equally_often() -> None:
    counts = resample_documents(5, 4000, np.random.default_rng(0)).bootstrap
    # Each count is binomial(5, 1/5): mean 1, variance .8; the standard error of the mean is .014.
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.06)
    np.testing.assert_allclose(counts.var(axis=0), 0.8, atol=0.08)


def test_the_seed_fixes_the_resamples() -> None:
    first, again, other = (resample_documents(8, 20, np.random.default_rng(seed)).bootstrap for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_percentiles_and_standard_error_are_those_of_the_replicates() -> None:
    rng = np.random.default_rng(1)
    curves = curves_of(rng.standard_exponential((12, 3)))
    resamples = resample_documents(12, 150, rng)
    replicates = curves.pooled(resamples.bootstrap).mean(axis=2)
    found = bootstrap(curves, mean_of, resamples, conf_level=0.9)
    np.testing.assert_allclose(found.std_error, replicates.std(axis=0, ddof=1), rtol=1e-12)
    np.testing.assert_allclose(found.percentile, np.quantile(replicates, [0.05, 0.95], axis=0), rtol=1e-12)
    np.testing.assert_array_equal(found.undefined, [0])


def test_the_standard_error_of_a_mean_is_the_textbooks() -> None:
    rng = np.random.default_rng(2)
    values = rng.standard_normal((40, 1))
    found = bootstrap(curves_of(values), mean_of, resample_documents(40, 4000, rng))
    expected = values.std() / np.sqrt(40)
    np.testing.assert_allclose(found.std_error, expected, rtol=0.05)
    np.testing.assert_allclose(
        np.ravel(found.percentile), values.mean() + 1.96 * expected * np.array([-1, 1]), atol=0.02
    )


def test_bca_limits_are_scipys() -> None:
    # Skewed data, so that both corrections matter; the two draw differently, so limits agree to 3 % of the width.
    values = np.random.default_rng(3).standard_exponential(40)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(4)
    ).confidence_interval
    found = bootstrap(curves_of(values[:, None]), mean_of, resample_documents(40, 20_000, np.random.default_rng(5)))
    width = theirs.high - theirs.low
    np.testing.assert_allclose(np.ravel(found.bca), theirs, atol=0.03 * width)
    assert found.percentile[1][0] < theirs.high - 0.03 * width


def test_without_skewness_both_intervals_agree() -> None:
    values = np.linspace(-1, 1, 41)[:, None]
    found = bootstrap(curves_of(values), mean_of, resample_documents(41, 10_000, np.random.default_rng(6)))
    np.testing.assert_allclose(np.ravel(found.bca), np.ravel(found.percentile), atol=0.01)


def test_replicates_that_tie_with_the_estimate_count_half() -> None:
    # A symmetric statistic of few values: neither correction has anything to correct.
    values = np.linspace(-1, 1, 41)[:, None]
    resamples = resample_documents(41, 4000, np.random.default_rng(15))
    found = bootstrap(curves_of(values), lambda rows: rows.mean(axis=1).round(1), resamples, conf_level=0.8)
    np.testing.assert_allclose(np.ravel(found.percentile), [-0.1, 0.1], atol=1e-12)
    np.testing.assert_allclose(np.ravel(found.bca), [-0.1, 0.1], atol=1e-12)


def test_undefined_replicates_are_left_out_and_counted() -> None:
    rng = np.random.default_rng(7)
    values = rng.standard_normal((15, 2))
    curves = curves_of(values - values.mean() + 0.05)
    resamples = resample_documents(15, 200, rng)

    def positive_mean(rows: np.ndarray) -> np.ndarray:
        means = rows.mean(axis=1)
        return np.where(means > 0, means, np.nan)

    replicates = curves.pooled(resamples.bootstrap).mean(axis=2)
    kept = replicates[replicates > 0]
    assert 0 < len(kept) < 200
    found = bootstrap(curves, positive_mean, resamples)
    np.testing.assert_allclose(np.ravel(found.percentile), np.quantile(kept, [0.025, 0.975]), rtol=1e-12)
    np.testing.assert_allclose(found.std_error, kept.std(ddof=1), rtol=1e-12)
    np.testing.assert_allclose(found.undefined, 1 - len(kept) / 200, rtol=1e-12)


def test_a_statistic_that_is_never_defined_has_neither_error_nor_limits() -> None:
    curves = curves_of(np.random.default_rng(8).standard_normal((6, 2)))
    found = bootstrap(
        curves, lambda rows: np.full(len(rows), np.nan), resample_documents(6, 20, np.random.default_rng(0))
    )
    assert np.isnan([*found.std_error, *np.ravel(found.percentile), *np.ravel(found.bca)]).all()
    np.testing.assert_array_equal(found.undefined, [1])


def test_a_statistic_of_several_columns_is_bootstrapped_column_by_column() -> None:
    rng = np.random.default_rng(9)
    curves = curves_of(rng.standard_normal((10, 3)))
    resamples = resample_documents(10, 60, rng)
    together = bootstrap(curves, lambda rows: rows[:, :2] ** 2, resamples)
    for column in range(2):
        alone = bootstrap(curves, lambda rows, column=column: rows[:, column] ** 2, resamples)
        for method in ("percentile", "bca"):
            found = [limit[0, column] for limit in getattr(together, method)]
            np.testing.assert_allclose(found, np.ravel(getattr(alone, method)), rtol=1e-12)


@pytest.mark.parametrize("n_documents", range(1, MINIMUM_DOCUMENTS))
def test_fewer_than_four_documents_have_no_interval(n_documents: int) -> None:
    curves = curves_of(np.random.default_rng(10).standard_normal((n_documents, 3)))
    resamples = resample_documents(n_documents, 50, np.random.default_rng(0))
    found = bootstrap(curves, mean_of, resamples)
    assert np.isnan([*found.std_error, *np.ravel(found.percentile), *np.ravel(found.bca)]).all()
    assert np.isnan(simultaneous_band(curves, resamples)).all()


def test_four_documents_have_one() -> None:
    curves = curves_of(np.random.default_rng(11).standard_normal((4, 3)))
    found = bootstrap(curves, mean_of, resample_documents(4, 50, np.random.default_rng(0)))
    assert np.isfinite([*found.std_error, *np.ravel(found.percentile), *np.ravel(found.bca)]).all()


def test_data_without_variation_have_intervals_of_no_width() -> None:
    curves = curves_of(np.full((6, 3), 2.0))
    resamples = resample_documents(6, 30, np.random.default_rng(0))
    found = bootstrap(curves, mean_of, resamples)
    np.testing.assert_allclose([*found.percentile, *found.bca], 2, rtol=1e-12)
    np.testing.assert_allclose(found.std_error, 0, atol=1e-12)
    np.testing.assert_allclose(simultaneous_band(curves, resamples), 0, atol=1e-12)


def test_documents_that_are_resampled_together_move_together() -> None:
    # One replicate takes document 0 alone, the other document 3 alone.
    values = np.arange(8.0).reshape(4, 2)
    chosen = np.array([[4.0, 0, 0, 0], [0, 0, 0, 4.0]])
    found = bootstrap(curves_of(values), lambda rows: rows[:, 1] - rows[:, 0], Resamples(chosen, np.empty((0, 4))))
    np.testing.assert_allclose(np.ravel(found.percentile), 1)


def test_the_band_of_a_curve_is_wider_than_that_of_a_point() -> None:
    rng = np.random.default_rng(12)
    curves = curves_of(rng.standard_normal((30, 10)))
    resamples = resample_documents(30, 2000, rng)
    pointwise, simultaneous = simultaneous_band(curves, resamples)
    spread = curves.pooled(resamples.bootstrap).std(axis=0, ddof=1)
    np.testing.assert_allclose(pointwise, 1.959964 * spread, rtol=1e-6)
    # Ten independent doses: the normal quantile of .95^(1/10) is 2.80.
    np.testing.assert_allclose(simultaneous / spread, 2.80, atol=0.2)


def test_one_dose_needs_no_wider_band() -> None:
    rng = np.random.default_rng(13)
    curves = curves_of(rng.standard_normal((60, 1)))
    pointwise, simultaneous = simultaneous_band(curves, resample_documents(60, 4000, rng))
    np.testing.assert_allclose(simultaneous, pointwise, rtol=0.05)


def test_the_simultaneous_band_covers_the_whole_curve_at_its_level() -> None:
    rng = np.random.default_rng(14)
    whole = {"pointwise": 0, "simultaneous": 0}
    for _ in range(200):
        curves = curves_of(rng.standard_normal((50, 6)))
        for name, half in zip(whole, simultaneous_band(curves, resample_documents(50, 200, rng)), strict=True):
            whole[name] += bool((np.abs(curves.pooled()) <= half).all())
    assert 0.89 <= whole["simultaneous"] / 200 <= 0.99
    assert whole["pointwise"] / 200 < 0.85
