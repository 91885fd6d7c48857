"""Intervals by inverting tests: the doses that t tests over documents do not refuse.

Both quantities are roots of linear contrasts of the mean curve, for which the t test keeps its size with few documents
and without a model of the errors.

- The break ψ of the best two-phase line is where the slope of its residual sum of squares changes sign. At a trial ψ
  that slope is proportional to Σ w·r·1(x > ψ), with r the residuals of the line bent at ψ: linear in the curve. A second
  test refuses breaks that fit significantly worse than the best one (Vuong 1989, Econometrica 57:307, for two fixed
  breaks), so that far-off local minima drop out.
- The core fraction φ is where curve(φ) − q·plateau is zero (Fieller 1954, J. R. Stat. Soc. B 16:175, dose by dose).
"""

import numpy as np
from scipy import stats

from ripplestats.fits.bootstrap import MINIMUM_DOCUMENTS
from ripplestats.fits.breakpoint import BreakDesign
from ripplestats.fits.curves import DocumentCurves, Floats

#: Trial doses in each interval between neighbouring doses of the grid, both ends included.
_TRIALS = 21
#: Critical value of the test that a break fits worse, in critical values of the other test. Near the estimate its t is
#: half of the other's, so that above 0.5 it decides nothing there; 0.65 is a one-sided test at 10 % beside 95 %.
_WORSE = 0.65
#: Where a frame has gaps, accepted trials this near are one run: as far apart as two doses.
_NEAR = _TRIALS - 1
_ROUNDING = 1e-9


def break_interval(curves: DocumentCurves, design: BreakDesign, conf_level: float = 0.95) -> tuple[Floats, Floats]:
    """Return the limits of each group's break, NaN where the line is straight or with fewer than four documents.

    They are the hull of the breaks that neither test refuses.

    Args:
        curves: documents' mean curves.
        design: their doses and weights (log doses for a log scale).
        conf_level: of the interval.
    """
    low, high = np.full((2, len(curves.groups)), np.nan)
    if curves.n_documents < MINIMUM_DOCUMENTS:
        return low, high
    critical = float(stats.t.isf((1 - conf_level) / 2, curves.n_documents - 1))
    pooled, covariances = curves.pooled(), curves.covariances()
    breaks = design.fit(pooled).breakpoint
    shared = _trial_breaks(design) if design.weights.ndim == 1 else None
    for i, (curve, covariance) in enumerate(zip(pooled, covariances, strict=True)):
        own = design if shared else BreakDesign(design.x, design.weights[i], design.level_above)
        trials, projections, slopes = shared or _trial_breaks(own)
        best = _projections(own, breaks[i : i + 1])[0]
        # The sign that makes the slope of the sum of squares fall before the best break and rise after it.
        bend = _bend(own, curve)
        if bend == 0:
            continue
        score = bend * _ratios(slopes, curve, covariance).reshape(trials.shape)
        room = _room(projections, best, curve, covariance, critical).reshape(trials.shape)
        # Where the second test does not refuse, the first alone decides where the limit lies.
        margin = np.minimum(critical - np.abs(score), np.where(room >= 0, np.inf, room))
        # At a dose the slope jumps: it may be negative before and positive after.
        at_dose = (score[:-1, -1] <= critical) & (score[1:, 0] >= -critical) & (room[1:, 0] >= 0)
        accepted = [_where_positive(trials, margin), trials[1:, 0][at_dose], breaks[i : i + 1]]
        low[i], high[i] = np.concatenate(accepted).min(), np.concatenate(accepted).max()
    return low, high


