"""P-values adjusted for the number of hypotheses: resampling step-down, Holm, Benjamini–Hochberg.

Westfall & Young (1993), Resampling-Based Multiple Testing, algorithms 2.8 and 4.1; Romano & Wolf (2005), Econometrica
73:1237, show that with bootstrap statistics the step-down controls the chance of any false rejection, whichever nulls are
true, and that it uses the dependence between hypotheses: layers read the same prompts.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ripplestats.errors import InputError
from ripplestats.fits.curves import Floats

UNDEFINED = "left out: the statistic is undefined"
_METHODS: dict[str, str] = {"holm": "holm", "bh": "fdr_bh"}


@dataclass(frozen=True)
class Adjusted:
    """P-values of m hypotheses; NaN with a note where one was left out."""

    p_value: Floats
    p_adjusted: Floats
    notes: tuple[str, ...]


def max_t_step_down(statistics: Floats, replicates: Floats) -> Adjusted:
    """Adjust one-sided tests by the largest replicate among the hypotheses not yet rejected.

    Args:
        statistics: (m,), large values against the null; NaN is left out.
        replicates: samples × m, the same statistics under the null, all hypotheses of a sample from one resample; NaN
            counts as larger than any statistic.

    Returns:
        p = (1 + #{replicates as large}) / (1 + samples), and adjusted p-values that rise as statistics fall.

    Raises:
        InputError: the shapes do not fit, or there are no replicates.
    """
    _check(statistics, replicates)
    known = np.flatnonzero(~np.isnan(statistics))
    order = known[np.argsort(-statistics[known], kind="stable")]
    ordered = statistics[order]
    under_null = np.where(np.isnan(replicates), np.inf, replicates)[:, order]
    # From the last hypothesis up: the largest of all that are still in when this one's turn comes.
    largest = np.maximum.accumulate(under_null[:, ::-1], axis=1)[:, ::-1]
    p_value, p_adjusted = np.full((2, len(statistics)), np.nan)
    p_value[order] = _share_as_large(ordered, under_null)
    p_adjusted[order] = np.maximum.accumulate(_share_as_large(ordered, largest))
    return Adjusted(p_value, p_adjusted, tuple(UNDEFINED if np.isnan(one) else "" for one in statistics))


def min_p_step_down(statistics: Floats, replicates: Floats) -> Adjusted:
    """Adjust as ``max_t_step_down``, each statistic first turned into its own p-value.

    For statistics whose null distributions differ, so that no layer's scale decides alone. A replicate's p-value is its
    rank among all replicates and the observed statistic (Ge, Dudoit & Speed 2003, Test 12:1, box 4, which leaves the
    observed one out: then no replicate could be as small as the smallest p-value).
    """
    _check(statistics, replicates)
    under_null = np.where(np.isnan(replicates), np.inf, replicates)
    # Rank 1 is the largest, ties take the worst: the number of values that are as large.
    as_large = stats.rankdata(-np.vstack([statistics, under_null]), method="max", axis=0)
    return max_t_step_down(-as_large[0], -as_large[1:])


def adjusted_p_values(p_values: Floats, method: str) -> Floats:
    """Adjust p-values by ``holm`` (1979) or ``bh`` (Benjamini & Hochberg 1995); NaN is left out and stays NaN.

    Raises:
        InputError: the method is not known.
    """
    from statsmodels.stats.multitest import multipletests

    if method not in _METHODS:
        raise InputError(f"method={method!r} is not known; allowed: {', '.join(_METHODS)}")
    known = ~np.isnan(p_values)
    found = np.full(len(p_values), np.nan)
    if known.any():
        found[known] = multipletests(p_values[known], method=_METHODS[method])[1]
    return found


def _share_as_large(statistics: Floats, replicates: Floats) -> Floats:
    p_value: Floats = (1 + (replicates >= statistics).sum(axis=0)) / (1 + len(replicates))
    return p_value


def _check(statistics: Floats, replicates: Floats) -> None:
    if statistics.ndim != 1 or replicates.ndim != 2 or replicates.shape[1] != len(statistics) or not len(replicates):
        raise InputError(
            f"replicates of shape {replicates.shape} do not fit statistics of shape {statistics.shape}; "
            "allowed: samples × hypotheses, at least one sample"
        )
