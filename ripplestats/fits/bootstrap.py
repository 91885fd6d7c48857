"""Resampling of documents, the unit of inference, and intervals from the replicates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ripplestats.errors import InputError
from ripplestats.fits.curves import DocumentCurves, Floats

#: With fewer documents no interval is given.
MINIMUM_DOCUMENTS = 4
#: Fewer bootstrap samples than this have no quantiles.
MINIMUM_REPLICATES = 20


#: Takes curves (n × doses) to n values, or n × m, NaN where undefined. A second argument, given only where the design is
#: not balanced, holds the weights of the doses (n × doses).
Statistic = Callable[..., Floats]


@dataclass(frozen=True)
class Resamples:
    """How often each document counts in the samples of a bootstrap, and signs to flip documents by.

    Both are replicates × documents, the same for all that is to be compared.
    """

    bootstrap: Floats
    signs: Floats


@dataclass(frozen=True)
class Interval:
    """Standard errors and limits, one a statistic, by each kind of quantile; NaN where undefined."""

    std_error: Floats
    expanded: tuple[Floats, Floats]
    percentile: tuple[Floats, Floats]
    bca: tuple[Floats, Floats]
    undefined: Floats


def check_bootstrap(n_boot: int, seed: int, conf_level: float = 0.95) -> None:
    """Refuse arguments of a bootstrap that mean nothing.

    Raises:
        InputError: one of them is out of range.
    """
    if n_boot < MINIMUM_REPLICATES:
        raise InputError(f"n_boot={n_boot} is not allowed; at least {MINIMUM_REPLICATES} samples are needed")
    if seed < 0:
        raise InputError(f"seed={seed} is not allowed; a seed is not negative")
    if not 0 < conf_level < 1:
        raise InputError(f"conf_level={conf_level} is not allowed; it lies between 0 and 1")


#: Kinds of interval from resampling documents.
RESAMPLED = ("expanded", "percentile", "bca")
#: All kinds: besides, from inverting a t test over documents, and by the delta method.
INTERVALS = (*RESAMPLED, "inversion", "wald")


def check_intervals(names: Sequence[str], allowed: Sequence[str] = INTERVALS) -> None:
    """Refuse kinds of interval that are not known.

    Raises:
        InputError: a name is not one of ``allowed``.
    """
    for name in names:
        if name not in allowed:
            raise InputError(f"interval={name!r} is not known; allowed: {', '.join(allowed)}")


def resample_documents(n_documents: int, n_boot: int, rng: np.random.Generator) -> Resamples:
    """Draw ``n_boot`` samples of documents with replacement, and as many sign flips."""
    draws = rng.multinomial(n_documents, np.full(n_documents, 1 / n_documents), size=n_boot)
    # Signs have a stream of their own: what is drawn next does not depend on them.
    return Resamples(draws.astype(np.float64), flip_signs(n_documents, n_boot, rng.spawn(1)[0]))


def flip_signs(n_documents: int, n_flips: int, rng: np.random.Generator) -> Floats:
    """Draw signs, flips × documents, from which all tests that are to be compared take the same."""
    return 2 * rng.integers(0, 2, (n_flips, n_documents)).astype(float) - 1


def bootstrap(
    curves: DocumentCurves, statistic: Statistic, resamples: Resamples, conf_level: float = 0.95, *, bca: bool = True
) -> Interval:
    """Bootstrap a statistic of mean curves over documents.

    Args:
        curves: documents' mean curves.
        statistic: of curves.
        resamples: from ``resample_documents``; the same for all that is to be compared.
        conf_level: of the intervals.
        bca: whether BCa intervals are wanted, which need the statistic without each document; they are NaN otherwise.

    Returns:
        Percentile intervals, plain and expanded, and bias-corrected accelerated ones (Efron 1987, eqs 6.3 and 7.3) of
        shape groups (× m). The expanded ones (Hesterberg 2015, Am. Stat. 69:371, section 5.3) take the quantiles at
        Φ(±t·√(n/(n − 1))), t of n − 1 degrees of freedom and n the effective number of documents, for the plain ones
        are too narrow with few documents.
        Replicates where the statistic is undefined are left out, and their share is reported.
    """
    estimate = of_pooled(curves, statistic)
    if curves.n_documents < MINIMUM_DOCUMENTS:
        blank = np.full(estimate.shape, np.nan)
        nothing = (blank, blank)
        return Interval(blank, nothing, nothing, nothing, blank)
    replicates = of_resamples(curves, statistic, resamples.bootstrap)
    defined = np.isfinite(replicates)
    values = np.where(defined, replicates, np.nan)
    alpha = (1 - conf_level) / 2
    counts = defined.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(defined, replicates, 0.0).sum(axis=0) / counts
        squares = np.where(defined, replicates - mean, 0.0) ** 2
        std_error = np.where(counts > 1, np.sqrt(squares.sum(axis=0) / (counts - 1)), np.nan)
    wider = expanded_tail(conf_level, curves.weights)
    plain, expanded = (_quantiles(values, _both_tails(one, estimate)) for one in (alpha, wider))
    corrected = (np.full(estimate.shape, np.nan),) * 2
    if bca:
        left_out = of_replicates(statistic, *curves.without_each())
        corrected = _quantiles(values, _bca_levels(values, estimate, left_out, alpha))
    return Interval(std_error, expanded, plain, corrected, 1.0 - defined.mean(axis=0))


def expanded_tail(conf_level: float, weights: Floats) -> float:
    """Return the share of the replicates outside each limit of an expanded percentile interval (see ``bootstrap``).

    Args:
        conf_level: of the interval.
        weights: of the documents; unequal ones tell as much as fewer equal ones (Kish 1965, section 8.2).
    """
    n = weights.sum() ** 2 / (weights**2).sum()
    return float(stats.norm.sf(np.sqrt(n / (n - 1)) * stats.t.isf((1 - conf_level) / 2, n - 1)))


def _both_tails(alpha: float, like: Floats) -> Floats:
    return np.broadcast_to(np.array([alpha, 1 - alpha])[:, *[None] * like.ndim], (2, *like.shape))


def of_pooled(curves: DocumentCurves, statistic: Statistic) -> Floats:
    """Return the statistic of each group's mean curve: groups (× m)."""
    if curves.counts is None:
        return statistic(curves.pooled())
    return statistic(curves.pooled(), curves.pooled_weights())


