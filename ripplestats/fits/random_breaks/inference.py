"""From the parameters that are climbed to the terms that are read, with standard errors robust to clusters."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ripplestats.fits.curves import Floats
from ripplestats.fits.random_breaks.break_law import LOG_NORMAL, moments
from ripplestats.fits.random_breaks.layout import (
    BEND,
    BREAK,
    INTERCEPT,
    LOG_RESIDUAL,
    N_FIXED,
    RISE,
    Block,
    Layout,
)
from ripplestats.fits.random_breaks.optimum import Optimum
from ripplestats.fits.random_breaks.problem import Problem
from ripplestats.fits.random_breaks.restricted import information_at_one_break

#: The least share of the information that is taken to be left without a document.
_LEAST_LEFT = 0.2
_SINGULAR = 1e-10
#: A direction that cannot be told may point this much (squared cosine) to parameters of the mean.
_OF_MEAN = 1e-2
_SPREADS = ("threshold_sd", "residual")
#: Positive, and no spreads; the first only under the log-normal law.
_POSITIVE = ("threshold_median", "residual_growth")


@dataclass(frozen=True)
class Natural:
    """Terms, and the units that take scaled parameters back: of effects (``centre``, ``unit``) and of doses."""

    names: tuple[str, ...]
    centre: float
    unit: float
    dose: float

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Say which terms are read off the logarithm."""
        below_zero = "threshold_median" not in self.names
        logarithmic = [name in _POSITIVE or (name == "population_threshold" and not below_zero) for name in self.names]
        found: NDArray[np.bool_] = self.spreads | np.array(logarithmic)
        return found

    @property
    def spreads(self) -> NDArray[np.bool_]:
        """Say which terms are standard deviations."""
        return np.array([name in _SPREADS or name.startswith("sd_") for name in self.names])

    def data_scale(self, free: Floats) -> Floats:
        """Return the terms from where their distribution is nearest to normal."""
        with np.errstate(over="ignore"):
            return np.where(self.positive, np.exp(np.where(self.positive, free, 0.0)), self._correlation(free))

    def slope(self, free: Floats) -> Floats:
        """Return by how much a term changes with its free form."""
        value = self.data_scale(free)
        return np.where(self.positive, value, np.where(self._correlations, 1 - value**2, 1.0))

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
        slopes = 1 if "height" in self.names else 2
        return float(3 * np.log(self.unit) - slopes * np.log(self.dose) + np.log(self.dose))

    @property
    def _correlations(self) -> NDArray[np.bool_]:
        return np.array([name.startswith(("correlation", "autocorrelation")) for name in self.names])

    def _correlation(self, free: Floats) -> Floats:
        return np.where(self._correlations, np.tanh(free), free)

    def free(self, layout: Layout, parameters: Floats) -> Floats:
        """Return the terms where their distribution is nearest to normal: logarithms of spreads, Fisher's z."""
        found = [*self._free_breaks(layout, parameters), parameters[INTERCEPT] * self.unit + self.centre]
        found += self._lines(layout, parameters)
        together = layout.covariance(parameters)
        spreads = np.sqrt(np.diag(together))
        plain = (INTERCEPT, RISE) if layout.of_heights else (INTERCEPT,)
        units = np.array([self.unit if column in plain else self.unit / self.dose for column in layout.columns])
        q = len(layout.columns)
        with np.errstate(divide="ignore", invalid="ignore"):
            found += list(np.log(spreads[:q] * units))
            if layout.unstructured:
                together = np.clip(together / np.outer(spreads, spreads), -1, 1)
                found += [np.arctanh(together[i, j]) for i in range(len(spreads)) for j in range(i)]
        if layout.unstructured and not layout.joint and "threshold_sd" in self.names:
            # Equal breaks correlate with nothing.
            found += [np.nan] * q
        found.append(parameters[LOG_RESIDUAL] + np.log(self.unit))
        return np.array([*found, *parameters[layout.first_shape :]])

    def _lines(self, layout: Layout, parameters: Floats) -> list[float]:
        """Return the height at the break, where that is a parameter, and the mean slopes of prompts."""
        rise, bend, slope = parameters[RISE], parameters[BEND], self.unit / self.dose
        if not layout.of_heights:
            return [rise * slope, bend * slope, (rise + bend) * slope]
        # The mean of height/ψ, of which log ψ and the height given ψ are normal.
        deviation = layout.spread(parameters) / parameters[BREAK]
        below = (rise - deviation * layout.regression(parameters)[RISE]) * np.exp(deviation**2 / 2) / parameters[BREAK]
        return [rise * self.unit, below * slope, (bend - below) * slope, bend * slope]

    def _free_breaks(self, layout: Layout, parameters: Floats) -> list[float]:
        centre = parameters[BREAK] * self.dose
        if "threshold_sd" not in self.names:
            return [centre]
        if not layout.random_break:
            logarithmic = "threshold_median" in self.names
            return [np.log(centre), -np.inf, np.log(centre)] if logarithmic else [centre, -np.inf]
        mean, deviation = moments(layout.law, centre, layout.spread(parameters) * self.dose)
        if layout.law == LOG_NORMAL:
            return [np.log(mean), np.log(deviation), np.log(centre)]
        return [mean, np.log(deviation)]

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

    The robust one is the sandwich D/(D−1)·Σ δδ' over documents with δ = I⁻¹·s_d, I the observed information and s_d a
    document's score less their mean. Correlated effects have so many parameters that with 30 documents it is too narrow:
    there it is Σ δδ' with ``bias_reduced`` influences δ. A spread of zero counts as known.
    """
    layout = problem.layout
    by_prompt = best.information
    if not layout.random_break:
        by_prompt = by_prompt.copy()
        by_prompt[:, :N_FIXED, :N_FIXED] = information_at_one_break(problem, best.parameters) / len(by_prompt)
        by_prompt[:, BREAK, N_FIXED:] = by_prompt[:, N_FIXED:, BREAK] = 0.0
    known = [] if layout.unstructured else layout.idle_places(best.parameters)
    free = np.setdiff1d(np.arange(layout.size), known)
    n = int(labels.max()) + 1
    of_documents, score = np.zeros((n, len(free), len(free))), np.zeros((n, len(free)))
    np.add.at(of_documents, labels, by_prompt[:, free[:, None], free])
    np.add.at(score, labels, scores[:, free])
    robust, model = np.full((2, layout.size, layout.size), np.nan)
    root = _inverse_root(of_documents.sum(axis=0))
    if root is not None:
        robust[:], model[:] = 0.0, 0.0
        model[np.ix_(free, free)] = root @ root.T
        centred = score - score.mean(axis=0)
        robust[np.ix_(free, free)] = _sandwich(root, of_documents if layout.unstructured else None, centred)
    return robust, model


def _sandwich(root: Floats, of_documents: Floats | None, score: Floats) -> Floats:
    n, m = score.shape
    if n == 1:
        return np.full((m, m), np.nan)
    if of_documents is None:
        influences, factor = score @ root @ root.T, n / (n - 1)
    else:
        influences, factor = bias_reduced(root, of_documents, score), 1.0
    found: Floats = factor * influences.T @ influences
    return found


def bias_reduced(root: Floats, of_documents: Floats, score: Floats) -> Floats:
    """Return documents' influences on the parameters, without what each of them takes from its own score by pulling on these.

    R·(I − R'·I_d·R)^−½·R'·s_d, where R·R' inverts the information: CR2 of Bell & McCaffrey (2002, Survey Methodology 28:169),
    with scores and information in place of residuals and hat matrix, as Mancl & DeRouen (2001, Biometrics 57:126) have
    them. The sum of squares is unbiased where the likelihood is quadratic and true.
    """
    whitened = root.T @ of_documents @ root
    values, vectors = np.linalg.eigh(np.eye(root.shape[1]) - whitened)
    # What one document alone tells is not to be divided by nothing.
    rotated = np.einsum("dji,dj->di", vectors, score @ root) / np.sqrt(np.maximum(values, _LEAST_LEFT))
    influences: Floats = np.einsum("dij,dj->di", vectors, rotated) @ root.T
    return influences


def _inverse_root(information: Floats) -> Floats | None:
    """Return R with R·R' the inverse; None if that is singular.

    Where it is so among spreads alone (effects that correlate wholly), what cannot be told counts as known.
    """
    scale = np.sqrt(np.abs(np.diag(information)))
    if not (scale > 0).all():
        return None
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    told = values > _SINGULAR
    if (vectors[:N_FIXED, ~told] ** 2).sum(axis=0).max(initial=0.0) > _OF_MEAN:
        return None
    root: Floats = vectors[:, told] / np.sqrt(values[told]) / scale[:, None]
    return root
