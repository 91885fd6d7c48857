"""The continuous piecewise line with up to three breaks by exact global least squares, for many curves.

Least squares with its breaks confined to given intervals between doses either lies inside, and then the lines beside a
break are free of each other and cross there, or at a dose (Hudson 1966, JASA 61:1097; Lerman 1980, Appl. Stat. 29:77;
Kim et al. 2000, Stat. Med. 19:335). So each break is *at* an inner dose (one more column, a hinge) or *free* between
two doses (two more, a step and a hinge; valid if the lines cross between these), and the least residual sum of squares
over all valid patterns is the global one. Each is a projection on a basis of the doses alone.

A segment holds at least two doses, those at its ends included; for one break this is the rule of ``BreakDesign``. An inner
segment that only one dose tells of may turn about it: then two patterns fit alike, of which the first is taken, and the
breaks are not ``unique``.
"""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import combinations, product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ripplestats.fits.curves import Floats

#: Residual sums of squares that differ by less, relative to that of the line without breaks, are equal but for rounding.
_TIED = 1e-12
#: Breaks that differ by less, relative to the range of the doses, are the same.
_SAME = 1e-6
#: Few enough that the arrays of a chunk of curves take some tens of megabytes.
_NUMBERS_AT_ONCE = 2**21


def minimum_doses(n_breaks: int) -> int:
    """Return how many distinct doses a line with so many breaks needs: one more than it has parameters."""
    return 2 * n_breaks + 3


@dataclass(frozen=True)
class BreaksFit:
    """The best line with K breaks of each of n curves; breaks are in order, slopes are per unit of dose."""

    breakpoints: Floats  # n × K
    intercept: Floats  # n
    slopes: Floats  # n × (K + 1)
    residual_ss: Floats  # n

    def at(self, x: Floats) -> Floats:
        """Return the lines at doses (R): n × R."""
        changes = np.diff(self.slopes, axis=1)
        hinges = np.maximum(x - self.breakpoints[:, :, None], 0.0)
        line = self.intercept[:, None] + self.slopes[:, :1] * x
        bent: Floats = line + (changes[:, :, None] * hinges).sum(axis=1)
        return bent


@dataclass(frozen=True)
class _Family:
    """All patterns in which the same breaks are free.

    ``places`` (patterns × K) holds the dose that a break is at, or the last one below a free break. ``basis`` (R ×
    columns·patterns) spans what the breaks add to the line. ``jumps`` (R × 2 × free × patterns) takes a curve to the
    height of the right line over the left one at both ends of each free break's interval.
    """

    free: tuple[bool, ...]
    places: NDArray[np.intp]
    basis: Floats
    jumps: Floats

    def residual_ss(self, left: Floats, total: Floats, least: Floats) -> Floats:
        """Return the residual sum of squares of each curve and pattern; infinite where the lines do not cross.

        Patterns that are below ``least`` for no curve are not checked.
        """
        n = len(left)
        explained = ((left @ self.basis) ** 2).reshape(n, -1, len(self.places)).sum(axis=1)
        rest: Floats = total[:, None] - explained
        if any(self.free):
            hopeful = np.flatnonzero((rest < least[:, None]).any(axis=0))
            jumps = self.jumps[..., hopeful]
            lower, upper = (left @ jumps.reshape(len(jumps), -1)).reshape(n, *jumps.shape[1:]).swapaxes(0, 1)
            parted = (lower * upper >= 0).any(axis=1)
            rest[:, hopeful] = np.where(parted, np.inf, rest[:, hopeful])
        return rest


