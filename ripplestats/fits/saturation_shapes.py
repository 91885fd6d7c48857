"""Exponential and Hill saturation: shapes that rise from 0 at dose 0 to 1, and a grid over them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from ripplestats.fits.curves import Floats


@dataclass(frozen=True)
class Saturation:
    """A family of saturating shapes b(x; θ) that rise from 0 at dose 0 to 1.

    ``shape`` takes doses (R) and log parameters (n × p) to shapes (n × R); ``derivatives`` returns them with their
    first (n × p × R) and second derivatives (n × p × p × R) by the log parameters; ``inverse`` returns the doses
    (n × q) at which the shapes reach levels between 0 and 1.
    """

    name: str
    grid: Callable[[Floats], Floats]
    shape: Callable[[Floats, Floats], Floats]
    derivatives: Callable[[Floats, Floats], tuple[Floats, Floats, Floats]]
    inverse: Callable[[Floats, Floats], Floats]


def _scales(x: Floats, per_decade: int) -> Floats:
    """Return log scales from where the first dose is past all rise to where the last is still on a straight line."""
    low, high = np.log(x[x > 0][0] / 10), np.log(10 * x[-1])
    grid: Floats = np.linspace(low, high, int(per_decade * (high - low) / np.log(10)))
    return grid


def _exponential_derivatives(x: Floats, parameters: Floats) -> tuple[Floats, Floats, Floats]:
    ratio = x / np.exp(parameters)
    left = np.exp(-ratio)
    return 1 - left, (-ratio * left)[:, None], (ratio * left * (1 - ratio))[:, None, None]


def _hill_rise(x: Floats, parameters: Floats) -> Floats:
    """x^h / (x^h + k^h) is logistic in this; a dose of 0 is far below every scale."""
    rise: Floats = np.exp(parameters[:, 1:]) * (np.log(np.maximum(x, 1e-300)) - parameters[:, :1])
    return rise


def _hill_derivatives(x: Floats, parameters: Floats) -> tuple[Floats, Floats, Floats]:
    rise, steepness = _hill_rise(x, parameters), np.exp(parameters[:, 1:])
    shape = expit(rise)
    slope = shape * expit(-rise)
    bend = slope * (1 - 2 * shape)
    mixed = -steepness * (bend * rise + slope)
    second = [[steepness**2 * bend, mixed], [mixed, rise * (bend * rise + slope)]]
    curvatures = np.stack([np.stack(row, axis=1) for row in second], axis=1)
    return shape, np.stack([-steepness * slope, rise * slope], axis=1), curvatures


def _hill_grid(x: Floats) -> Floats:
    scales, steepness = np.meshgrid(_scales(x, 12), np.log(np.geomspace(0.2, 20, 24)), indexing="ij")
    return np.column_stack([scales.ravel(), steepness.ravel()])


EXPONENTIAL = Saturation(
    "exponential",
    lambda x: _scales(x, 60)[:, None],
    lambda x, parameters: -np.expm1(-x / np.exp(parameters)),
    _exponential_derivatives,
    lambda levels, parameters: -np.exp(parameters) * np.log1p(-levels),
)
#: x^h / (x^h + k^h); its parameters are log k and log h.
HILL = Saturation(
    "Hill",
    _hill_grid,
    lambda x, parameters: expit(_hill_rise(x, parameters)),
    _hill_derivatives,
    lambda levels, parameters: np.exp(parameters[:, :1] + logit(levels) / np.exp(parameters[:, 1:])),
)
MODELS = (EXPONENTIAL, HILL)
