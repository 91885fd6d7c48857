"""The Gaussian likelihood of balanced curves with crossed and nested random effects, from sufficient statistics.

The model of the curve (R rows) of prompt p of document d in layer l is

    y = X b + Z u_d + Z v_dp + Z w_l + Z a_pl + e,    e ~ N(0, s² I),

where X and Z depend on the dose alone. Orthonormal contrasts over layers and over the prompts of a document split the
covariance into strata (relative to s², in an orthonormal basis of the columns of Z, where M_d, M_p, M_w and M_a
are the covariances of Zu, Zv, Zw and Za; B = I + M_a; L layers, P prompts, n_d prompts in document d):

    within documents, mean over layers       B + L M_p                       P − D vectors
    grand mean, contrasts of layers          B + P M_w                       L − 1 vectors
    contrasts of prompts by those of layers  B                               (P − 1)(L − 1) vectors
    document means, mean over layers         B + L (n_d M_d + M_p), and √(n_d n_e) M_w between documents d and e

What is orthogonal to Z has the covariance I everywhere, so that one sum of squares stands for it. Nothing is larger than
the number of random effects of a unit, and documents of one size count as one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ripplestats.fits.balanced.design import LEVELS, Reduction, Strata

#: Real, or complex where a derivative is taken by a complex step.
Array = NDArray[Any]


@dataclass(frozen=True)
class Profile:
    """The deviance at given parameters, the fixed effects and the residual variance profiled out."""

    deviance: Array
    gradient: Array
    fixed: Array
    unscaled: Array
    residual_ss: Array


def profile(strata: Strata, reduction: Reduction, parameters: Array, reml: bool) -> Profile:
    """Return the profiled deviance and its gradient.

    Args:
        strata: of one data set, or of as many as broadcast with the parameters' leading axes.
        reduction: the design.
        parameters: (…, m), the entries of the relative factors; complex values give exact second derivatives.
        reml: restricted likelihood instead of the full one.

    Source: Bates, Mächler, Bolker & Walker (2015), J. Stat. Softw. 67(1), eqs 34 and 41, with the determinants and
    quadratic forms of the strata in place of a sparse Cholesky factor.
    """
    n, layers = reduction.sizes, reduction.n_layers
    M = reduction.relative_covariances(parameters)
    of_documents, of_prompts, of_layers, of_cells = (M[..., level, :, :] for level in range(len(LEVELS)))
    base = np.eye(M.shape[-1]) + of_cells
    within = _inverse(base + layers * of_prompts)
    contrasts = _inverse(base + reduction.n_prompts * of_layers)
    cells = _inverse(base)
    stacked = n[:, None, None] * of_documents[..., None, :, :] + of_prompts[..., None, :, :]
    means = _inverse(base[..., None, :, :] + layers * stacked)
    share = reduction.counts * n
    H = np.einsum("s,...sij->...ij", share, means)
    F = _inverse(np.eye(M.shape[-1]) + of_layers @ H)
    X, outside = reduction.inside, reduction.outside
    # X′V⁻¹X and X′V⁻¹y; the sum over layers' common part enters by Woodbury's identity through F.
    information = layers * (X.T @ (H @ F) @ X + reduction.n_prompts * outside.T @ outside)
    weighted = np.einsum("s,...sij,...sj->...i", share, means, strata.means)
    right = layers * (
        _times(X.T, _times(_turned(F), weighted)) + reduction.n_prompts * _times(outside.T, strata.outside)
    )
    unscaled = _inverse(information)
    fixed = _times(unscaled, right)
    left = strata.means - _times(X, fixed)[..., None, :]
    beyond = strata.outside - _times(outside, fixed)
    pulled = np.einsum("s,...sij,...sj->...i", share, means, left)
    common = _times(F @ of_layers, pulled)
    quadratic = np.einsum("...si,...sij,...sj->...s", left, means, left)
    residual_ss = (
        _trace(within, strata.prompts)
        + _trace(contrasts, strata.layers)
        + _trace(cells, strata.cells)
        + layers * (_trace(means, strata.scatter) @ n + quadratic @ share - (pulled * common).sum(axis=-1))
        + layers * reduction.n_prompts * (beyond * beyond).sum(axis=-1)
        + strata.rest
    )
    rows = reduction.n_observations - (X.shape[1] if reml else 0)
    deviance = (
        -(reduction.n_prompts - reduction.n_documents) * _log_determinant(within)
        - (layers - 1) * _log_determinant(contrasts)
        - reduction.interaction_df * _log_determinant(cells)
        - _log_determinant(means) @ reduction.counts
        - _log_determinant(F)
        + rows * (1 + np.log(2 * np.pi * residual_ss / rows))
    )
    if reml:
        deviance = deviance - _log_determinant(unscaled)
    pull = rows / residual_ss
    spread = F @ X @ unscaled @ X.T @ _turned(F) * layers if reml else np.zeros_like(F)
    document_left = np.einsum("...sij,...sj->...si", means, left - common[..., None, :])
    gradient = _slopes(
        strata, reduction, (within, contrasts, cells, means), (H, F, of_layers), spread, document_left, pull
    )
    return Profile(deviance, reduction.chain(gradient, parameters), fixed, unscaled, residual_ss)


def _slopes(
    strata: Strata,
    reduction: Reduction,
    inverses: tuple[Array, Array, Array, Array],
    coupling: tuple[Array, Array, Array],
    spread: Array,
    document_left: Array,
    pull: Array,
) -> Array:
    """Return the derivative of the deviance in M_d, M_p, M_w and M_a, (…, 4, q, q).

    ``spread`` is L · F X (X′V⁻¹X)⁻¹ X′F′ (zero for ML), ``document_left`` V⁻¹ times the residual of documents of each
    size, ``pull`` the inverse of the residual variance: d log|V| = tr(V⁻¹ dV), and d(e′V⁻¹e) = −e′V⁻¹ dV V⁻¹e.
    """
    within, contrasts, cells, means = inverses
    H, F, of_layers = coupling
    n, counts, layers = reduction.sizes, reduction.counts, reduction.n_layers
    force = pull[..., None, None]
    outer = document_left[..., :, None] * document_left[..., None, :]
    lowered = (F @ of_layers + spread)[..., None, :, :]
    share = (counts * n)[:, None, None]
    by_size = (
        counts[:, None, None] * means
        - share * (means @ lowered @ means)
        - force[..., None, :, :] * layers * (n[:, None, None] * (means @ strata.scatter @ means) + share * outer)
    )
    for_documents = layers * np.einsum("s,...sij->...ij", n, by_size)
    of_within = (reduction.n_prompts - reduction.n_documents) * within - force * (within @ strata.prompts @ within)
    of_contrasts = (layers - 1) * contrasts - force * (contrasts @ strata.layers @ contrasts)
    of_cells = reduction.interaction_df * cells - force * (cells @ strata.cells @ cells)
    of_means = by_size.sum(axis=-3)
    together = np.einsum("s,...si->...i", counts * n, document_left)
    for_layers = (
        reduction.n_prompts * of_contrasts
        + H @ F
        - H @ spread @ H
        - force * layers * (together[..., :, None] * together[..., None, :])
    )
    for_cells = of_within + of_contrasts + of_cells + of_means
    slopes = (for_documents, layers * (of_within + of_means), for_layers, for_cells)
    return np.stack(np.broadcast_arrays(*slopes), axis=-3)


def _inverse(matrix: Array) -> Array:
    """Invert small matrices; those of one and two rows without LAPACK, whose calls cost more than the work."""
    if matrix.shape[-1] == 1:
        return 1 / matrix
    if matrix.shape[-1] == 2:
        a, b, c, d = (matrix[..., i, j] for i in range(2) for j in range(2))
        turned = np.stack([np.stack([d, -b], -1), np.stack([-c, a], -1)], -2)
        inverse: Array = turned / (a * d - b * c)[..., None, None]
        return inverse
    return np.linalg.inv(matrix)


def _log_determinant(matrix: Array) -> Array:
    found: Array = np.log(np.linalg.det(matrix))
    return found


def _times(matrix: Array, vector: Array) -> Array:
    found: Array = (matrix @ vector[..., None])[..., 0]
    return found


def _turned(matrix: Array) -> Array:
    # Never conjugated: complex numbers only carry derivatives here.
    return np.swapaxes(matrix, -1, -2)


def _trace(inverse: Array, scatter: Array) -> Array:
    found: Array = (inverse * scatter).sum(axis=(-2, -1))
    return found
