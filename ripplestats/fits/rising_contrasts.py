"""Tests and intervals for a root of linear contrasts, by sign flips: a mean, a ratio, the core fraction.

The quantity θ is where a contrast that rises with it is zero: θ − mean, θ·plateau − difference (Fieller 1954), or
curve(θ) − q·plateau. At each trial θ the contrast is tested, and the interval is the hull of what is not rejected. Because contrasts
rise, a test that finds the contrast at a claim's limit above zero rejects every θ beyond the limit as well. So the interval
lies on one side of the limit exactly where the test at the limit says so at half of what the interval leaves out.
"""

from dataclasses import dataclass

import numpy as np

from ripplestats.fits.contrasts import contrast
from ripplestats.fits.curves import DocumentCurves, Floats
from ripplestats.fits.one_sided import OneSided, Places
from ripplestats.fits.sign_flips import SignFlips, sign_flips

#: Trial doses in each interval of the grid, and trial means or ratios around the estimate.
_TRIALS_BETWEEN = 3
_TRIALS_AROUND = 61


@dataclass(frozen=True)
class RisingContrasts:
    """Contrasts at trial points (groups × trials, rising); ``found`` holds them one after another.

    ``whole`` says that the root cannot lie beyond the points.
    """

    points: Floats
    found: SignFlips
    whole: bool = False

    def interval(self, conf_level: float, limits: tuple[float, ...]) -> tuple[Floats, Floats]:
        """Return the limits of the root; infinite where the interval is open, or the first or last of ``whole`` points.

        Args:
            conf_level: of the interval.
            limits: trial points at which the root is tested.
        """
        shape = self.points.shape
        # In units of the contrast, which is linear between neighbouring trials where its statistic is not.
        above_zero, below_zero = (one.reshape(shape) for one in self.found.beyond((1 - conf_level) / 2))
        unknown = np.isnan(above_zero).any(axis=1)
        for limit in limits:
            at = self._places(limit)[:, None]
            too_high = (np.take_along_axis(above_zero, at, axis=1) > 0) & (self.points > limit)
            too_low = (np.take_along_axis(below_zero, at, axis=1) > 0) & (self.points < limit)
            above_zero, below_zero = np.where(too_high, np.inf, above_zero), np.where(too_low, np.inf, below_zero)
        low = _first_kept(self.points, below_zero)
        high = -_first_kept(-self.points[:, ::-1], above_zero[:, ::-1])
        if not self.whole:
            low = np.where(low <= self.points[:, 0], -np.inf, low)
            high = np.where(high >= self.points[:, -1], np.inf, high)
        return np.where(unknown, np.nan, low), np.where(unknown, np.nan, high)

    def below(self, limit: float) -> OneSided:
        """Test the null that the root is at or above ``limit``, a trial point."""
        return self.found.above_zero().take(self._flat(limit))

    def above(self, limit: float) -> OneSided:
        """Test the null that the root is at or below ``limit``, a trial point."""
        return self.found.below_zero().take(self._flat(limit))

    def _places(self, limit: float) -> Places:
        places: Places = np.minimum((self.points < limit).sum(axis=1), self.points.shape[1] - 1)
        return places

    def _flat(self, limit: float) -> Places:
        places: Places = np.arange(len(self.points)) * self.points.shape[1] + self._places(limit)
        return places


