"""Plateau and core fraction of many dose–response curves at once."""

import numpy as np

from ripplestats.fits.curves import Floats

#: The plateau is the mean effect over these doses.
PLATEAU = (0.1, 0.9)
#: A grid that covers less than this share of the plateau's doses leaves it undefined.
_LEAST_COVER = 0.5
_CURVES_AT_ONCE = 4096
_ROUNDING = 1e-13


def plateau_weights(x: Floats, doses: tuple[float, float] = PLATEAU) -> Floats | None:
    """Return w such that ``curve @ w`` is the mean over ``doses`` of the curve, linear between its points.

    The average is over the dose, not over grid points, so a denser grid does not change what it estimates. Where the
    grid ends inside the interval (0.8997 where 0.9 was asked for) the mean is over the part that it covers.

    Returns:
        None where the grid covers less than half of the interval.
    """
    low, high = max(doses[0], float(x[0])), min(doses[1], float(x[-1]))
    # Half but for rounding is half, in any unit of the doses.
    if high - low < _LEAST_COVER * (doses[1] - doses[0]) * (1 - _ROUNDING):
        return None
    points = np.unique(np.concatenate([[low, high], x[(x > low) & (x < high)]]))
    # Each grid point's share in the interpolated values, then the trapezoid rule over those.
    interpolation = np.stack([np.interp(points, x, unit) for unit in np.eye(len(x))], axis=1)
    weights: Floats = np.trapezoid(interpolation, points, axis=0) / (high - low)
    return weights


def isotonic(curves: Floats, weights: Floats) -> Floats:
    """Return the non-decreasing least-squares fit of each row, held to start at zero.

    By the min–max formula (Robertson, Wright & Dykstra 1988, eq. 1.4.3): the largest over a ≤ i of the smallest over
    b ≥ i of the mean from a to b; a lower bound then truncates it. All rows at once, n × doses.

    Args:
        curves: n × doses.
        weights: of the doses, R, or n × R.
    """
    n_doses = curves.shape[1]
    upper = np.triu(np.ones((n_doses, n_doses), bool))
    fitted = np.empty_like(curves)
    weights = np.atleast_2d(weights)
    for start in range(0, len(curves), _CURVES_AT_ONCE):
        chunk = curves[start : start + _CURVES_AT_ONCE]
        mass = weights if len(weights) == 1 else weights[start : start + _CURVES_AT_ONCE]
        sums, masses = _from_zero(chunk * mass), _from_zero(mass)
        width = np.where(upper, masses[:, None, 1:] - masses[:, :-1, None], 1.0)
        means = np.where(upper, (sums[:, None, 1:] - sums[:, :-1, None]) / width, np.inf)
        smallest = np.minimum.accumulate(means[:, :, ::-1], axis=2)[:, :, ::-1]
        # Row a holds the means of blocks that start at a; a block may not start after i.
        smallest = np.where(upper, smallest, -np.inf)
        fitted[start : start + _CURVES_AT_ONCE] = smallest.max(axis=1)
    return np.maximum(fitted, 0.0)


def _from_zero(values: Floats) -> Floats:
    return np.concatenate([np.zeros((len(values), 1)), values.cumsum(axis=1)], axis=1)


def isotonic_dose_reaching(curves: Floats, weights: Floats, x: Floats, levels: Floats) -> Floats:
    """Return ``first_dose_reaching`` of the isotonic fits, without the fits.

    The isotonic fit is at least c from the dose after the one up to which Σ w·(y − c) is least (Barlow et al. 1972, its
    cumulative sum diagram); the blocks on either side of that point are all that the line between doses needs.

    Args:
        curves: n × doses.
        weights: of the doses, R, or n × R.
        x: the doses, all positive unless the first is 0.
        levels: n × shares.
    """
    weights = np.broadcast_to(weights, curves.shape)
    sums, masses = _from_zero(curves * weights), _from_zero(weights)
    places = np.arange(curves.shape[1] + 1)
    found = np.full(levels.shape, np.nan)
    from_zero = x[0] > 0
    before = np.concatenate([[0.0], x]) if from_zero else np.concatenate([[x[0]], x])
    for share, level in enumerate(levels.T):
        gain = sums - level[:, None] * masses
        # The first of equal ones, also where they are equal but for rounding: a block may lie at the level exactly.
        rounding = _ROUNDING * np.abs(gain).max(axis=1, keepdims=True)
        start = (gain <= gain.min(axis=1, keepdims=True) + rounding).argmax(axis=1)
        reached = (start < len(x)) & (level > 0)
        rows = np.flatnonzero(reached)
        cut = start[rows]
        high_sums, high_masses = sums[rows] - sums[rows, cut][:, None], masses[rows] - masses[rows, cut][:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            means = high_sums / high_masses
        above = np.where(places > cut[:, None], means, np.inf).min(axis=1)
        below = np.where(places < cut[:, None], means, -np.inf).max(axis=1)
        below = np.maximum(below, 0.0)
        step = np.divide(level[rows] - below, above - below, out=np.ones_like(above), where=above > below)
        dose = before[cut] + step * (x[cut] - before[cut])
        # Without a line from (0, 0), the first dose is where a curve starts.
        found[rows, share] = dose if from_zero else np.where(cut == 0, x[0], dose)
    return found


def first_dose_reaching(curves: Floats, x: Floats, levels: Floats) -> Floats:
    """Return the smallest dose at which non-decreasing curves through (0, 0) reach their levels.

    Args:
        curves: n × doses, non-decreasing and not negative.
        x: the doses, all positive unless the first is 0.
        levels: n × shares; NaN or not positive gives NaN, and so does a level that is never reached.
    """
    if x[0] > 0:
        x = np.concatenate([[0.0], x])
        curves = np.concatenate([np.zeros((len(curves), 1)), curves], axis=1)
    reached = curves[:, None, :] >= levels[..., None]
    place = np.maximum(reached.argmax(axis=2), 1)
    low, high = (np.take_along_axis(curves, place - step, axis=1) for step in (1, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (levels - low) / (high - low)
    dose = x[place - 1] + share * (x[place] - x[place - 1])
    # A curve that is above the level before any neuron is replaced reaches it there.
    dose = np.where(reached[..., 0], x[0], dose)
    usable = (levels > 0) & reached.any(axis=2)
    return np.where(usable, dose, np.nan)