def of_resamples(curves: DocumentCurves, statistic: Statistic, multiplicities: Floats) -> Floats:
    """Return the statistic of each replicate's mean curves: replicates × groups (× m).

    A replicate in which a dose has no row is undefined.
    """
    weights = None if curves.counts is None else curves.pooled_weights(multiplicities)
    return of_replicates(statistic, curves.pooled(multiplicities), weights)


def of_replicates(statistic: Statistic, curves: Floats, weights: Floats | None) -> Floats:
    """Return the statistic of curves of the shape replicates × groups × doses; NaN where a dose weighs nothing."""
    rows = curves.reshape(-1, curves.shape[-1])
    if weights is None:
        flat = statistic(rows)
    else:
        weights = weights.reshape(rows.shape)
        known = (weights > 0).all(axis=1)
        some = statistic(rows[known], weights[known])
        flat = np.full((len(rows), *some.shape[1:]), np.nan)
        flat[known] = some
    return flat.reshape(*curves.shape[:2], *flat.shape[1:])


def simultaneous_band(curves: DocumentCurves, resamples: Resamples, conf_level: float = 0.95) -> tuple[Floats, Floats]:
    """Return half-widths of pointwise and of simultaneous bands around mean curves, groups × doses.

    The simultaneous band holds the whole curve of a group: max-t over its doses (Montiel Olea & Plagborg-Møller 2019).
    """
    if curves.n_documents < MINIMUM_DOCUMENTS:
        blank = np.full(curves.values.shape[1:], np.nan)
        return blank, blank
    replicates = curves.pooled(resamples.bootstrap)
    spread = replicates.std(axis=0, ddof=1)
    scale = np.where(spread > 0, spread, np.inf)
    largest = np.abs((replicates - curves.pooled()) / scale).max(axis=2)
    critical = np.quantile(largest, conf_level, axis=0)
    pointwise = stats.norm.isf((1 - conf_level) / 2) * spread
    return pointwise, np.maximum(critical[:, None] * spread, pointwise)


def _bca_levels(values: Floats, estimate: Floats, left_out: Floats, alpha: float) -> Floats:
    defined = np.isfinite(values)
    counts = np.maximum(defined.sum(axis=0), 1)
    # Replicates that tie with the estimate (breaks at a knot) count half.
    below = ((values < estimate).sum(axis=0) + 0.5 * (values == estimate).sum(axis=0)) / counts
    shift = stats.norm.ppf(np.clip(below, 1 / (counts + 1), counts / (counts + 1)))
    known = np.isfinite(left_out)
    centre = np.where(known, left_out, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    influence = np.where(known, centre - left_out, 0.0)
    spread = (influence**2).sum(axis=0) ** 1.5
    with np.errstate(invalid="ignore", divide="ignore"):
        acceleration = np.where(spread > 0, (influence**3).sum(axis=0) / (6 * spread), 0.0)
    quantiles = np.asarray(stats.norm.ppf([alpha, 1 - alpha]))
    moved = shift + quantiles[:, *[None] * estimate.ndim]
    with np.errstate(invalid="ignore", divide="ignore"):
        levels: Floats = stats.norm.cdf(shift + moved / (1 - acceleration * moved))
    return levels


def _quantiles(values: Floats, levels: Floats) -> tuple[Floats, Floats]:
    """Return the quantiles of each column at its own two levels, undefined replicates left out."""
    ordered = np.sort(values, axis=0)  # NaN last
    last = np.isfinite(ordered).sum(axis=0) - 1
    found = []
    for level in levels:
        position = np.clip(np.nan_to_num(level, nan=0.5), 0, 1) * np.maximum(last, 0)
        lower = np.floor(position).astype(int)
        upper = np.minimum(lower + 1, np.maximum(last, 0))
        at = [np.take_along_axis(ordered, index[None], axis=0)[0] for index in (lower, upper)]
        with np.errstate(invalid="ignore"):
            found.append(np.where(last >= 0, at[0] + (position - lower) * (at[1] - at[0]), np.nan))
    return found[0], found[1]
