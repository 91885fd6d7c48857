"""How many breaks does a mean curve have? By BIC, and by cross-validation over documents."""

from collections.abc import Hashable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import MINIMUM_DOCUMENTS
from ripplestats.fits.break_patterns import SeveralBreaksDesign, minimum_doses
from ripplestats.fits.contrasts import contrast
from ripplestats.fits.curves import DocumentCurves, Floats

if TYPE_CHECKING:
    import pandas as pd

MAXIMUM_BREAKS = 3
FOLDS = 5
#: Less than this share of a curve's variation is rounding.
NOTHING = 1e-12


def bic_scores(curves: DocumentCurves) -> "pd.DataFrame":
    """Score each number of breaks K by R·log(RSS / R) + (3·K + 2)·log(R) on the R pooled means.

    A break counts as two parameters, since it is no regular one (Kim & Kim 2016, J. Stat. Plan. Inference 170:106);
    the plain criterion, (2·K + 2)·log(R), finds too many. It is approximate: it takes the R means as independent and
    equally exact, while they share documents and vary more at some doses.

    Returns:
        Columns ``group, n_breaks, bic, chosen``.
    """
    pooled, weights = curves.pooled(), curves.dose_weights / curves.dose_weights.mean()
    size = len(curves.x)
    # A fit that is exact but for rounding is as good as any other such fit.
    floor = np.maximum(NOTHING * variation(pooled, weights), np.finfo(np.float64).tiny)
    scores = np.stack(
        [
            size * np.log(np.maximum(design.fit(pooled).residual_ss, floor) / size)
            + (3 * design.n_breaks + 2) * np.log(size)
            for design in _designs(curves.x, weights)
        ]
    )
    return _choice(curves.groups, scores.argmin(axis=0), bic=scores)


def held_out_errors(curves: DocumentCurves, rng: np.random.Generator | None) -> "pd.DataFrame":
    """Score each number of breaks by cross-validation over documents.

    A line is fitted to the mean curve of the documents outside a fold (five folds) and held against the mean curve of
    each document inside: the squared error, averaged over doses and, weighted by prompts, over documents. Chosen is the
    fewest breaks whose error exceeds the least by at most one standard error of that excess. The excess is paired by
    document, since the spread between documents is the same for every number of breaks.

    Returns:
        Columns ``group, n_breaks, error, excess, std_error, chosen``.

    Raises:
        InputError: there is no generator, or fewer documents than a standard error needs.
    """
    if rng is None:
        raise InputError("breaks='cv' needs a random generator for its folds; none was given")
    n = curves.n_documents
    if n < MINIMUM_DOCUMENTS:
        raise InputError(f"breaks='cv' needs at least {MINIMUM_DOCUMENTS} documents; there are {n}")
    folds = rng.permutation(n) % min(FOLDS, n)
    training = curves.pooled((folds != np.arange(folds.max() + 1)[:, None]).astype(np.float64))
    share = curves.dose_weights / curves.dose_weights.sum()
    rounding = NOTHING * variation(curves.pooled(), share)
    errors = []
    for design in _designs(curves.x, curves.dose_weights):
        lines = design.fit(training.reshape(-1, len(curves.x))).at(curves.x).reshape(training.shape)
        errors.append((curves.values - lines[folds]) ** 2 @ share)
    every = np.stack(errors)
    means = np.stack([contrast(one, curves.weights, curves.groups).estimate for one in every])
    least = np.take_along_axis(every, means.argmin(axis=0)[None, None], axis=0)
    found = [contrast(one, curves.weights, curves.groups) for one in every - least]
    excess, std_error = (np.stack([getattr(one, name) for one in found]) for name in ("estimate", "std_error"))
    return _choice(
        curves.groups, (excess <= std_error + rounding).argmax(axis=0), error=means, excess=excess, std_error=std_error
    )


def _designs(x: Floats, weights: Floats) -> list[SeveralBreaksDesign]:
    """Return the designs of all numbers of breaks that the doses are enough for, at least of none."""
    numbers = range(1, MAXIMUM_BREAKS + 1)
    enough = [0, *(number for number in numbers if minimum_doses(number) <= len(x))]
    return [SeveralBreaksDesign(x, weights, number) for number in enough]


def _choice(groups: tuple[Hashable, ...], chosen: NDArray[np.intp], **scores: Floats) -> "pd.DataFrame":
    import pandas as pd

    numbers = range(len(next(iter(scores.values()))))
    rows = [
        (group, number, *(score[number, i] for score in scores.values()), number == chosen[i])
        for i, group in enumerate(groups)
        for number in numbers
    ]
    return pd.DataFrame(rows, columns=["group", "n_breaks", *scores, "chosen"])


def variation(curves: Floats, weights: Floats) -> Floats:
    """Return the weighted sum of squares around the mean of each curve."""
    centred = curves - (curves @ weights / weights.sum())[:, None]
    squares: Floats = centred**2 @ weights
    return squares
