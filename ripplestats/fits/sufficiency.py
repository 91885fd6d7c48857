"""Sufficiency: the smallest share of neurons kept with which the prediction is nearly what it was.

The core fraction asks what replacing the top neurons destroys (necessity); this asks what keeping them alone restores.
"""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ripplestats.fits.bootstrap import Resamples, Statistic, bootstrap, of_pooled
from ripplestats.fits.curves import DocumentCurves, Floats
from ripplestats.fits.result import TERMS
from ripplestats.fits.saturation import first_dose_reaching, isotonic

if TYPE_CHECKING:
    import pandas as pd

#: The loss at the smallest share kept, and the share at which q of it is won back.
SUFFICIENCY_TERMS = ("loss_least_kept", "core_fraction_kept")


def sufficiency_statistic(curves: DocumentCurves, shares: Floats) -> Statistic:
    """Return the statistic that takes mean curves of ``keep_top`` to loss and core fractions kept: n × (1 + shares).

    The curves fall: their doses are shares of neurons kept. On the antitonic least-squares fit, linear between doses, the
    core fraction kept κ_q is the first share at which the loss has fallen to (1 − q) of that at the smallest share run.

    Args:
        curves: of documents; only their doses and the doses' weights are used.
        shares: q, each between 0 and 1.

    Returns:
        A function of curves (n × doses). κ is NaN where the loss at the smallest share is not positive, or never falls
        so far; ``sufficiency_notes`` says which.
    """

    def statistic(rows: Floats, dose_weights: Floats | None = None) -> Floats:
        # Upside down and above zero, where the isotonic fit's own bound does nothing.
        top = rows.max(axis=1, keepdims=True)
        fitted = top - isotonic(top - rows, curves.dose_weights if dose_weights is None else dose_weights)
        loss = fitted[:, 0]
        kept = first_dose_reaching(loss[:, None] - fitted, curves.x, loss[:, None] * shares)
        return np.column_stack([loss, kept])

    return statistic


def shares_of_whole(top: DocumentCurves, kept: DocumentCurves, groups: Sequence[Hashable]) -> tuple[Floats, Floats]:
    """Return what replacing the top neurons destroys, and what keeping them alone wins back, each as a share of its whole.

    The whole is the mean effect at the largest dose of ``top``, and at the smallest of ``keep_top``; NaN in a group where
    it is not positive.

    Args:
        top, kept: curves of the arms ``top`` and ``keep_top``.
        groups: which both have.

    Returns:
        Groups × doses of ``top``, and groups × doses of ``keep_top``.
    """
    shares = []
    for curves, whole in ((top, -1), (kept, 0)):
        mean = curves.pooled()[[curves.groups.index(group) for group in groups]]
        level = np.where(mean[:, [whole]] > 0, mean[:, [whole]], np.nan)
        shares.append(mean / level)
    return shares[0], 1 - shares[1]


def sufficiency_terms(
    curves: DocumentCurves, resamples: Resamples, conf_level: float = 0.95, shares: tuple[float, ...] = (0.5, 0.8, 0.9)
) -> "pd.DataFrame":
    """Return loss and core fractions kept for each group, with expanded percentile intervals; the columns of ``core_terms``."""
    import pandas as pd

    statistic = sufficiency_statistic(curves, np.array(shares))
    estimate = of_pooled(curves, statistic)
    found = bootstrap(curves, statistic, resamples, conf_level, bca=False)
    notes = sufficiency_notes(estimate)
    keys = [(SUFFICIENCY_TERMS[0], np.nan), *((SUFFICIENCY_TERMS[1], share) for share in shares)]
    rows = [
        (group, "bootstrap expanded", share, term, estimate[i, j], found.std_error[i, j], np.nan, np.nan,
         found.expanded[0][i, j], found.expanded[1][i, j], notes[i][j])
        if not notes[i][j]
        else (group, "bootstrap expanded", share, term, *[np.nan] * 6, notes[i][j])
        for i, group in enumerate(curves.groups)
        for j, (term, share) in enumerate(keys)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["group", "method", "share", *TERMS])


def sufficiency_notes(estimates: Floats) -> list[list[str]]:
    """Say of each estimate (groups × (1 + shares)) why it is undefined, or nothing if it is not."""
    return [["", *[_reason(loss, one) for one in kept]] for loss, *kept in estimates.tolist()]


def _reason(loss: float, kept: float) -> str:
    if not np.isnan(kept):
        return ""
    if not loss > 0:
        return "undefined: with the fewest neurons kept nothing is lost"
    return "undefined: not reached with the most neurons kept"