def core_contrasts(
    curves: DocumentCurves, plateau: Floats, share: float, limit: float, signs: Floats
) -> RisingContrasts:
    """Return curve(dose) − share · plateau at trial doses from zero on, for each group.

    Args:
        curves: documents' mean curves, which start at (0, 0) and are linear between doses.
        plateau: weights of the doses in the plateau.
        share: of the plateau.
        limit: a dose that has to be one of the trials.
        signs: flips × documents.
    """
    knots = np.unique(np.append(0.0, curves.x))
    inner = knots[:-1, None] + np.diff(knots)[:, None] * np.arange(_TRIALS_BETWEEN) / _TRIALS_BETWEEN
    doses = np.unique(np.concatenate([inner.ravel(), knots, [min(limit, knots[-1])]]))
    from_zero = np.append(0.0, curves.x) if curves.x[0] > 0 else curves.x
    units = np.eye(len(from_zero))[:, -len(curves.x) :]
    at = np.stack([np.interp(doses, from_zero, unit) for unit in units.T])
    contrasts = at - share * plateau[:, None]
    points, values = np.tile(doses, (len(curves.groups), 1)), curves.values @ contrasts
    points, values = _with_root(points, values, curves.pooled() @ contrasts)
    return RisingContrasts(points, _tests(values, curves.weights, signs), whole=True)


def ratio_contrasts(
    top: Floats, bottom: Floats, weights: Floats, limits: tuple[float, ...], signs: Floats
) -> RisingContrasts:
    """Return ratio · bottom − top at trial ratios around the estimate and at ``limits``, for each group.

    Args:
        top, bottom: of the documents, documents × groups; the mean of ``bottom`` is positive.
        weights: prompts of each document.
        limits: ratios that have to be among the trials.
        signs: flips × documents.
    """
    level = weights @ bottom / weights.sum()
    ratio = weights @ top / weights.sum() / level
    error = contrast(top - ratio * bottom, weights, tuple(range(len(ratio)))).std_error / np.abs(level)
    # Dense near the estimate, and far beyond any interval that ends.
    around = ratio[:, None] + error[:, None] * np.sinh(np.linspace(-6, 6, _TRIALS_AROUND))
    points = np.sort(np.column_stack([around, np.full((len(ratio), len(limits)), limits)]), axis=1)
    return RisingContrasts(points, _tests(points * bottom[..., None] - top[..., None], weights, signs))


def mean_contrasts(values: Floats, weights: Floats, limits: tuple[float, ...], signs: Floats) -> RisingContrasts:
    """Return trial means − values, documents × groups: ``ratio_contrasts`` with nothing to divide by."""
    return ratio_contrasts(values, np.ones_like(values), weights, limits, signs)


def _tests(values: Floats, weights: Floats, signs: Floats) -> SignFlips:
    return sign_flips(values.reshape(len(values), -1), weights, signs)


def _with_root(points: Floats, values: Floats, estimate: Floats) -> tuple[Floats, Floats]:
    """Add the point where the estimate is zero: there the standard error may have a kink."""
    root = _first_kept(points, -estimate)
    rows = np.arange(len(points))
    after = np.clip((points < root[:, None]).sum(axis=1), 1, points.shape[1] - 1)
    start, end = points[rows, after - 1], points[rows, after]
    part = (root - start) / (end - start)
    there = (1 - part) * values[:, rows, after - 1] + part * values[:, rows, after]
    points, values = np.column_stack([points, root]), np.concatenate([values, there[..., None]], axis=2)
    order = points.argsort(axis=1)
    return np.take_along_axis(points, order, axis=1), np.take_along_axis(values, order[None], axis=2)


def _first_kept(points: Floats, evidence: Floats) -> Floats:
    """Return where in each row ``evidence`` first falls to zero, linear between points; the last point if never."""
    kept = evidence <= 0
    place = np.where(kept.any(axis=1), kept.argmax(axis=1), points.shape[1] - 1)
    rows, before = np.arange(len(points)), np.maximum(place - 1, 0)
    start, end = evidence[rows, before], evidence[rows, place]
    with np.errstate(divide="ignore", invalid="ignore"):
        part = start / (start - end)
    # An infinite critical value leaves nothing to interpolate; the crossing lies strictly after the point before it.
    part = np.where(np.isfinite(part), part, 0.5)
    crossing: Floats = points[rows, before] + part * (points[rows, place] - points[rows, before])
    return np.where(kept.any(axis=1) & (place > 0), crossing, points[rows, place])
