"""Exact mixed-effects models of balanced curves: cost grows with neither prompts nor documents."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ripplestats.errors import InputError
from ripplestats.fits.balanced.design import LEVELS, BalancedModel, Reduction, Strata, reduction_of, strata_of
from ripplestats.fits.balanced.likelihood import profile
from ripplestats.fits.balanced.optimum import Optimum, minimise, moment_starts
from ripplestats.fits.curves import Floats
from ripplestats.fits.products import CrossProducts, cross_products, with_layer_mean

#: A direction of a random effect that adds less to a stratum's variance, relative to the residual one, is zero.
_ZERO, _DUST = 1e-8, 1e-12
#: Optima whose deviances differ by less are equally good; covariances that differ by more (relatively) are others.
_SAME_DEVIANCE, _OTHER_COVARIANCE = 1e-6, 1e-2
#: An optimum whose deviance is higher by less is no other one: rounding costs as much where variances are very unlike.
_OTHER_DEVIANCE = 1e-3


@dataclass(frozen=True)
class BalancedFit:
    """A fitted balanced model.

    ``fixed`` (k,) with their covariance ``fixed_covariance`` (k, k); ``sigma`` of the residual; ``covariances``, of each
    level's random effects (q, q); ``log_likelihood`` restricted or full, as lme4's ``logLik``; ``n_parameters`` with
    the variances and σ. ``parameters``, ``reduction`` and ``strata`` are what inference works on.
    """

    fixed: Floats
    fixed_covariance: Floats
    sigma: float
    covariances: dict[str, Floats]
    log_likelihood: float
    n_parameters: int
    reml: bool
    notes: tuple[str, ...]
    parameters: Floats
    reduction: Reduction
    strata: Strata


@dataclass(frozen=True)
class Predictions:
    """Conditional means of the random effects (BLUPs), units × q; ``interaction`` is prompts × layers × q.

    Prompts and layers come in the order of the curves, documents in that of their sorted labels.
    """

    document: Floats
    prompt: Floats
    layer: Floats
    interaction: Floats


def fit_curves(
    values: Floats, documents: NDArray[np.generic], model: BalancedModel, *, reml: bool = True
) -> BalancedFit:
    """Fit the model to prompts' curves.

    Args:
        values: prompts × layers × doses, without the mean over layers.
        documents: a label a prompt.
        model: columns of fixed and random effects, a row a dose.
        reml: restricted maximum likelihood; False for maximum likelihood.

    Raises:
        InputError: as ``fit_balanced``.
    """
    taken = np.linalg.lstsq(model.fixed, values.mean(axis=(0, 1)), rcond=None)[0]
    centred = values - model.fixed @ taken
    products = cross_products(with_layer_mean(centred) if values.shape[1] > 1 else centred, documents)
    return fit_balanced(products, model, reml=reml, taken=taken)


def fit_balanced(
    products: CrossProducts, model: BalancedModel, *, reml: bool = True, taken: Floats | None = None
) -> BalancedFit:
    """Fit the model by (restricted) maximum likelihood, exactly.

    Args:
        products: of the curves; where the model has random effects of layers, with the mean over layers as group 0.
        model: columns of fixed and random effects, a row a dose.
        reml: restricted maximum likelihood; False for maximum likelihood.
        taken: (k,) fixed effects whose curve was taken from the values beforehand; they are added again.

    Raises:
        InputError: the design does not identify the model, or no residual is left.

    Source: Bates et al. (2015), J. Stat. Softw. 67(1), eqs 30–42; strata instead of sparse matrices, Newton's method
    from several starts instead of BOBYQA.
    """
    reduction = reduction_of(products, model)
    strata = strata_of(products, reduction)
    _check_residual(products, reduction, strata, model.fixed @ taken if taken is not None else np.zeros(1))
    if taken is not None:
        strata = replace(strata, reference=strata.reference + taken)
    first = moment_starts(strata, reduction)
    starts = first * np.array([[1.0], [0.3], [3.0], [0.0]])
    starts[-1] = np.concatenate([(factor.rows == factor.columns).astype(float) for factor in reduction.factors])
    optimum = minimise(strata, reduction, starts, reml)
    best = int(np.where(np.isfinite(optimum.deviance), optimum.deviance, np.inf).argmin())
    parameters = without_dust(optimum.parameters[best], reduction)
    notes = (*_boundaries(parameters, reduction), *_troubles(optimum, best, reduction))
    return result_at(parameters, strata, reduction, reml, notes)


def result_at(
    parameters: Floats, strata: Strata, reduction: Reduction, reml: bool, notes: tuple[str, ...] = ()
) -> BalancedFit:
    """Return the fit that given parameters of the relative factors make."""
    at = profile(strata, reduction, parameters, reml)
    k = reduction.inside.shape[1]
    variance = float(at.residual_ss) / (reduction.n_observations - (k if reml else 0))
    return BalancedFit(
        fixed=strata.reference + at.fixed,
        fixed_covariance=variance * at.unscaled,
        sigma=float(np.sqrt(variance)),
        covariances=covariances_of(parameters, np.asarray(variance), reduction),
        log_likelihood=-float(at.deviance) / 2,
        n_parameters=k + reduction.n_parameters + 1,
        reml=reml,
        notes=notes,
        parameters=parameters,
        reduction=reduction,
        strata=strata,
    )


def covariances_of(parameters: Floats, variance: Floats, reduction: Reduction) -> dict[str, Floats]:
    """Return the covariance of each level's random effects, (…, q, q), for parameters (…, m) and variances (…)."""
    found = {}
    for factor in reduction.factors:
        half = factor.back @ factor.matrix(parameters)
        found[LEVELS[factor.level]] = variance[..., None, None] * (half @ np.swapaxes(half, -1, -2))
    return found


