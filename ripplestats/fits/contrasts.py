"""Linear contrasts of documents' curves: estimate, cluster-robust standard error, t tests."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ripplestats.fits.bootstrap import MINIMUM_DOCUMENTS
from ripplestats.fits.curves import DocumentCurves, Floats


@dataclass(frozen=True)
class Contrast:
    """A weighted mean over documents, one a group; ``std_error`` is NaN where undefined."""

    groups: tuple[Hashable, ...]
    estimate: Floats
    std_error: Floats
    df: int

    def interval(self, conf_level: float) -> tuple[Floats, Floats]:
        """Return the limits of the t interval."""
        half = stats.t.isf((1 - conf_level) / 2, self.df) * self.std_error
        return self.estimate - half, self.estimate + half

    def greater_than(self, value: float) -> tuple[Floats, Floats]:
        """Return t statistics and one-sided p-values of the null that the mean is not above ``value``."""
        statistic = self._statistic(value)
        return statistic, stats.t.sf(statistic, self.df)

    def two_one_sided_tests(self, margin: float) -> tuple[Floats, Floats]:
        """Return the weaker statistic and p-value of the null that the mean is not within ± ``margin``.

        Schuirmann (1987), J. Pharmacokinet. Biopharm. 15:657.
        """
        above, below = self._statistic(-margin), -self._statistic(margin)
        weaker = np.minimum(above, below)
        return weaker, stats.t.sf(weaker, self.df)

    def _statistic(self, value: float) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic: Floats = np.where(self.std_error > 0, (self.estimate - value) / self.std_error, np.nan)
        return statistic


def contrast_of_doses(curves: DocumentCurves, weights: Floats) -> Contrast:
    """Return the contrast Σ weights · effect of each group's curve (``weights`` has a value a dose)."""
    return contrast(curves.values @ weights, curves.weights, curves.groups)


def contrast(values: Floats, weights: Floats, groups: tuple[Hashable, ...]) -> Contrast:
    """Average values over documents.

    Args:
        values: documents × groups.
        weights: prompts of each document.
        groups: names of the groups.

    Returns:
        Means weighted by prompts; standard errors from the documents' weighted deviations (Liang & Zeger 1986, with
        the factor D/(D − 1)), D − 1 degrees of freedom.
    """
    n = len(weights)
    estimate = weights @ values / weights.sum()
    deviations = weights[:, None] * (values - estimate)
    if n < MINIMUM_DOCUMENTS:
        return Contrast(groups, estimate, np.full(len(groups), np.nan), max(n - 1, 1))
    error = np.sqrt((deviations**2).sum(axis=0) * n / (n - 1)) / weights.sum()
    return Contrast(groups, estimate, error, n - 1)


def nearest_dose(x: Floats, dose: float) -> Floats:
    """Return weights that pick the grid's dose nearest to ``dose``, or NaN where none is within a tenth of it.

    The dose asked for and the one run differ a little: 10 % of 1,536 neurons are 153, or 9.96 %.
    """
    place = int(np.abs(x - dose).argmin())
    picked = np.zeros(len(x))
    picked[place] = 1.0 if abs(x[place] - dose) <= 0.1 * dose else np.nan
    return picked