@dataclass(frozen=True)
class SeveralBreaksDesign:
    """Doses (R, sorted, distinct), their weights (R, or curves × R), the number of breaks, and the bases of all patterns.

    Weights that differ between curves need the bases of each curve anew, which cost as much as fitting hundreds of curves
    of equal weights.
    """

    x: Floats
    weights: Floats
    n_breaks: int

    def fit(self, curves: Floats) -> BreaksFit:
        """Fit every row of ``curves`` (n × R)."""
        if self.weights.ndim == 2:
            designs = (replace(self, weights=weights) for weights in self.weights)
            return _joined([design.fit(curve[None]) for design, curve in zip(designs, curves, strict=True)])
        columns = max(family.basis.shape[1] for family in self._families)
        step = max(1, _NUMBERS_AT_ONCE // max(columns, 1))
        return _joined([self._fit(curves[start : start + step]) for start in range(0, len(curves), step)])

    def unique(self, curves: Floats) -> NDArray[np.bool_]:
        """Tell of each row of ``curves`` (n × R) whether no other breaks fit it as well."""
        if self.weights.ndim == 2:
            designs = (replace(self, weights=weights) for weights in self.weights)
            return np.concatenate([design.unique(one[None]) for design, one in zip(designs, curves, strict=True)])
        found, weighted = self.fit(curves), curves * np.sqrt(self.weights)
        left, total = self._beyond_line(weighted)
        most, near = found.residual_ss + _TIED * total, _SAME * (self.x[-1] - self.x[0])
        alike = np.ones(len(curves), bool)
        for family in self._families:
            rows, patterns = np.nonzero(family.residual_ss(left, total, most) <= most[:, None])
            breaks = self._solve(family, patterns, weighted[rows])[0]
            np.logical_and.at(alike, rows, (np.abs(breaks - found.breakpoints[rows]) <= near).all(axis=1))
        return alike

    @cached_property
    def _families(self) -> tuple[_Family, ...]:
        return _families(tuple(self.x.tolist()), tuple(self.weights.tolist()), self.n_breaks)

    @cached_property
    def _line(self) -> Floats:
        """Return an orthonormal basis of the weighted straight lines: R × 2."""
        basis: Floats = np.linalg.qr(self._columns((), np.zeros((1, 0), np.intp))[0])[0]
        return basis

    def _beyond_line(self, weighted: Floats) -> tuple[Floats, Floats]:
        """Return what the straight line leaves (small where breaks hardly help: little is lost to rounding), and its squares."""
        left: Floats = weighted - weighted @ self._line @ self._line.T
        return left, (left**2).sum(axis=1)

    def _columns(self, free: tuple[bool, ...], places: NDArray[np.intp]) -> Floats:
        """Return weighted designs, patterns × R × columns: line, and for each break (step and) hinge."""
        one = np.ones((len(places), len(self.x)))
        columns = [one, one * (self.x - self.x.mean())]
        for is_free, place in zip(free, places.T, strict=True):
            beyond = self.x - self.x[place][:, None]
            columns += [(beyond > 0).astype(np.float64)] * is_free + [np.maximum(beyond, 0.0)]
        return np.stack(columns, axis=2) * np.sqrt(self.weights)[:, None]

    def family(self, free: tuple[bool, ...]) -> _Family:
        """Return the patterns in which just these breaks are free."""
        inner = range(1, len(self.x) - 1)
        chosen = list(combinations(inner, self.n_breaks))
        places = np.array(chosen, np.intp).reshape(len(chosen), self.n_breaks)
        starts = places + np.array(free, np.intp)
        ends = np.column_stack([places[:, 1:], np.full(len(places), len(self.x) - 1)])
        places = places[(ends[:, : self.n_breaks] > starts).all(axis=1)]
        basis, triangle = np.linalg.qr(self._columns(free, places))
        maps = np.linalg.solve(triangle, basis.swapaxes(1, 2))
        steps, changes = maps[:, _positions(free, "step")], maps[:, _positions(free, "hinge")][:, list(free)]
        below = places[:, list(free)]
        jumps = np.stack([steps, steps + changes * (self.x[below + 1] - self.x[below])[:, :, None]])
        n_doses = len(self.x)
        flat_basis = np.ascontiguousarray(basis[:, :, 2:].transpose(1, 2, 0).reshape(n_doses, -1))
        return _Family(free, places, flat_basis, np.ascontiguousarray(jumps.transpose(3, 0, 2, 1)))

    def _fit(self, curves: Floats) -> BreaksFit:
        weighted = curves * np.sqrt(self.weights)
        left, total = self._beyond_line(weighted)
        rows, tied = np.arange(len(curves)), _TIED * total
        least, chosen = np.full(len(curves), np.inf), np.zeros((len(curves), 2), np.intp)
        for number, family in enumerate(self._families):
            rest = family.residual_ss(left, total, least)
            best = rest.argmin(axis=1)
            smallest = rest[rows, best]
            # Patterns that fit alike are of different families: the first of these, but for rounding.
            better = smallest < least - tied
            chosen[better] = np.column_stack([np.full(len(rows), number), best])[better]
            least = np.minimum(least, smallest)
        fits = [(chosen[:, 0] == number).nonzero()[0] for number in range(len(self._families))]
        out = [np.empty((len(curves), width)) for width in (self.n_breaks, 1, self.n_breaks + 1, 1)]
        for family, members in zip(self._families, fits, strict=True):
            for whole, part in zip(out, self._solve(family, chosen[members, 1], weighted[members]), strict=True):
                whole[members] = part
        return BreaksFit(out[0], out[1][:, 0], out[2], out[3][:, 0])

    def _solve(self, family: _Family, patterns: NDArray[np.intp], weighted: Floats) -> tuple[Floats, ...]:
        """Return breaks, intercept, slopes and residual sum of squares of known patterns, one a curve."""
        places, free = family.places[patterns], np.array(family.free, bool)
        columns = self._columns(family.free, places)
        basis, triangle = np.linalg.qr(columns)
        coefficients = np.linalg.solve(triangle, basis.swapaxes(1, 2) @ weighted[:, :, None])
        residuals = (weighted[:, :, None] - columns @ coefficients)[:, :, 0]
        terms = coefficients[:, :, 0]
        changes = terms[:, _positions(family.free, "hinge")]
        breaks = self.x[places]
        with np.errstate(divide="ignore", invalid="ignore"):
            beyond = -terms[:, _positions(family.free, "step")] / changes[:, free]
        # Inside the interval by choice; a curve of nothing but rounding may say otherwise here.
        gaps = (self.x[np.minimum(places + 1, len(self.x) - 1)] - breaks)[:, free]
        breaks[:, free] += np.clip(np.nan_to_num(beyond), 0.0, gaps)
        slopes = np.column_stack([terms[:, 1:2], changes]).cumsum(axis=1)
        intercept = terms[:, :1] - terms[:, 1:2] * self.x.mean()
        return breaks, intercept, slopes, (residuals**2).sum(axis=1, keepdims=True)


def _joined(parts: list[BreaksFit]) -> BreaksFit:
    return BreaksFit(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])))


def _positions(free: tuple[bool, ...], kind: Literal["step", "hinge"]) -> list[int]:
    """Return which columns of a design are the steps (of free breaks) or the hinges (of all breaks)."""
    hinges = (2 + np.arange(len(free)) + np.cumsum(np.array(free, np.intp))).tolist()
    return hinges if kind == "hinge" else [place - 1 for place, is_free in zip(hinges, free, strict=True) if is_free]


@lru_cache(maxsize=8)
def _families(x: tuple[float, ...], weights: tuple[float, ...], n_breaks: int) -> tuple[_Family, ...]:
    """Keep the patterns of the latest designs: a run fits many arms and metrics on one grid of doses."""
    design = SeveralBreaksDesign(np.array(x), np.array(weights), n_breaks)
    return tuple(map(design.family, product((False, True), repeat=n_breaks)))
