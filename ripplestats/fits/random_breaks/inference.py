"""From the parameters that are climbed to the terms that are read, with standard errors robust to clusters."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ripplestats.fits.curves import Floats
from ripplestats.fits.random_breaks.likelihood import (
    BREAK,
    CHANGE,
    INTERCEPT,
    LOG_RESIDUAL,
    N_FIXED,
    SLOPE,
    Block,
    Layout,
)
from ripplestats.fits.random_breaks.optimum import Optimum, Problem
from ripplestats.fits.random_breaks.restricted import information_at_one_break

_SPREADS = ("threshold_sd", "residual")


@dataclass(frozen=True)
class Natural:
    """Terms, and the units that take scaled parameters back: of effects (``centre``, ``unit``) and of doses."""

    names: tuple[str, ...]
    centre: float
    unit: float
    dose: float

    @property
    def spreads(self) -> NDArray[np.bool_]:
        """Say which terms are standard deviations."""
        return np.array([name in _SPREADS or name.startswith("sd_") for name in self.names])

    def data_scale(self, free: Floats) -> Floats:
        """Return the terms from where their distribution is nearest to normal."""
        with np.errstate(over="ignore"):
            return np.where(self.spreads, np.exp(np.where(self.spreads, free, 0.0)), self._correlation(free))

    def slope(self, free: Floats) -> Floats:
        """Return by how much a term changes with its free form."""
        value = self.data_scale(free)
        return np.where(self.spreads, value, np.where(self._correlations, 1 - value**2, 1.0))

    def reasons(self, estimate: Floats, std_error: Floats) -> tuple[str, ...]:
        """Say of each term why it has no interval, or nothing."""
        zero = (self.spreads & (estimate == 0)).tolist()
        without = np.where(np.isfinite(std_error), "", "no interval: the information is singular, or one document only")
        return tuple(np.where(zero, "on the boundary (zero): no interval", without).tolist())

    def jacobian(self, blocks: Sequence[Block]) -> float:
        """Return what the log-likelihood of scaled effects has too much."""
        return float(np.log(self.unit)) * sum(block.values.size for block in blocks)

    @property
    def restricted_jacobian(self) -> float:
        """Return what the flat prior on the scaled parameters of the mean adds to that on theirs."""
        return float(3 * np.log(self.unit) - 2 * np.log(self.dose) + np.log(self.dose))

    @property
    def _correlations(self) -> NDArray[np.bool_]:
        return np.array([name.startswith("correlation") for name in self.names])

    def _correlation(self, free: Floats) -> Floats:
        return np.where(self._correlations, np.tanh(free), free)

    def free(self, layout: Layout, parameters: Floats) -> Floats:
        """Return the terms where their distribution is nearest to normal: logarithms of spreads, Fisher's z."""
        slope, change = parameters[SLOPE] * self.unit / self.dose, parameters[CHANGE] * self.unit / self.dose
        found = [parameters[BREAK] * self.dose]
        if "threshold_sd" in self.names:
            found.append(np.log(layout.spread(parameters) * self.dose) if layout.random_break else -np.inf)
        found += [parameters[INTERCEPT] * self.unit + self.centre, slope, change, slope + change]
        lower = layout.factor(parameters)
        spreads = np.sqrt((lower**2).sum(axis=1))
        units = np.array([self.unit if column == 0 else self.unit / self.dose for column in layout.columns])
        with np.errstate(divide="ignore", invalid="ignore"):
            found += list(np.log(spreads * units))
            if layout.unstructured:
                together = np.clip(lower @ lower.T / np.outer(spreads, spreads), -1, 1)
                found += [np.arctanh(together[i, j]) for i in range(len(spreads)) for j in range(i)]
        return np.array([*found, parameters[LOG_RESIDUAL] + np.log(self.unit)])

    def free_errors(self, layout: Layout, parameters: Floats, covariance: Floats) -> Floats:
        """Return the standard errors of the free form of the terms, by the delta method; NaN for what is zero."""
        rows = []
        for place in range(layout.size):
            step = np.zeros(layout.size)
            step[place] = 1e-5 * max(abs(parameters[place]), 1e-3)
            with np.errstate(invalid="ignore"):
                ends = self.free(layout, parameters + step), self.free(layout, parameters - step)
                rows.append((ends[0] - ends[1]) / (2 * step[place]))
        jacobian = np.array(rows).T
        known = np.isfinite(jacobian).all(axis=1)
        errors = np.full(len(self.names), np.nan)
        errors[known] = np.sqrt(np.maximum(np.einsum("ka,ab,kb->k", jacobian[known], covariance, jacobian[known]), 0))
        idle = ~np.isfinite(self.free(layout, parameters))
        return np.where(idle, np.nan, errors)


def covariances(problem: Problem, best: Optimum, scores: Floats, labels: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Return the parameters' covariances robust to clusters and as if the model were true; NaN if singular.

    The robust one is I⁻¹·B·I⁻¹·D/(D−1), I the observed information and B the sum over documents of squared scores,
    less their mean. A spread of zero counts as known.
    """
    layout = problem.layout
    hessian = best.hessian.copy()
    if not layout.random_break:
        hessian[:N_FIXED, :N_FIXED] = information_at_one_break(problem, best.parameters)
        hessian[BREAK, N_FIXED:] = hessian[N_FIXED:, BREAK] = 0.0
    known = [layout.first_factor + layout.entries.index((i, i)) for i in layout.idle(best.parameters)]
    free = np.setdiff1d(np.arange(layout.size), known)
    robust, model = np.zeros((2, layout.size, layout.size))
    bread = _inverse(hessian[np.ix_(free, free)])
    by_document = np.zeros((labels.max() + 1, len(free)))
    np.add.at(by_document, labels, scores[:, free])
    by_document -= by_document.mean(axis=0)
    n = len(by_document)
    factor = n / (n - 1) if n > 1 else np.nan
    model[np.ix_(free, free)] = bread
    robust[np.ix_(free, free)] = factor * bread @ (by_document.T @ by_document) @ bread
    return robust, model


def is_regular(covariance: Floats) -> bool:
    """Say whether a covariance could be computed."""
    return bool(np.isfinite(covariance).all())


def _inverse(information: Floats) -> Floats:
    scale = np.sqrt(np.abs(np.diag(information)))
    if not (scale > 0).all():
        return np.full_like(information, np.nan)
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    if values[0] < 1e-9:
        return np.full_like(information, np.nan)
    inverse: Floats = (vectors / values) @ vectors.T / np.outer(scale, scale)
    return inverse
