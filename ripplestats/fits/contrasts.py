"""Linear contrasts of documents' curves: estimate, cluster-robust standard error, t or bootstrap-t tests.

Documents differ much and to one side. At a nominal 5 % a one-sided t test on 30 documents with exponential levels rejects
in 2 or 10 % of studies, after the skew's direction; with the bootstrap distribution of the studentised mean it is 4 and 6.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from ripplestats.fits.bootstrap import MINIMUM_DOCUMENTS
from ripplestats.fits.curves import DocumentCurves, Floats

#: A spread below this share of the size of the values is rounding.
_ROUNDING = 1e-12
_GROUPS_AT_ONCE = 32


@dataclass(frozen=True)
class Contrast:
    """A weighted mean over documents, one a group; ``std_error`` is NaN where undefined, 0 where documents are equal.

    ``replicates`` (samples × groups) are studentised deviations of the bootstrap means, NaN where a sample has neither
    deviation nor spread; without them tests and intervals are by the t distribution.
    """

    groups: tuple[Hashable, ...]
    estimate: Floats
    std_error: Floats
    df: int
    replicates: Floats | None = None

    def interval(self, conf_level: float) -> tuple[Floats, Floats]:
        """Return the limits of the t interval, or of the bootstrap-t interval (Efron & Tibshirani 1993, eq. 12.22).

        NaN where documents have no spread, as the p-values are.
        """
        low, high = self.critical_values((1 - conf_level) / 2)
        error = np.where(self.std_error > 0, self.std_error, np.nan)
        return self.estimate - high * error, self.estimate - low * error

    def greater_than(self, value: float) -> tuple[Floats, Floats]:
        """Return statistics and one-sided p-values of the null that the mean is not above ``value``."""
        statistic = self.statistic(value)
        return statistic, self._tail(statistic, 1)

    def less_than(self, value: float) -> tuple[Floats, Floats]:
        """Return statistics, large where the mean is low, and p-values of the null that it is not below ``value``."""
        statistic = -self.statistic(value)
        return statistic, self._tail(statistic, -1)

    def two_one_sided_tests(self, margin: float) -> tuple[Floats, Floats]:
        """Return the weaker statistic and p-value of the null that the mean is not within ± ``margin``.

        Schuirmann (1987), J. Pharmacokinet. Biopharm. 15:657.
        """
        (above, p_above), (below, p_below) = self.greater_than(-margin), self.less_than(margin)
        # Equal p-values of replicates: the smaller statistic is the weaker.
        first = np.where(p_above == p_below, above <= below, p_above > p_below)
        return np.where(first, above, below), np.maximum(p_above, p_below)

    def statistic(self, value: float) -> Floats:
        """Return (mean − ``value``) / standard error, NaN where the error is undefined or zero."""
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic: Floats = np.where(self.std_error > 0, (self.estimate - value) / self.std_error, np.nan)
        return statistic

    def critical_values(self, alpha: float) -> tuple[Floats, Floats]:
        """Return the statistics below and above which a one-sided test of size ``alpha`` rejects.

        By replicates they are order statistics, so that p ≤ alpha exactly where the statistic is beyond; infinite where
        the replicates are too few for that size.
        """
        if self.replicates is None:
            high = np.full(len(self.estimate), stats.t.isf(alpha, self.df))
            return -high, high
        beyond = int(np.floor(alpha * (1 + len(self.replicates)) + 1e-9))
        if beyond == 0:
            return np.full(len(self.estimate), -np.inf), np.full(len(self.estimate), np.inf)
        # NaN sorts last, so that it counts as beyond any statistic on either side.
        upper, lower = (np.partition(sign * self.replicates, -beyond, axis=0)[-beyond] for sign in (1, -1))
        return -np.where(np.isnan(lower), np.inf, lower), np.where(np.isnan(upper), np.inf, upper)

    def _tail(self, statistic: Floats, sign: Literal[1, -1]) -> Floats:
        if self.replicates is None:
            return np.asarray(stats.t.sf(statistic, self.df))
        # A replicate that is undefined counts against every claim.
        as_large = (~(sign * self.replicates < statistic)).sum(axis=0)
        return np.where(np.isnan(statistic), np.nan, (1 + as_large) / (1 + len(self.replicates)))


def contrast_of_doses(curves: DocumentCurves, weights: Floats, multiplicities: Floats | None = None) -> Contrast:
    """Return the contrast Σ weights · effect of each group's curve (``weights`` has a value a dose)."""
    return contrast(*document_values(curves, weights), curves.groups, multiplicities)


