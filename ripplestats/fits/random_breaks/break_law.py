"""The law of prompts' breaks, normal or log-normal, and the nodes over which it is integrated.

Both laws have two parameters in units of dose: the ``centre`` (mean, or median) and the ``spread`` (standard deviation;
of the logarithm it is spread/centre). Density and nodes are per unit of the dose, or of its logarithm.
"""

from dataclasses import dataclass

import numpy as np

from ripplestats.fits.curves import Floats

NORMAL, LOG_NORMAL = "normal", "lognormal"
LAWS = (NORMAL, LOG_NORMAL)
#: The integral runs over ± REACH standard deviations at least; what lies outside weighs 10⁻¹⁵.
REACH = 8.0
#: A log-normal law wider than this has no mean that the doses could tell.
WIDEST_LOG_NORMAL = 1.5
_LOG_ROOT_TWO_PI = 0.5 * np.log(2 * np.pi)
_RULES: dict[int, tuple[Floats, Floats]] = {}


@dataclass(frozen=True)
class Nodes:
    """Where the integrand is evaluated: breaks (J,) and the logarithm of the length that each stands for."""

    breaks: Floats
    log_lengths: Floats


@dataclass(frozen=True)
class Deviates:
    """Standardised breaks z (J,), their first and second derivative in the centre, and what follows for the density.

    ``score`` and ``information`` are the first and the negative second derivative of ``log_density`` in the centre.
    """

    value: Floats
    slope: Floats
    curvature: float
    log_density: Floats
    score: Floats
    information: Floats


def deviates(law: str, breaks: Floats, centre: float, spread: float) -> Deviates:
    """Standardise breaks under their law."""
    if law == LOG_NORMAL:
        value = np.log(breaks / centre) * centre / spread
        slope, curvature, width = value / centre - 1 / spread, -1 / (spread * centre), spread / centre
        inverse = 1 / centre
    else:
        value = (breaks - centre) / spread
        slope, curvature, width, inverse = np.full_like(value, -1 / spread), 0.0, spread, 0.0
    return Deviates(
        value,
        slope,
        curvature,
        log_density=-0.5 * value**2 - np.log(width) - _LOG_ROOT_TWO_PI,
        score=inverse - value * slope,
        information=slope**2 + value * curvature + inverse**2,
    )


def moments(law: str, centre: float, spread: float) -> tuple[float, float]:
    """Return mean and standard deviation of breaks."""
    if law != LOG_NORMAL:
        return centre, spread
    variance = (spread / centre) ** 2
    mean = centre * np.exp(variance / 2)
    return float(mean), float(mean * np.sqrt(np.expm1(variance)))


def integration_nodes(x: Floats, centre: float, spread: float, order: int, law: str = NORMAL) -> Nodes:
    """Return Gauss–Legendre nodes over ± REACH spreads in panels between doses, none longer than a spread.

    Under the log-normal law the doses beyond that are covered as well, a panel between two: with thousands of prompts, errors
    of some are so large that they alone outweigh 10¹⁵. Were they cut off where the law's reach ends, the likelihood would
    move with that end, and its slopes not tell.
    """
    if law == LOG_NORMAL:
        doses = np.log(x[x > 0])
        found = _panels(doses, float(np.log(centre)), spread / centre, order, (doses[0], doses[-1]))
        return Nodes(np.exp(found.breaks), found.log_lengths)
    return _panels(x, centre, spread, order, (centre, centre))


def _panels(x: Floats, centre: float, spread: float, order: int, covered: tuple[float, float]) -> Nodes:
    low, high = centre - REACH * spread, centre + REACH * spread
    first, last = min(low, covered[0]), max(high, covered[1])
    edges = np.unique(np.concatenate([[first, low, high, last], x[(x > first) & (x < last)]]))
    widths = np.diff(edges)
    within_reach = (edges[:-1] >= low) & (edges[1:] <= high)
    pieces = np.where(within_reach, np.maximum(np.ceil(widths / spread - 1e-9), 1), 1).astype(np.intp)
    within = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    length = np.repeat(widths / pieces, pieces)
    start = np.repeat(edges[:-1], pieces) + within * length
    points, weights = _legendre(order)
    return Nodes((start[:, None] + length[:, None] * points).ravel(), np.log(length[:, None] * weights).ravel())


def _legendre(order: int) -> tuple[Floats, Floats]:
    """Return the Gauss–Legendre rule on 0 … 1."""
    if order not in _RULES:
        points, weights = np.polynomial.legendre.leggauss(order)
        _RULES[order] = ((points + 1) / 2, weights / 2)
    return _RULES[order]