def predict_effects(fit: BalancedFit, values: Floats, documents: NDArray[np.generic]) -> Predictions:
    """Return the conditional means of the random effects given the curves.

    Args:
        fit: of these curves.
        values: prompts × layers × doses, without the mean over layers.
        documents: a label a prompt.

    Raises:
        InputError: the curves are not those of the fit.
    """
    reduction = fit.reduction
    labels, codes, sizes = np.unique(documents, return_inverse=True, return_counts=True)
    if (len(values), len(labels), values.shape[1]) != (reduction.n_prompts, reduction.n_documents, reduction.n_layers):
        raise InputError("the curves have other numbers of prompts, documents or layers than the fit")
    P, layers, n = reduction.n_prompts, reduction.n_layers, sizes[:, None, None].astype(np.float64)
    left = values @ reduction.Q - reduction.inside @ fit.fixed
    M = dict(zip(LEVELS, reduction.relative_covariances(fit.parameters), strict=True))
    base = np.eye(len(reduction.Q.T)) + M["interaction"]
    prompts, of_layers, grand = left.mean(axis=1), left.mean(axis=0), left.mean(axis=(0, 1))
    means = _sums(prompts, codes, len(labels)) / sizes[:, None]
    inverse = np.linalg.inv(base + layers * (n * M["document"] + M["prompt"]))
    H, pulled = (n * inverse).sum(axis=0), np.einsum("d,dij,dj->i", sizes, inverse, means)
    common = np.linalg.solve(np.eye(len(base)) + M["layer"] @ H, M["layer"] @ pulled)
    # V⁻¹(y − Xb), the parts of the strata together: prompts × layers × q.
    weighed = (left - prompts[:, None] - of_layers + grand) @ np.linalg.inv(base)
    weighed += (of_layers - grand) @ np.linalg.inv(base + P * M["layer"])
    weighed += ((prompts - means[codes]) @ np.linalg.inv(base + layers * M["prompt"]))[:, None]
    weighed += np.einsum("dij,dj->di", inverse, means - common)[codes][:, None]
    found = {
        "document": _sums(weighed.sum(axis=1), codes, len(labels)) @ M["document"],
        "prompt": weighed.sum(axis=1) @ M["prompt"],
        "layer": weighed.sum(axis=0) @ M["layer"],
        "interaction": weighed @ M["interaction"],
    }
    empty = {level: np.empty((*found[level].shape[:-1], 0)) for level in LEVELS}
    own = {LEVELS[f.level]: found[LEVELS[f.level]] @ (f.back @ np.linalg.pinv(f.basis)).T for f in reduction.factors}
    return Predictions(**(empty | own))


