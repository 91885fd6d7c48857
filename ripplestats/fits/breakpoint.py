"""The continuous two-phase line a + b·x + c·(x − ψ)₊ by exact global least squares, for many curves at once.

For a break between two neighbouring doses the best fit is the pair of separate lines if they cross there, else it
lies at a dose (Hudson 1966, JASA 61:1097). So the global minimum is the best of finitely many linear fits, and the
residual sum of squares of each is a projection on a basis that depends on the doses alone.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ripplestats.fits.curves import Floats

#: Fewer distinct doses than this leave no inner dose for a break between two lines.
MINIMUM_DOSES = 5
_CURVES_AT_ONCE = 16384


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
class BreakDesign:
    """Doses (sorted, distinct) and their weights, and the bases of all candidate fits."""

    x: Floats
    weights: Floats

    @property
    def first(self) -> float:
        """The smallest break that can be told: each side keeps two doses."""
        return float(self.x[1])

    @property
    def last(self) -> float:
        """The largest break that can be told."""
        return float(self.x[-2])

    @cached_property
    def _root(self) -> Floats:
        return np.sqrt(self.weights)

    @cached_property
    def _line(self) -> tuple[Floats, Floats]:
        return self._basis(np.column_stack([np.ones_like(self.x), self.x]))

    @cached_property
    def _at_doses(self) -> tuple[Floats, Floats]:
        """Return bases (m × R × 3) and coefficient maps (m × 3 × R) for a break at each inner dose."""
        pairs = [
            self._basis(np.column_stack([np.ones_like(self.x), self.x, np.maximum(self.x - knot, 0)]))
            for knot in self.x[1:-1]
        ]
        return np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])

    @cached_property
    def _between_doses(self) -> tuple[Floats, Floats]:
        """Return bases (m × R × 4) and maps (m × 4 × R) for separate lines that part after each inner dose."""
        pairs = []
        for cut in range(2, len(self.x) - 1):
            left = np.arange(len(self.x)) < cut
            sides = [np.column_stack([side, side * self.x]) for side in (left, ~left)]
            pairs.append(self._basis(np.column_stack(sides).astype(np.float64)))
        return np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])

    def _basis(self, design: Floats) -> tuple[Floats, Floats]:
        weighted = design * self._root[:, None]
        basis: Floats = np.linalg.qr(weighted)[0]
        inverse: Floats = np.asarray(np.linalg.pinv(weighted), np.float64)
        return basis, inverse

    def fit(self, curves: Floats) -> BreakFit:
        """Fit every row of ``curves`` (n × doses)."""
        parts = [self._fit(curves[start : start + _CURVES_AT_ONCE]) for start in range(0, len(curves), _CURVES_AT_ONCE)]
        return BreakFit(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])))

    def line(self, curves: Floats) -> Floats:
        """Return the best straight line through each row of ``curves``, at the doses."""
        basis = self._line[0]
        fitted: Floats = (curves * self._root) @ basis @ basis.T / self._root
        return fitted

    def _fit(self, curves: Floats) -> BreakFit:
        weighted = curves * self._root
        # Residuals of the straight line: what is left to explain is small where a break hardly helps.
        line_basis = self._line[0]
        left = weighted - weighted @ line_basis @ line_basis.T
        total = (left**2).sum(axis=1)
        at_doses, _ = self._at_doses
        knots = np.maximum(total[:, None] - _explained(left, at_doses), 0)
        between, between_maps = self._between_doses
        lines = np.maximum(total[:, None] - _explained(left, between), 0)
        crossings = self._crossings(weighted, between_maps)
        lines = np.where(np.isfinite(crossings), lines, np.inf)
        return self._best(weighted, total, knots, lines, crossings)

    def _crossings(self, weighted: Floats, maps: Floats) -> Floats:
        """Return where separate lines cross (n × m), NaN unless between the two doses where they part."""
        a1, b1, a2, b2 = np.einsum("ckr,nr->knc", maps, weighted, optimize=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = (a1 - a2) / (b2 - b1)
            inside = (crossing >= self.x[1:-2]) & (crossing <= self.x[2:-1])
        return np.where(inside, crossing, np.nan)

    def _best(self, weighted: Floats, total: Floats, knots: Floats, lines: Floats, crossings: Floats) -> BreakFit:
        rows = np.arange(len(weighted))
        knot, cut = knots.argmin(axis=1), lines.argmin(axis=1)
        free = lines[rows, cut] < knots[rows, knot]
        a, b, c = np.einsum("nkr,nr->kn", self._at_doses[1][knot], weighted)
        a1, b1, _, b2 = np.einsum("nkr,nr->kn", self._between_doses[1][cut], weighted)
        return BreakFit(
            breakpoint=np.where(free, crossings[rows, cut], self.x[1:-1][knot]),
            intercept=np.where(free, a1, a),
            slope_below=np.where(free, b1, b),
            slope_above=np.where(free, b2, b + c),
            residual_ss=np.minimum(lines[rows, cut], knots[rows, knot]),
            residual_ss_line=total,
        )


def _explained(left: Floats, bases: Floats) -> Floats:
    """Return the squared length of each row's projection on each basis: n × m."""
    m, doses, width = bases.shape
    products = left @ bases.transpose(1, 0, 2).reshape(doses, m * width)
    explained: Floats = (products**2).reshape(len(left), m, width).sum(axis=2)
    return explained