def core_interval(
    curves: DocumentCurves, estimates: Floats, plateau: Floats, shares: Floats, conf_level: float = 0.95
) -> tuple[Floats, Floats]:
    """Return limits of the core fractions, groups × shares: the doses around the estimate where the curve may be at its level.

    Of the accepted doses only the run that holds the estimate counts: farther ones are where noise crosses the level
    once more, and simulated coverage does without them. Where the frame has gaps neighbouring doses are of different
    prompts, the mean curve goes up and down from one to the next, and so does the test: there runs that are at most as far
    apart as two doses are one.

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
    low, high = np.full((2, *estimates.shape), np.nan)
    if curves.n_documents < MINIMUM_DOCUMENTS:
        return low, high
    critical = float(stats.t.isf((1 - conf_level) / 2, curves.n_documents - 1))
    pooled, covariances = curves.pooled(), curves.covariances()
    for i, j in np.argwhere(np.isfinite(estimates)):
        t = _ratios(at.T - shares[j] * plateau, pooled[i], covariances[i])
        low[i, j], high[i, j] = _run(trials, t, critical, estimates[i, j], _NEAR if curves.counts is not None else 1)
    return low, high


def _run(trials: Floats, t: Floats, critical: float, estimate: float, near: int) -> tuple[float, float]:
    """Return the ends of the run of accepted trials around an estimate, t taken for a line between trials.

    Accepted trials that are at most ``near`` apart are of one run.
    """
    start = int(np.abs(trials - estimate).argmin())
    accepted = np.union1d(np.flatnonzero(np.abs(t) <= critical), start)
    runs = np.split(accepted, np.flatnonzero(np.diff(accepted) > near) + 1)
    mine = next(run for run in runs if run[0] <= start <= run[-1])
    rejected = np.setdiff1d(np.arange(len(trials)), accepted)
    before, after = rejected[rejected < mine[0]], rejected[rejected > mine[-1]]
    ends = []
    for outside, inward, end in ((before[-1:], 1, 0), (after[:1], -1, -1)):
        if not len(outside):
            ends.append(float(trials[end]))
            continue
        out = int(outside[0])
        known = np.isfinite(t[[out, out + inward]]).all() and t[out + inward] != t[out]
        limit = np.copysign(critical, t[out])
        share = min(max((limit - t[out]) / (t[out + inward] - t[out]), 0.0), 1.0) if known else 1.0
        ends.append(float(trials[out] + share * (trials[out + inward] - trials[out])))
    return min(ends[0], estimate), max(ends[1], estimate)


def _bend(design: BreakDesign, curve: Floats) -> float:
    """Return the sign of the slope of the fitted line's bent column in the break; 0 where the line is straight."""
    fit = design.fit(curve[None])
    return float(np.sign(-fit.slope_below[0] if design.level_above else fit.slope_above[0] - fit.slope_below[0]))


def _room(projections: Floats, best: Floats, curve: Floats, covariance: Floats, critical: float) -> Floats:
    """Return how far each trial is from being refused as worse than the best break, as a share of its sum of squares."""
    residuals = projections @ curve
    least = float(curve @ best @ curve)
    # RSS = y′Py: its gradient is 2·P·y.
    gradients = 2 * (residuals - best @ curve)
    spread = np.sqrt(np.maximum(((gradients @ covariance) * gradients).sum(axis=1), 0.0))
    room: Floats = (_WORSE * critical * spread - (residuals @ curve - least)) / max(least, np.finfo(np.float64).tiny)
    # The best break itself is as good as itself, whatever rounding says.
    return np.where(np.abs(room) < _ROUNDING, 0.0, room)


def _where_positive(trials: Floats, margin: Floats) -> Floats:
    """Return the trials with margin ≥ 0, and where it crosses zero between neighbours (intervals × trials)."""
    before, after = margin[:, :-1], margin[:, 1:]
    crossed = np.isfinite(before) & np.isfinite(after) & ((before < 0) != (after < 0))
    part = before[crossed] / (before[crossed] - after[crossed])
    start, end = trials[:, :-1][crossed], trials[:, 1:][crossed]
    return np.concatenate([trials[margin >= 0], start + part * (end - start)])


def _projections(design: BreakDesign, breaks: Floats) -> Floats:
    """Return the matrices P (m × R × R) with RSS = y′Py for a line bent at each break."""
    x, at = design.x, breaks[:, None]
    ones = np.ones((len(breaks), len(x)))
    columns = [ones, np.minimum(x, at)] if design.level_above else [ones, x * ones, np.maximum(x - at, 0.0)]
    root = np.sqrt(design.weights)
    basis = np.linalg.qr(np.stack(columns, axis=-1) * root[:, None])[0]
    projections: Floats = root[:, None] * (np.eye(len(x)) - basis @ basis.swapaxes(1, 2)) * root
    return projections


def _trial_breaks(design: BreakDesign) -> tuple[Floats, Floats, Floats]:
    """Return trial breaks (intervals × trials), their matrices P, and the contrasts of the slope, flat over trials."""
    x = design.x
    trials = np.linspace(x[1:-2], x[2:-1], _TRIALS, axis=1)
    projections = _projections(design, trials.ravel())
    above = np.repeat(x > x[1:-2, None], _TRIALS, axis=0).astype(np.float64)
    return trials, projections, np.einsum("mrs,ms->mr", projections, above)


def _ratios(contrasts: Floats, curve: Floats, covariance: Floats) -> Floats:
    """Return t of contrasts (m × R) of a mean curve; infinite where there is no spread."""
    estimate = contrasts @ curve
    error = np.sqrt(np.maximum(((contrasts @ covariance) * contrasts).sum(axis=1), 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        t: Floats = np.where(error > 0, estimate / error, np.where(estimate == 0, 0.0, np.inf * np.sign(estimate)))
    return t