def _sums(values: Floats, codes: NDArray[np.intp], n: int) -> Floats:
    return np.stack([np.bincount(codes, column, n) for column in values.T], axis=1)


def _check_residual(products: CrossProducts, reduction: Reduction, strata: Strata, taken: Floats) -> None:
    # What rounding leaves: of the sums of squares here, and of the values before a curve was taken from them.
    squares = float(products.within[0].trace() + products.sizes @ np.trace(products.between[:, 0], axis1=1, axis2=2))
    rounding = 10 * np.finfo(np.float64).eps * squares * products.n_layers
    before = reduction.n_observations * float(np.mean(taken**2)) * 1e-26
    if strata.rest + strata.cells.trace() <= rounding + before:
        raise InputError("nothing is left over as residual: the effect is constant or follows the model exactly")


def without_dust(parameters: Floats, reduction: Reduction) -> Floats:
    """Return parameters (…, m) with zero for the entries that make no difference to any variance."""
    cleaned = parameters.copy()
    for factor in reduction.factors:
        own = cleaned[..., factor.place]
        own[own**2 * _weight(factor.level, reduction) < _DUST] = 0.0
    return cleaned


def _weight(level: int, reduction: Reduction) -> float:
    """Return how many times a level's covariance enters the variance of a stratum."""
    largest = reduction.n_layers * float(reduction.sizes.max())
    return (largest, float(reduction.n_layers), float(reduction.n_prompts), 1.0)[level]


def _boundaries(parameters: Floats, reduction: Reduction) -> tuple[str, ...]:
    notes = []
    for factor in reduction.factors:
        name, weight = LEVELS[factor.level], _weight(factor.level, reduction)
        half = factor.basis @ factor.matrix(parameters)
        smallest = np.linalg.svd(half, compute_uv=False)[-1] ** 2
        if smallest * weight >= _ZERO:
            continue
        own = factor.back @ factor.matrix(parameters)
        variances = (own**2).sum(axis=1)
        zero = variances.max() * weight < _ZERO or (variances < _ZERO * variances.max()).any()
        which = "a variance is zero" if zero else "it is singular (a correlation of ±1)"
        notes.append(f"The covariance of the {name} lies on the boundary: {which}.")
    return tuple(notes)


def _troubles(optimum: Optimum, best: int, reduction: Reduction) -> tuple[str, ...]:
    notes = []
    if not optimum.converged[best]:
        notes.append("The fit did not converge: its figures are not to be trusted.")
    M = reduction.relative_covariances(optimum.parameters)
    behind = optimum.deviance - optimum.deviance[best]
    scale = np.abs(M[best]).max(axis=(-2, -1)).clip(1e-6)
    apart = (np.abs(M - M[best]).max(axis=(-2, -1)) / scale).max(axis=-1) > _OTHER_COVARIANCE
    if (optimum.converged & apart & (behind < _SAME_DEVIANCE)).any():
        notes.append("The optimum is not unique: other variances have the same likelihood.")
    others = optimum.converged & (behind >= _OTHER_DEVIANCE)
    if others.any():
        notes.append(
            f"Other starts ended at a local optimum, its log-likelihood lower by {behind[others].min() / 2:.2g} or more."
        )
    return tuple(notes)
