"""Degrees of freedom and a parametric bootstrap of balanced mixed models."""

from dataclasses import dataclass

import numpy as np

from ripplestats.fits.balanced.design import Strata
from ripplestats.fits.balanced.fit import BalancedFit, covariances_of, without_dust
from ripplestats.fits.balanced.likelihood import profile
from ripplestats.fits.balanced.optimum import derivatives, directional, minimise, moment_starts
from ripplestats.fits.curves import Floats


@dataclass(frozen=True)
class Replicates:
    """Refits to data simulated from a fit, one a row: those that converged.

    ``fixed`` and ``std_error`` (n, k), ``sigma`` (n,), ``covariances`` of each level (n, q, q).
    """

    fixed: Floats
    std_error: Floats
    sigma: Floats
    covariances: dict[str, Floats]
    n_failed: int


def satterthwaite(fit: BalancedFit, contrasts: Floats | None = None) -> Floats:
    """Return degrees of freedom of t tests of contrasts c′b (by default, of each fixed effect).

    2 (Var c′b)² / (g′ A g), with g the gradient of Var(c′b) in the variance parameters and A the inverse of half the
    deviance's Hessian. Directions in which the likelihood is flat are left out, and a variance of zero adds nothing,
    as in lmerTest. NaN where nothing is left.

    Source: Fai & Cornelius (1996), J. Stat. Comput. Simul. 54:363; Kuznetsova, Brockhoff & Christensen (2017),
    J. Stat. Softw. 82(13), eq. 4.
    """
    reduction, variance = fit.reduction, fit.sigma**2
    rows = np.eye(len(fit.fixed)) if contrasts is None else contrasts
    along, profiled = derivatives(fit.strata, reduction, fit.parameters[None], fit.reml)
    n = reduction.n_observations - (len(fit.fixed) if fit.reml else 0)
    slope = directional(along.residual_ss[0])
    m = len(slope)
    hessian = np.empty((m + 1, m + 1))
    # The deviance in the relative factors and sigma, not profiled.
    hessian[:m, :m] = profiled[0] + np.outer(slope, slope) / (n * variance**2)
    hessian[:m, m] = hessian[m, :m] = -2 * slope / fit.sigma**3
    hessian[m, m] = 4 * n / variance
    found = np.einsum("ci,ij,cj->c", rows, fit.fixed_covariance, rows)
    moved = variance * np.einsum("ci,aij,cj->ca", rows, directional(along.unscaled[0]), rows)
    gradient = np.concatenate([moved, 2 * found[:, None] / fit.sigma], axis=1)
    # Scaled to a unit diagonal, so that a flat direction is told from one in small units.
    scale = np.sqrt(np.diag(hessian).clip(np.finfo(np.float64).tiny))
    values, vectors = np.linalg.eigh(hessian / np.outer(scale, scale))
    kept = values > 1e-8 * values.max()
    spread = ((gradient / scale) @ vectors[:, kept]) ** 2 @ (2 / values[kept])
    with np.errstate(divide="ignore", invalid="ignore"):
        df: Floats = np.where(spread > 0, 2 * found**2 / spread, np.nan)
    return df


def parametric_bootstrap(fit: BalancedFit, n_boot: int, rng: np.random.Generator) -> Replicates:
    """Refit the model to data simulated from the fit.

    Only the sufficient statistics are drawn (Wishart scatter, normal means, a χ² rest), so that a replicate costs the
    same for any number of prompts.

    Args:
        fit: to simulate from.
        n_boot: replicates.
        rng: of the draws.
    """
    strata = simulate(fit, n_boot, rng)
    reduction = fit.reduction
    optimum = minimise(strata, reduction, moment_starts(strata, reduction)[:, 0], fit.reml)
    kept = np.flatnonzero(optimum.converged)
    parameters = without_dust(optimum.parameters[kept], reduction)
    at = profile(strata.of_replicates(kept), reduction, parameters[:, None], fit.reml)
    variance = at.residual_ss[:, 0] / (reduction.n_observations - (len(fit.fixed) if fit.reml else 0))
    unscaled = np.diagonal(at.unscaled[:, 0], axis1=1, axis2=2)
    return Replicates(
        fixed=strata.reference + at.fixed[:, 0],
        std_error=np.sqrt(variance[:, None] * unscaled),
        sigma=np.sqrt(variance),
        covariances=covariances_of(parameters, variance, reduction),
        n_failed=n_boot - len(kept),
    )


def simulate(fit: BalancedFit, n: int, rng: np.random.Generator) -> Strata:
    """Draw the sufficient statistics of n data sets from the fitted model; their leading axes are (n, 1)."""
    reduction, sigma, layers = fit.reduction, fit.sigma, fit.reduction.n_layers
    q, P = reduction.Q.shape[1], reduction.n_prompts
    of_documents, of_prompts, of_layers, of_cells = reduction.relative_covariances(fit.parameters)
    base = np.eye(q) + of_cells
    sizes, counts = reduction.sizes, reduction.counts
    roots = [np.linalg.cholesky(base + layers * (one * of_documents + of_prompts)) for one in sizes]
    values, vectors = np.linalg.eigh(of_layers)
    common = rng.standard_normal((n, q)) @ (vectors * np.sqrt(values.clip(0.0))).T / np.sqrt(layers)
    centre = reduction.inside @ (fit.fixed - fit.strata.reference)
    means = [
        centre + sigma * (common + rng.standard_normal((n, q)) @ root.T / np.sqrt(layers * size * count))
        for root, size, count in zip(roots, sizes, counts, strict=True)
    ]
    scatter = [
        sigma**2 * _wishart(root, int(count) - 1, n, rng) / (layers * size)
        for root, size, count in zip(roots, sizes, counts, strict=True)
    ]
    outside = reduction.outside @ (fit.fixed - fit.strata.reference)
    noise = sigma * rng.standard_normal((n, len(outside))) / np.sqrt(layers * P)
    drawn = {
        "prompts": _wishart(np.linalg.cholesky(base + layers * of_prompts), P - reduction.n_documents, n, rng),
        "layers": _wishart(np.linalg.cholesky(base + P * of_layers), layers - 1, n, rng),
        "cells": _wishart(np.linalg.cholesky(base), reduction.interaction_df, n, rng),
    }
    return Strata(
        **{name: sigma**2 * one[:, None] for name, one in drawn.items()},
        means=np.stack(means, axis=1)[:, None],
        scatter=np.stack(scatter, axis=1)[:, None],
        outside=(outside + noise)[:, None],
        rest=sigma**2 * (rng.chisquare(reduction.rest_df, n) if reduction.rest_df else np.zeros(n))[:, None],
        reference=fit.strata.reference,
    )


def _wishart(root: Floats, df: int, n: int, rng: np.random.Generator) -> Floats:
    """Draw n scatter matrices of df vectors with the covariance root · root′, by Bartlett's decomposition.

    With fewer vectors than rows they are singular, and the vectors themselves are drawn.
    """
    q = len(root)
    if df < q:
        half = rng.standard_normal((n, q, df))
    else:
        half = np.tril(rng.standard_normal((n, q, q)), -1)
        half[:, range(q), range(q)] = np.sqrt(rng.chisquare(df - np.arange(q), (n, q)))
    half = root @ half
    drawn: Floats = half @ half.transpose(0, 2, 1)
    return drawn
