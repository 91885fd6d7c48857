"""The continuous two-phase line a + b·x + c·(x − ψ)₊ by exact global least squares, for many curves at once.

For ψ between two neighbouring doses, t above the lower one, the bent line less its projection on the straight one is
h − t·g, with h and g known from the doses. So what the break explains is (A − t·B)² / (H − 2t·J + t²·G), where A and B
are products of the curve with h and g, and H, J and G those of h and g. Its only maximum is at t = (BH − AJ) / (BJ − AG)
and is the fit of two separate lines that cross there (Hudson 1966, JASA 61:1097). The global minimum of the residual sum
of squares is the best of finitely many candidates: the inner doses, and that one point in each interval between them.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ripplestats.fits.curves import Floats

#: Fewer distinct doses than this leave no inner dose for a break between two lines.
MINIMUM_DOSES = 5
#: Few enough that the arrays of a chunk stay in the processor's cache.
_CURVES_AT_ONCE = 1024
#: What is left of a squared length after projection, relative to it, where nothing is left but rounding.
_ROUNDING = 1e-13


@dataclass(frozen=True)
class BreakFit:
    """The best two-phase line of each curve; arrays of equal length."""

    breakpoint: Floats
    intercept: Floats
    slope_below: Floats
    slope_above: Floats
    residual_ss: Floats
    residual_ss_line: Floats


@dataclass(frozen=True)
class _Line:
    """The best straight line (the best constant, where the line is level above its break) of each curve."""

    intercept: Floats
    slope: Floats
    left: Floats


@dataclass(frozen=True)
class BreakDesign:
    """Doses (sorted, distinct), their weights (R, or curves × R), and whether the line is level above the break."""

    x: Floats
    weights: Floats
    level_above: bool = False

    @property
    def first(self) -> float:
        """The smallest break that can be told: each side keeps two doses."""
        return float(self.x[1])

    @property
    def last(self) -> float:
        """The largest break that can be told."""
        return float(self.x[-2])

    def fit(self, curves: Floats) -> BreakFit:
        """Fit every row of ``curves`` (n × doses)."""
        parts = []
        for start in range(0, len(curves), _CURVES_AT_ONCE):
            chunk = slice(start, start + _CURVES_AT_ONCE)
            design = self if self.weights.ndim == 1 else BreakDesign(self.x, self.weights[chunk], self.level_above)
            parts.append(design._fit(curves[chunk]))
        return BreakFit(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])))

    def line(self, curves: Floats) -> Floats:
        """Return the best straight line through each row of ``curves``, at the doses."""
        return curves - BreakDesign(self.x, self.weights)._line(curves).left

    def _fit(self, curves: Floats) -> BreakFit:
        line = self._line(curves)
        a, b = self._products(line.left)
        h, j, g = self._squares
        above, below = b * h - a * j, b * j - a * g
        gaps = np.append(np.diff(self.x)[1:-1], 0.0)
        inside = (above * below > 0) & (np.abs(above) < gaps * np.abs(below))
        with np.errstate(divide="ignore", invalid="ignore"):
            explained = np.where(inside, (b * above - a * below) / (h * g - j**2), a**2 / h)
        explained = np.where(np.isfinite(explained), explained, 0.0)
        best = explained.argmax(axis=1)
        at = np.arange(len(curves)), best
        fixed = (np.zeros_like(best) if len(h) == 1 else at[0]), best
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(inside[at], above[at] / below[at], 0.0)
            change = (a[at] - t * b[at]) / (h[fixed] - 2 * t * j[fixed] + t**2 * g[fixed])
        change = np.where(explained[at] > 0, change, 0.0)
        return self._with_break(line, best, t, change, explained[at])

    def _with_break(
        self, line: _Line, best: NDArray[np.intp], t: Floats, change: Floats, explained: Floats
    ) -> BreakFit:
        """Return the fits whose breaks lie ``t`` above inner doses, from the height of the bent line in each."""
        breakpoint = self.x[best + 1] + t
        weighted = self.weights * line.left**2
        total = weighted.sum(axis=1)
        bent = BreakDesign(self.x, self.weights, self.level_above)
        hinge = bent._hinge(breakpoint)
        of_hinge = bent._line(hinge)
        intercept = line.intercept - change * of_hinge.intercept
        slope = line.slope - change * of_hinge.slope
        if self.level_above:
            straight = BreakDesign(self.x, self.weights)._line(line.left).left
            of_line: Floats = (self.weights * straight**2).sum(axis=1)
            return BreakFit(
                breakpoint, intercept, change, np.zeros_like(t), np.maximum(total - explained, 0.0), of_line
            )
        return BreakFit(breakpoint, intercept, slope, slope + change, np.maximum(total - explained, 0.0), total)

    def _hinge(self, breakpoint: Floats) -> Floats:
        at = breakpoint[:, None]
        return np.minimum(self.x, at) if self.level_above else np.maximum(self.x - at, 0.0)

    @cached_property
    def _line_maps(self) -> tuple[Floats, Floats]:
        """Return what takes curves of equal weights to mean and slope of their lines: R, and R, about the mean dose."""
        mass = self.weights / self.weights.sum()
        from_centre = self.x - mass @ self.x
        return mass, mass * from_centre / (mass @ from_centre**2)

    def _line(self, curves: Floats) -> _Line:
        if self.weights.ndim == 1:
            mass, tilt = self._line_maps
            # About the mean, so that a large level costs no digits of the rest.
            mean, centre = curves @ mass, np.full(len(curves), mass @ self.x)
            left = curves - mean[:, None]
            slope = np.zeros_like(mean) if self.level_above else left @ tilt
        else:
            total = self.weights.sum(axis=1)
            mean, centre = ((self.weights * one).sum(axis=1) / total for one in (curves, self.x))
            left, from_centre = curves - mean[:, None], self.x - centre[:, None]
            moments = [(self.weights * from_centre * one).sum(axis=1) for one in (left, from_centre)]
            slope = np.zeros_like(mean) if self.level_above else moments[0] / moments[1]
        if not self.level_above:
            left = left - slope[:, None] * (self.x - centre[:, None])
        return _Line(mean - slope * centre, slope, left)

    @cached_property
    def _bases(self) -> tuple[Floats, Floats]:
        """Return h and g (inner doses × R), the straight line not yet projected out.

        A line more or less changes nothing, so that of (x − ψ)₊ and (ψ − x)₊ the one with fewer doses is taken: it
        loses fewer digits when the line is projected out.
        """
        knots, x = self.x[1:-1, None], self.x[None]
        if self.level_above:
            return np.minimum(x, knots), -(x > knots).astype(np.float64)
        lower = (np.arange(1, len(self.x) - 1) < len(self.x) / 2)[:, None]
        h: Floats = np.where(lower, np.maximum(knots - x, 0.0), np.maximum(x - knots, 0.0))
        above = (x > knots).astype(np.float64)
        g: Floats = np.where(lower, above - 1.0, above)
        return h, g

    @cached_property
    def _weighted_bases(self) -> Floats:
        h, g = self._bases
        both: Floats = (np.concatenate([h, g]) * self.weights).T
        return both

    def _products(self, left: Floats) -> tuple[Floats, Floats]:
        """Return A and B (curves × inner doses) of residuals of the line."""
        h, g = self._bases
        if self.weights.ndim == 1:
            both: Floats = left @ self._weighted_bases
            return both[:, : len(h)], both[:, len(h) :]
        weighted = left * self.weights
        return weighted @ h.T, weighted @ g.T

    @cached_property
    def _squares(self) -> tuple[Floats, Floats, Floats]:
        """Return H, J and G (1 or curves × inner doses), the straight line projected out of h and g."""
        h, g = self._bases
        weights = np.atleast_2d(self.weights)
        mass = weights.sum(axis=1, keepdims=True)
        x = self.x - weights @ self.x[:, None] / mass
        second = (weights * x**2).sum(axis=1, keepdims=True)

        def product(one: Floats, other: Floats) -> Floats:
            plain = weights @ (one * other).T
            rest = plain - (weights @ one.T) * (weights @ other.T) / mass
            if not self.level_above:
                tilted = weights * x
                rest = rest - (tilted @ one.T) * (tilted @ other.T) / second
            return np.where(np.abs(rest) > _ROUNDING * np.abs(plain), rest, 0.0)

        return product(h, h), product(h, g), product(g, g)
