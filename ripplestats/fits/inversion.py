"""Intervals by inverting a test: the doses at which a linear contrast of the mean curve is not told from zero.

Both quantities are roots of linear contrasts, for which the t test over documents keeps its size with few documents and
without a model of the errors. A set so accepted need not be an interval.

- The break ψ of the best two-phase line is where the slope of its residual sum of squares changes sign. At a trial ψ
  that slope is proportional to Σ w·r·1(x > ψ), with r the residuals of the line bent at ψ: linear in the curve.
- The core fraction φ is where curve(φ) − q·plateau is zero (Fieller 1954, for one dose after another).
"""

import numpy as np
from scipy import stats

from ripplestats.fits.bootstrap import MINIMUM_DOCUMENTS
from ripplestats.fits.breakpoint import BreakDesign
from ripplestats.fits.curves import DocumentCurves, Floats

#: Trial doses in each interval between neighbouring doses of the grid, both ends included.
_TRIALS = 21


def break_interval(curves: DocumentCurves, design: BreakDesign, conf_level: float = 0.95) -> tuple[Floats, Floats]:
    """Return the limits of each group's break, NaN with fewer than four documents.

    Args:
        curves: documents' mean curves; ``design`` has their doses and weights (log doses for a log scale).
        conf_level: of the interval.
    """
    x, n_groups = design.x, len(curves.groups)
    if curves.n_documents < MINIMUM_DOCUMENTS:
        return np.full(n_groups, np.nan), np.full(n_groups, np.nan)
    fit = design.fit(curves.pooled())
    bent = np.sign(fit.slope_below if design.level_above else fit.slope_above - fit.slope_below)
    low, high = np.empty(n_groups), np.empty(n_groups)
    critical = stats.t.isf((1 - conf_level) / 2, curves.n_documents - 1)
    for i in range(n_groups):
        weights = design.weights if design.weights.ndim == 1 else design.weights[i]
        trials, slopes = _slopes(x, weights, design.level_above)
        estimate, error = _contrasts(curves, i, slopes.reshape(-1, len(x)))
        t = bent[i] * _ratio(estimate, error).reshape(trials.shape)
        # At a dose the slope jumps: it may be negative before and positive after.
        at_dose = (t[:-1, -1] <= critical) & (t[1:, 0] >= -critical)
        found = np.concatenate([_accepted(trials, t, critical), x[2:-2][at_dose], fit.breakpoint[i : i + 1]])
        low[i], high[i] = found.min(), found.max()
    return low, high


def core_interval(
    curves: DocumentCurves, estimates: Floats, plateau: Floats, shares: Floats, conf_level: float = 0.95
) -> tuple[Floats, Floats]:
    """Return limits of the core fractions, groups × shares: the doses around the estimate where the curve may be at its level.

    Of the accepted doses only the run that holds the estimate counts: farther ones are where noise crosses the level
    once more, and simulated coverage does without them.

    Args:
        curves: documents' mean curves.
        estimates: the core fractions, groups × shares; NaN gives NaN.
        plateau: weights of the doses in the plateau.
        shares: shares of the plateau.
        conf_level: of the intervals.
    """
    from_zero = curves.x if curves.x[0] == 0 else np.append(0.0, curves.x)
    steps = np.linspace(0, 1, _TRIALS)[:-1]
    trials = np.append((from_zero[:-1, None] + steps * np.diff(from_zero)[:, None]).ravel(), from_zero[-1])
    # The curve starts in (0, 0): a first dose above zero is the end of a line from there.
    at = np.stack([np.interp(trials, np.append(0.0, curves.x), np.append(0.0, unit)) for unit in np.eye(len(curves.x))])
    low, high = np.full(estimates.shape, np.nan), np.full(estimates.shape, np.nan)
    if curves.n_documents < MINIMUM_DOCUMENTS:
        return low, high
    critical = stats.t.isf((1 - conf_level) / 2, curves.n_documents - 1)
    for i, j in np.argwhere(np.isfinite(estimates)):
        contrast, error = _contrasts(curves, i, at.T - shares[j] * plateau)
        low[i, j], high[i, j] = _run(trials, _ratio(contrast, error), critical, estimates[i, j])
    return low, high