def document_values(curves: DocumentCurves, weights: Floats) -> tuple[Floats, Floats]:
    """Return what documents give to the contrast Σ weights · effect, documents × groups, and how each document weighs."""
    if curves.counts is None:
        return curves.values @ weights, curves.weights
    estimate, moved = curves.influences(weights)
    return estimate + curves.n_documents * moved, np.ones(curves.n_documents)


def contrast(
    values: Floats, weights: Floats, groups: tuple[Hashable, ...], multiplicities: Floats | None = None
) -> Contrast:
    """Average values over documents.

    Args:
        values: documents × groups.
        weights: prompts of each document.
        groups: names of the groups.
        multiplicities: samples × documents, how often each document counts, for tests by bootstrap-t; the same for all
            contrasts that are to be compared.

    Returns:
        Means weighted by prompts; standard errors from the documents' weighted deviations (Liang & Zeger 1986, with
        the factor D/(D − 1)), D − 1 degrees of freedom.
    """
    n = len(weights)
    estimate = weights @ values / weights.sum()
    if n < MINIMUM_DOCUMENTS:
        unknown = None if multiplicities is None else np.full((len(multiplicities), len(groups)), np.nan)
        return Contrast(groups, estimate, np.full(len(groups), np.nan), max(n - 1, 1), unknown)
    deviations = values - estimate
    error = np.sqrt(((weights[:, None] * deviations) ** 2).sum(axis=0) * n / (n - 1)) / weights.sum()
    error = np.where(error > _ROUNDING * np.abs(values).max(axis=0, initial=0.0), error, 0.0)
    replicates = None if multiplicities is None else _studentised(deviations, weights, multiplicities)
    return Contrast(groups, estimate, error, n - 1, replicates)


def _studentised(deviations: Floats, weights: Floats, multiplicities: Floats) -> Floats:
    """Return means of samples over their own standard errors, samples × groups, from sums over documents alone.

    Σ c·w²·(y − m)² is opened up so that each term is one matrix product; a few groups at a time stay in the cache.
    """
    n = len(weights)
    total = (multiplicities @ weights)[:, None]
    once, twice = ((multiplicities * weights**power / total**power).T for power in (1, 2))
    replicates = np.empty((deviations.shape[1], len(multiplicities)))
    for start in range(0, len(replicates), _GROUPS_AT_ONCE):
        values = np.ascontiguousarray(deviations[:, start : start + _GROUPS_AT_ONCE].T)
        mean, squares = values @ once, values**2 @ twice
        spread = squares - mean * (2 * (values @ twice) - mean * twice.sum(axis=0))
        spread = np.where(spread > _ROUNDING * squares, spread, 0.0) * (n / (n - 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            np.divide(mean, np.sqrt(spread), out=replicates[start : start + _GROUPS_AT_ONCE])
    return replicates.T


def nearest_dose(x: Floats, dose: float) -> Floats:
    """Return weights that pick the grid's dose nearest to ``dose``, or NaN where none is within a tenth of it.

    The dose asked for and the one run differ a little: 10 % of 1,536 neurons are 153, or 9.96 %.
    """
    place = int(np.abs(x - dose).argmin())
    picked = np.zeros(len(x))
    picked[place] = 1.0 if abs(x[place] - dose) <= 0.1 * dose else np.nan
    return picked
