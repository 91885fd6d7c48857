"""Maximum likelihood of balanced mixed models: Newton's method on many starts, or many data sets, at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ripplestats.fits.balanced.design import LEVELS, Factor, Reduction, Strata
from ripplestats.fits.balanced.likelihood import Profile, profile
from ripplestats.fits.curves import Floats

#: Complex step (Squire & Trapp 1998, SIAM Rev. 40:110): derivatives without cancellation.
_STEP = 1e-20
_MOST_STEPS, _SHORTEST = 300, 1e-12
#: The optimum is reached where another Newton step promises to lower the deviance by less; or by less than the second,
#: and steps keep nothing of what they promise, since rounding is all that is left.
_GAIN, _ROUNDING = 1e-9, 1e-4
#: A curvature, in units of the diagonal, that is below minus this is a saddle.
_FLAT = 1e-7


@dataclass(frozen=True)
class Optimum:
    """Minima of the deviance, one a start or replicate: parameters (N, m), deviance and convergence (N,)."""

    parameters: Floats
    deviance: Floats
    converged: NDArray[np.bool_]


def derivatives(strata: Strata, reduction: Reduction, parameters: Floats, reml: bool) -> tuple[Profile, Floats]:
    """Return the profile along complex steps, N × m, and the Hessian of the deviance, N × m × m, at (N, m)."""
    size = parameters.shape[-1]
    along = profile(strata, reduction, parameters[:, None, :] + 1j * _STEP * np.eye(size), reml)
    hessian = along.gradient.imag / _STEP
    return along, (hessian + np.swapaxes(hessian, -1, -2)) / 2


def directional(values: NDArray[np.complexfloating]) -> Floats:
    """Return the derivatives that complex steps carry."""
    return np.asarray(values.imag / _STEP, np.float64)


def minimise(strata: Strata, reduction: Reduction, starts: Floats, reml: bool) -> Optimum:
    """Minimise the deviance from each start.

    The deviance is even in each column of a factor, so that a variance of zero is a smooth minimum, no bound: Newton's
    method with the curvature's absolute value (which leaves saddles) and step halving.

    Args:
        strata: one data set, or replicates with the axes (N, 1).
        reduction: the design.
        starts: (N, m).
        reml: restricted likelihood.
    """
    parameters = starts.copy()
    deviance = np.full(len(starts), np.inf)
    converged = np.zeros(len(starts), np.bool_)
    step, length = np.zeros_like(starts), np.ones(len(starts))
    nearly = converged.copy()
    active = np.arange(len(starts))
    for _ in range(_MOST_STEPS):
        trial = parameters[active] + length[active, None] * step[active]
        with np.errstate(all="ignore"):
            along, hessian = derivatives(strata.of_replicates(active), reduction, trial, reml)
        found = along.deviance[:, 0].real
        lower = found <= deviance[active] + 1e-12 * np.abs(found)
        moved = active[lower]
        fall = deviance[moved] - found[lower]
        parameters[moved], deviance[moved] = trial[lower], found[lower]
        newton, gain, saddle = _newton_step(along.gradient[lower, 0].real, hessian[lower])
        step[moved], length[moved] = newton, 1.0
        nearly[moved] = (gain < _ROUNDING) & ~saddle
        reached = ((gain < _GAIN) & ~saddle) | (nearly[moved] & (fall < gain / 10))
        converged[moved[reached]] = True
        parameters[moved[reached]] += newton[reached]
        length[active[~lower]] /= 2
        active = active[~converged[active] & (length[active] > _SHORTEST)]
        if not len(active):
            break
    return Optimum(parameters, deviance, converged | nearly)


def moment_starts(strata: Strata, reduction: Reduction) -> Floats:
    """Return parameters (…, m) from the strata's mean squares, each direction at least a little above zero."""
    n, counts, layers = reduction.sizes, reduction.counts, reduction.n_layers
    P, D = reduction.n_prompts, reduction.n_documents
    q = len(reduction.Q.T)
    levels = {LEVELS[factor.level] for factor in reduction.factors}
    squares, df = strata.rest, reduction.rest_df
    if "interaction" not in levels:
        squares, df = squares + np.trace(strata.cells, axis1=-2, axis2=-1), df + q * reduction.interaction_df
    variance = np.maximum(squares / df, np.finfo(np.float64).tiny)[..., None, None]
    cells = strata.cells / variance / max(reduction.interaction_df, 1) - np.eye(q)
    base = np.eye(q) + (_floored(cells, 0.0) if "interaction" in levels else 0.0)
    grand = np.einsum("s,...si->...i", counts * n, strata.means)[..., None, :] / P
    apart = strata.means - grand
    between = np.einsum("s,...sij->...ij", n, strata.scatter)
    between = between + np.einsum("s,...si,...sj->...ij", counts * n, apart, apart)
    between = layers * between / max(D - 1, 1) / variance
    within = strata.prompts / variance / (P - D) if P > D else between
    prompts = (within - base) / layers if "prompt" in levels else np.zeros_like(between)
    documents = ((between - base) / layers - _floored(prompts, 0.0)) * D / P
    of_layers = (strata.layers / variance / max(reduction.n_layers - 1, 1) - base) / P
    M = dict(zip(LEVELS, (documents, prompts, of_layers, cells), strict=True))
    scale = {"document": layers * P / D, "prompt": float(layers), "layer": float(P), "interaction": 1.0}
    found = [
        _entries(factor, M[LEVELS[factor.level]], 0.1 / scale[LEVELS[factor.level]]) for factor in reduction.factors
    ]
    return np.concatenate(found, axis=-1)


def _newton_step(gradient: Floats, hessian: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return the step, the gain it promises, and where the curvature is that of a saddle."""
    diagonal = np.abs(np.diagonal(hessian, axis1=1, axis2=2))
    # Parameters of unlike size count alike; with no curvature at all the step is far too long, but a number.
    scale = 1 / np.sqrt(np.maximum(diagonal, 1e-20 * diagonal.max(axis=1, keepdims=True)).clip(1e-200))
    values, vectors = np.linalg.eigh(hessian * scale[:, :, None] * scale[:, None, :])
    vectors = vectors * scale[:, :, None]
    curvature = np.maximum(np.abs(values), 1e-10)
    along = np.einsum("nij,ni->nj", vectors, gradient)
    saddle = values[:, 0] < -_FLAT
    step = -np.einsum("nij,nj->ni", vectors, along / curvature)
    gain: Floats = (along**2 / curvature).sum(axis=-1)
    # On top of a ridge the gradient is nothing: step off it.
    stuck = saddle & (gain < _GAIN)
    step[stuck] += vectors[stuck, :, 0] * 1e-2
    return step, gain, saddle


def _floored(matrix: Floats, floor: float) -> Floats:
    values, vectors = np.linalg.eigh(matrix)
    floored: Floats = np.einsum("...ij,...j,...kj->...ik", vectors, np.maximum(values, floor), vectors)
    return floored


def _entries(factor: Factor, M: Floats, floor: float) -> Floats:
    """Return the factor's entries for a covariance M, (…, q, q)."""
    pseudo = np.linalg.pinv(factor.basis)
    inside = _floored(pseudo @ M @ pseudo.T, floor)
    if len(factor.rows) == factor.basis.shape[1]:
        return np.sqrt(np.diagonal(inside, axis1=-2, axis2=-1))
    return np.asarray(np.linalg.cholesky(inside)[..., factor.rows, factor.columns], np.float64)
