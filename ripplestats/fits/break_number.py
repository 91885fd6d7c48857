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
    equally exact, while they share documents and vary more at some doses. Where the frame is not balanced, RSS takes each
    group's own weights of the doses, over their mean.

    Returns:
        Columns ``group, n_breaks, bic, chosen``.
    """
    pooled, weights = curves.pooled(), curves.pooled_weights()
    weights = weights / weights.mean(axis=-1, keepdims=True)
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

    Where the frame is not balanced, the lines are those of least squares on the rows outside the fold, a document's error is
    the mean over its own rows, and documents are weighted by these.

    Returns:
        Columns ``group, n_breaks, error, excess, std_error, chosen``.

    Raises:
        InputError: there is no generator, or fewer documents than a standard error needs, or no row is left at a dose
            without one of the folds.
    """
    if rng is None:
        raise InputError("breaks='cv' needs a random generator for its folds; none was given")
    n = curves.n_documents
    if n < MINIMUM_DOCUMENTS:
        raise InputError(f"breaks='cv' needs at least {MINIMUM_DOCUMENTS} documents; there are {n}")
    folds = rng.permutation(n) % min(FOLDS, n)
    every = np.stack(
        [_of_documents(curves, (curves.values - lines[folds]) ** 2) for lines in _lines_without_folds(curves, folds)]
    )
    weights = curves.pooled_weights()
    rounding = NOTHING * variation(curves.pooled(), weights / weights.sum(axis=-1, keepdims=True))
    means = np.stack([_over_documents(curves, one)[0] for one in every])
    least = np.take_along_axis(every, means.argmin(axis=0)[None, None], axis=0)
    excess, std_error = np.stack([_over_documents(curves, one) for one in every - least], axis=1)
    return _choice(
        curves.groups, (excess <= std_error + rounding).argmax(axis=0), error=means, excess=excess, std_error=std_error
    )


def _lines_without_folds(curves: DocumentCurves, folds: NDArray[np.intp]) -> list[Floats]:
    """Return, for each number of breaks, the lines fitted without each fold: folds × groups × doses."""
    outside = (folds != np.arange(folds.max() + 1)[:, None]).astype(np.float64)
    training, weights = curves.pooled(outside), curves.pooled_weights(outside)
    if (weights == 0).any():
        group = curves.groups[np.argwhere(weights == 0)[0, 1]]
        raise InputError(
            f"breaks='cv': one fold of documents has all the rows that group {group!r} has at some dose; "
            "give the number of breaks, or choose it by 'bic'"
        )
    rows = training.reshape(-1, len(curves.x))
    designs = _designs(curves.x, weights if weights.ndim == 1 else weights.reshape(rows.shape))
    return [design.fit(rows).at(curves.x).reshape(training.shape) for design in designs]


def _of_documents(curves: DocumentCurves, squares: Floats) -> Floats:
    """Return the mean square of each document and group over the rows that it has; 0 where it has none."""
    means: Floats
    if curves.counts is None:
        means = squares @ (curves.dose_weights / curves.dose_weights.sum())
    else:
        means = (curves.counts * squares).sum(axis=2) / np.maximum(curves.counts.sum(axis=2), 1.0)
    return means


def _over_documents(curves: DocumentCurves, values: Floats) -> Floats:
    """Return mean and standard error over documents of values (documents × groups): 2 × groups."""
    if curves.counts is None:
        found = [contrast(values, curves.weights, curves.groups)]
    else:
        rows = curves.counts.sum(axis=2)
        having = rows > 0
        if having.sum(axis=0).min() < MINIMUM_DOCUMENTS:
            raise InputError(f"breaks='cv' needs at least {MINIMUM_DOCUMENTS} documents with rows of each group")
        found = [
            contrast(values[one, i][:, None], rows[one, i], curves.groups[i : i + 1]) for i, one in enumerate(having.T)
        ]
    both: Floats = np.stack(
        [np.concatenate([getattr(one, name) for one in found]) for name in ("estimate", "std_error")]
    )
    return both


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
    """Return the weighted sum of squares around the mean of each curve; weights are R, or n × R."""
    centred = curves - ((weights * curves).sum(axis=1) / weights.sum(axis=-1))[:, None]
    squares: Floats = (weights * centred**2).sum(axis=1)
    return squares
