"""Several breaks: lines with 0 to 3 breaks through mean curves, with intervals from resampled documents."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import stats

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import MINIMUM_DOCUMENTS, RESAMPLED, Resamples, Statistic, bootstrap, check_intervals
from ripplestats.fits.break_number import MAXIMUM_BREAKS, NOTHING, bic_scores, held_out_errors, variation
from ripplestats.fits.break_patterns import SeveralBreaksDesign, minimum_doses
from ripplestats.fits.curves import DocumentCurves, Floats
from ripplestats.fits.result import TERMS

if TYPE_CHECKING:
    import pandas as pd


#: What a reader must know of intervals where the frame is not balanced.
WORKING_WEIGHTS = "Resamples of documents are fitted with the weights that the doses have in the whole frame."


@dataclass(frozen=True)
class SeveralBreaks:
    """Lines with breaks through the mean curves of groups.

    ``terms`` has the rows ``threshold_1`` …, ``intercept``, ``slope_1`` … of each group; ``n_breaks`` is the number
    of breaks of each; ``choice`` has what each number of breaks scored, or is None where the number was given.
    """

    terms: "pd.DataFrame"
    n_breaks: tuple[int, ...]
    choice: "pd.DataFrame | None"


def several_breaks(
    curves: DocumentCurves,
    n_breaks: int | Literal["bic", "cv"],
    resamples: Resamples | None = None,
    conf_level: float = 0.95,
    rng: np.random.Generator | None = None,
    interval: str = "percentile",
) -> SeveralBreaks:
    """Fit the continuous line with several breaks to the mean curve of each group.

    Where the frame is not balanced the estimates are still those of least squares on its rows. Resamples are then fitted
    with the weights that the doses have in the whole frame, as working weights: their own would change little, and cost a
    new basis of all patterns of breaks for each of thousands of resamples.

    Args:
        curves: documents' mean curves.
        n_breaks: 0 to 3, or how to choose it for each group: ``bic`` (see ``bic_scores``) or ``cv`` (see
            ``held_out_errors``).
        resamples: of documents, for intervals of the ordered breaks and of the slopes; None for none. The intervals
            hold the number of breaks fixed, also where it was chosen.
        conf_level: of the intervals.
        rng: draws the folds of ``cv``.
        interval: ``percentile``, ``expanded`` or ``bca``.

    Returns:
        Terms that are NaN with a note where the breaks cannot be told, the numbers of breaks, and the scores.

    Raises:
        InputError: the number or the interval is not allowed, or ``cv`` has no generator or too few documents (see
            ``held_out_errors``).
    """
    import pandas as pd

    check_intervals((interval,), RESAMPLED)
    choice = None
    if n_breaks in ("bic", "cv"):
        choice = bic_scores(curves) if n_breaks == "bic" else held_out_errors(curves, rng)
        chosen = choice[choice["chosen"]].set_index("group")["n_breaks"]
        numbers = tuple(int(chosen[group]) for group in curves.groups)
    elif isinstance(n_breaks, int) and 0 <= n_breaks <= MAXIMUM_BREAKS:
        numbers = (n_breaks,) * len(curves.groups)
    else:
        raise InputError(f"breaks={n_breaks!r} is not allowed; allowed: 0 to {MAXIMUM_BREAKS}, 'bic', 'cv'")
    parts = [
        _terms(curves.of_groups(members), numbers[members[0]], resamples, conf_level, interval)
        for members in _alike(curves, numbers)
    ]
    order = {group: i for i, group in enumerate(curves.groups)}
    terms = pd.concat(parts).sort_values("group", key=lambda names: names.map(order), kind="stable")
    return SeveralBreaks(terms.reset_index(drop=True), numbers, choice)


def _alike(curves: DocumentCurves, numbers: tuple[int, ...]) -> list[list[int]]:
    """Return the places of groups that one design fits: as many breaks, and the same weights of the doses."""
    if curves.counts is not None:
        return [[i] for i in range(len(numbers))]
    return [[i for i, one in enumerate(numbers) if one == number] for number in sorted(set(numbers))]


def _terms(
    curves: DocumentCurves, number: int, resamples: Resamples | None, conf_level: float, interval: str
) -> "pd.DataFrame":
    """Return the terms of groups of equal weights: where the frame is not balanced, of one."""
    import pandas as pd

    names = (
        [f"threshold_{i + 1}" for i in range(number)] + ["intercept"] + [f"slope_{i + 1}" for i in range(number + 1)]
    )
    pooled = curves.pooled()
    weights = curves.pooled_weights()
    design = SeveralBreaksDesign(curves.x, weights if weights.ndim == 1 else weights[0], number)
    notes = undefined_breaks(design, pooled)
    blank = np.full((len(pooled), len(names)), np.nan)
    estimate, error, low, high = blank, blank, blank, blank
    if len(curves.x) >= minimum_doses(number):
        statistic = _statistic(design)
        estimate = statistic(pooled)
        if resamples is not None:
            found = bootstrap(curves, statistic, resamples, conf_level, bca=interval == "bca")
            error, (low, high) = found.std_error, getattr(found, interval)
    rows: list[tuple[Hashable, ...]] = []
    for i, group in enumerate(curves.groups):
        for j, term in enumerate(names):
            if notes[i]:
                rows.append((group, term, *[np.nan] * 6, notes[i]))
                continue
            known = np.isfinite(error[i, j])
            few = f"no interval from fewer than {MINIMUM_DOCUMENTS} documents"
            note = "" if known else "no interval was asked for" if resamples is None else few
            # A break of zero is no hypothesis: whether a break exists is a test of its own.
            ratio = estimate[i, j] / error[i, j] if not term.startswith("threshold") and error[i, j] > 0 else np.nan
            p_value = 2 * stats.t.sf(abs(ratio), curves.n_documents - 1)
            rows.append((group, term, estimate[i, j], error[i, j], ratio, p_value, low[i, j], high[i, j], note))
    return pd.DataFrame(rows, columns=["group", *TERMS])


def _statistic(design: SeveralBreaksDesign) -> Statistic:
    def statistic(rows: Floats, _weights: Floats | None = None) -> Floats:
        fit = design.fit(rows)
        return np.column_stack([fit.breakpoints, fit.intercept, fit.slopes])

    return statistic


def undefined_breaks(design: SeveralBreaksDesign, curves: Floats) -> list[str]:
    """Say of each mean curve (n × R) why its breaks are undefined, or nothing where they are not."""
    x, weights, n_breaks = design.x, design.weights, design.n_breaks
    if len(x) < minimum_doses(n_breaks):
        return [f"undefined: {len(x)} doses, at least {minimum_doses(n_breaks)} are needed"] * len(curves)
    if n_breaks == 0:
        return [""] * len(curves)
    fit = design.fit(curves)
    fewer = SeveralBreaksDesign(x, weights, n_breaks - 1).fit(curves).residual_ss
    varied = variation(curves, weights)
    flat = varied <= NOTHING * (curves**2 @ weights)
    unique = design.unique(curves)
    notes = []
    for i, breaks in enumerate(fit.breakpoints):
        edge = [one for one in breaks if not x[1] < one < x[-2]]
        if flat[i]:
            notes.append("undefined: the curve is flat")
        elif fewer[i] - fit.residual_ss[i] <= NOTHING * varied[i]:
            notes.append("undefined: the curve has fewer breaks")
        elif edge:
            notes.append(f"undefined: a best break lies at the edge of the grid ({edge[0]:.3g})")
        elif not unique[i]:
            notes.append("undefined: other breaks fit as well, since a line between two of them has one dose")
        else:
            notes.append("")
    return notes