def _run(trials: Floats, t: Floats, critical: float, estimate: float) -> tuple[float, float]:
    """Return the ends of the run of accepted trials around an estimate, t taken for a line between trials."""
    start = int(np.abs(trials - estimate).argmin())
    rejected = np.flatnonzero(np.abs(t) > critical)
    before, after = rejected[rejected < start], rejected[rejected > start]
    ends = []
    for outside, inward, end in ((before[-1:], 1, 0), (after[:1], -1, -1)):
        if not len(outside):
            ends.append(float(trials[end]))
            continue
        out = int(outside[0])
        limit = np.copysign(critical, t[out])
        share = (limit - t[out]) / (t[out + inward] - t[out]) if np.isfinite(t[out]) and out + inward != start else 1.0
        share = min(max(share, 0.0), 1.0) if np.isfinite(share) else 1.0
        ends.append(float(trials[out] + share * (trials[out + inward] - trials[out])))
    return min(ends[0], estimate), max(ends[1], estimate)


def _accepted(trials: Floats, t: Floats, critical: float) -> Floats:
    """Return the trials whose t is within the critical value, and where t crosses it between neighbouring trials."""
    found = [trials[np.abs(t) <= critical]]
    for limit in (-critical, critical):
        crossed = np.isfinite(t[:, :-1]) & np.isfinite(t[:, 1:]) & ((t[:, :-1] - limit) * (t[:, 1:] - limit) < 0)
        before, after = t[:, :-1][crossed], t[:, 1:][crossed]
        start, end = trials[:, :-1][crossed], trials[:, 1:][crossed]
        found.append(start + (limit - before) / (after - before) * (end - start))
    return np.concatenate(found)


def _slopes(x: Floats, weights: Floats, level_above: bool) -> tuple[Floats, Floats]:
    """Return trial breaks (intervals × trials) and the contrasts that are the slope of the residual sum of squares."""
    inner = np.arange(1, len(x) - 2)
    trials = x[inner, None] + np.linspace(0, 1, _TRIALS) * np.diff(x)[inner, None]
    above = (x > x[inner, None])[:, None, :] * np.ones((1, _TRIALS, 1))
    bent = np.minimum(x, trials[..., None]) if level_above else np.maximum(x - trials[..., None], 0.0)
    base = [np.ones_like(bent), bent] if level_above else [np.ones_like(bent), x * np.ones_like(bent), bent]
    root = np.sqrt(weights)
    basis = np.linalg.qr(np.stack(base, axis=-1) * root[:, None])[0]
    rest = above * root
    rest = rest - (basis @ (basis.swapaxes(-1, -2) @ rest[..., None]))[..., 0]
    # Residualised once more: what is left of a nearly collinear step is small.
    rest = rest - (basis @ (basis.swapaxes(-1, -2) @ rest[..., None]))[..., 0]
    # The step is the derivative of the level line, and minus that of the hinge.
    return trials, -rest * root if level_above else rest * root


def _contrasts(curves: DocumentCurves, group: int, contrasts: Floats) -> tuple[Floats, Floats]:
    """Return estimates and cluster-robust standard errors of contrasts (m × R) of one group's curve."""
    counts = curves.weights[:, None] if curves.counts is None else curves.counts[:, group]
    share = counts / counts.sum(axis=0)
    values = curves.values[:, group]
    mean = (share * values).sum(axis=0)
    moved = (share * (values - mean)) @ contrasts.T
    n = curves.n_documents
    return contrasts @ mean, np.sqrt((moved**2).sum(axis=0) * n / (n - 1))


def _ratio(estimate: Floats, error: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(error > 0, estimate / error, np.where(estimate == 0, 0.0, np.inf * np.sign(estimate)))
