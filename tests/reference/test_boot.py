"""The bootstrap over documents against R's boot and boot.ci on the same resamples (boot.R, package boot 1.3-28.1).

Tolerances:
- 1e-12 relative, plateau and its replicates: weighted sums of the same numbers.
- 1e-8 relative, break and its replicates: two ways to the same exact solution; a break is a quotient of differences.
- 1e-8 relative, standard error: the standard deviation of the above.
- 1e-8 relative, R's percentile interval from our replicates by R's definition: the order statistics of rank
  (B + 1)·α, here the 10th and the 390th of 399 (numpy's method ``weibull``).
- our own intervals: within one rank of R's. Ours are quantiles that interpolate between ranks 1 + (B − 1)·α (numpy's
  default, type 7), for BCa too, where R interpolates on the normal scale between ranks (B + 1)·α'. The two definitions
  never differ by more than one rank, an error of 1/B in level.
- BCa: R is given the centred jackknife as influence values, which is Efron's (1987) and ours. Its default, a regression
  of the replicates on the frequencies, is another estimate of the same (up to 7 of 399 ranks away here).
"""

import numpy as np
import pytest

from ripplestats.fits.bootstrap import Interval
from tests.reference.ours import (
    BOOT_TERMS,
    boot_documents,
    boot_interval,
    boot_resamples,
    boot_statistic,
    table,
)

THEIRS = table("boot_intervals").set_index(["term", "method"])
REPLICATES = table("boot_replicates")
TERMS = dict(zip(BOOT_TERMS, (1e-12, 1e-8), strict=True))


@pytest.fixture(scope="module")
def ours() -> Interval:
    return boot_interval()


@pytest.mark.parametrize("term", TERMS)
def test_estimate_and_replicates_are_those_of_boot(term: str) -> None:
    curves, place = boot_documents(), list(TERMS).index(term)
    estimate = boot_statistic(curves.pooled())[0, place]
    assert estimate == pytest.approx(THEIRS["estimate"][term, "percentile"], rel=TERMS[term])
    replicates = boot_statistic(curves.pooled(boot_resamples(curves.n_documents).bootstrap)[:, 0])[:, place]
    np.testing.assert_allclose(replicates, REPLICATES[term], rtol=TERMS[term])
    by_their_definition = np.quantile(replicates, [0.025, 0.975], method="weibull")
    limits = THEIRS.loc[(term, "percentile"), ["conf_low", "conf_high"]].to_numpy(float)
    np.testing.assert_allclose(by_their_definition, limits, rtol=1e-8)


@pytest.mark.parametrize("term", TERMS)
def test_the_standard_error_is_that_of_boot(ours: Interval, term: str) -> None:
    error = ours.std_error[0, list(TERMS).index(term)]
    assert error == pytest.approx(THEIRS["std_error"][term, "percentile"], rel=1e-8)


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize("term", TERMS)
def test_intervals_are_within_a_rank_of_boot_ci(ours: Interval, term: str, method: str) -> None:
    ordered = np.sort(REPLICATES[term].to_numpy())
    limits = np.array([one[0, list(TERMS).index(term)] for one in getattr(ours, method)])
    ranks = THEIRS.loc[(term, method), ["rank_low", "rank_high"]].to_numpy(float)
    # Where our limits stand among the replicates, as a fractional rank.
    places = np.interp(limits, ordered, np.arange(1, len(ordered) + 1))
    assert np.abs(places - ranks).max() <= 1.01
