"""The exact marginal likelihood of curves whose break is random, and its gradient.

Muggeo, Atkins, Gallop & Dimidjian (2014, Statistical Modelling 14:293), equation 2: the curve of prompt p is
y = (b₀+u₀) + (b₁+u₁)·x + (c+u₂)·(x−ψₚ)₊ + e with ψₚ ~ N(ψ, τ²), u ~ N(0, G), e ~ N(0, σ²); where breaks are log-normal,
min(x, ψₚ)/ψₚ takes the place of x. They linearise at ψₚ and fit a linear mixed model over and over. Here nothing is linearised: given ψₚ the curve is Gaussian, so only ψₚ is left to
integrate out, in one dimension, by Gauss–Legendre panels that end at the doses, where the integrand has its kinks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ripplestats.fits.curves import Floats
from ripplestats.fits.random_breaks.break_law import Deviates, Nodes, deviates
from ripplestats.fits.random_breaks.cross_products import Products, products
from ripplestats.fits.random_breaks.layout import BREAK, LOG_RESIDUAL, LOG_SPREAD, N_FIXED, Block, Layout

_LOG_ROOT_TWO_PI = 0.5 * np.log(2 * np.pi)
_NO_SLOPES = np.empty((0, 0, 0))


@dataclass(frozen=True)
class Evaluation:
    """The log-likelihood (P,) and score (P, size) of each prompt.

    ``break_mean`` and ``break_variance`` (P,) are of the posterior of each prompt's break.
    """

    log_likelihood: Floats
    scores: Floats
    break_mean: Floats
    break_variance: Floats


def evaluate(
    blocks: Sequence[Block],
    layout: Layout,
    parameters: Floats,
    nodes: Nodes,
    known: Sequence[Products] | None = None,
) -> Evaluation:
    """Return log-likelihood and scores of every prompt.

    The scores follow from Fisher's identity: the mean, over the posterior of the break, of the score of the curve and
    its break together. ``nodes`` may be those of nearby parameters: then the result is smooth in the parameters.
    ``known`` are the blocks' ``products`` at these nodes and this shape of errors, where they have been computed before.
    """
    if known is None:
        known = [products(block, layout, parameters, nodes) for block in blocks]
    breaks = _standardised(layout, parameters, nodes)
    parts = [_block(block, layout, parameters, nodes, breaks, one) for block, one in zip(blocks, known, strict=True)]
    if len(parts) == 1:
        return parts[0]
    back = np.argsort(np.concatenate([block.places for block in blocks]))

    def together(name: str) -> Floats:
        return np.concatenate([getattr(part, name) for part in parts])[back]

    return Evaluation(
        together("log_likelihood"), together("scores"), together("break_mean"), together("break_variance")
    )  # fmt: skip


def log_likelihood(blocks: Sequence[Block], layout: Layout, parameters: Floats, nodes: Nodes) -> float:
    """Return the log-likelihood of all prompts, for half the work of ``evaluate``."""
    breaks = _standardised(layout, parameters, nodes)
    total = 0.0
    for block in blocks:
        found = products(block, layout, parameters, nodes, slopes=False)
        curves = _curves(block, layout, parameters, found, breaks.value)
        total += float(_posterior(curves.density, breaks, nodes)[0].sum())
    return total


def information_of_mean(blocks: Sequence[Block], layout: Layout, parameters: Floats, nodes: Nodes) -> Floats:
    """Return the observed information (4 × 4) on intercept, slopes and break (Louis 1982, JRSS B 44:226, eq. 3.2)."""
    total = np.zeros((N_FIXED, N_FIXED))
    breaks = _standardised(layout, parameters, nodes)
    for block in blocks:
        found = products(block, layout, parameters, nodes, slopes=False)
        given = _given_break(block, layout, parameters, found, breaks.value)
        weights = _posterior(given.density, breaks, nodes)[1]
        total += _louis(weights, given, breaks, layout.regression(parameters))
    return total


@dataclass(frozen=True)
class _Curves:
    """The curves of a block if all break at each node (J), where they are Gaussian: densities, and what they follow from.

    ``density`` (J, P) is their log-density, ``beta`` (J, 3) their mean's line, ``left`` X'Ω(y − Xβ) (J, 3, P),
    ``conditional`` and ``predicted`` variance and mean of u given y (J, q, q; J, q, P), and ``reduced`` (J, P) is
    (y − Xβ)'V⁻¹(y − Xβ)·σ².
    """

    density: Floats
    beta: Floats
    left: Floats
    conditional: Floats
    predicted: Floats
    reduced: Floats


def _curves(block: Block, layout: Layout, parameters: Floats, found: Products, z: Floats) -> _Curves:
    """Return densities by Woodbury's identity, which needs neither X'X nor G to be regular.

    With the random columns Z of X: V⁻¹ = (Ω − Ω·Z·C·Z'Ω/σ²)/σ², C = L(I + L'Z'ΩZ·L/σ²)⁻¹L' the variance of u given y.
    """
    variance, lower = np.exp(2 * parameters[LOG_RESIDUAL]), layout.factor(parameters)
    beta = parameters[:BREAK] + z[:, None] * layout.regression(parameters)
    columns = layout.places
    gram, moments = found.gram[0], found.moments[0]
    left = moments - (gram @ beta[:, :, None])
    squares = found.squares[0] - (beta[:, None] @ (moments + left))[:, 0]
    inner = np.eye(len(lower)) + lower.T @ gram[:, columns][:, :, columns] @ lower / variance
    conditional = lower @ np.linalg.inv(inner) @ lower.T
    # E(u | y, ψₚ), not as G·Z'V⁻¹(y − Xβ), for that score is a small difference of large numbers.
    predicted = (conditional / variance) @ left[:, columns]
    reduced = squares - np.einsum("jkp,jkp->jp", predicted, left[:, columns])
    constant = -len(block.x) * (_LOG_ROOT_TWO_PI + parameters[LOG_RESIDUAL]) - 0.5 * np.linalg.slogdet(inner)[1]
    if found.errors_law is not None:
        constant = constant - 0.5 * found.errors_law.log_determinant
    density = constant[:, None] - (0.5 / variance) * reduced
    return _Curves(density, beta, left, conditional, predicted, reduced)


@dataclass(frozen=True)
class _GivenBreak:
    """What holds if all curves of a block break at each node (J), where they are Gaussian.

    ``density`` (J, P) is their log-density; ``mean_score`` X'V⁻¹(y − Xβ) (J, 3, P) and ``precision``
    X'V⁻¹X (J, 3, 3), with X as in ``products``; ``errors`` (J, P) are expected squared errors, and ``shape_scores``
    (K, J, P) the scores of the shape of their covariance.
    """

    density: Floats
    mean_score: Floats
    precision: Floats
    errors: Floats
    shape_scores: Floats


def _given_break(block: Block, layout: Layout, parameters: Floats, found: Products, z: Floats) -> _GivenBreak:
    """Return densities and scores, those of the errors' shape where the products have its slopes."""
    curves = _curves(block, layout, parameters, found, z)
    variance, columns = np.exp(2 * parameters[LOG_RESIDUAL]), layout.places
    gram = found.gram[0]
    project = np.tile(np.eye(3), (len(gram), 1, 1))
    project[:, :, columns] -= gram[:, :, columns] @ curves.conditional / variance
    project /= variance
    mean_score = project @ curves.left
    errors = curves.reduced - variance * np.einsum("jkp,jkp->jp", curves.predicted, mean_score[:, columns])
    errors += np.einsum("jab,jab->j", curves.conditional, gram[:, columns][:, :, columns])[:, None]
    shape_scores = _NO_SLOPES
    if found.errors_law is not None and len(found.gram) > 1:
        shape_scores = _shape_scores(found, curves, columns) / variance
        shape_scores -= 0.5 * found.errors_law.log_determinant_slopes[:, None, None]
    return _GivenBreak(curves.density, mean_score, project @ gram, errors, shape_scores)


def _shape_scores(found: Products, curves: _Curves, columns: slice | list[int]) -> Floats:
    """Return −½·E(e'Ω̇e | y, ψₚ) for each slope Ω̇ of the precision (K, J, P)."""
    gram, moments, squares = found.gram[1:], found.moments[1:], found.squares[1:]
    fitted = np.broadcast_to(curves.beta[:, :, None], curves.left.shape).copy()
    fitted[:, columns] += curves.predicted
    # Two products: the memory of one more array this size costs more than they do.
    expected = squares[:, None] - 2 * np.einsum("jap,kjap->kjp", fitted, moments)
    expected += np.einsum("jap,kjap->kjp", fitted, gram @ fitted)
    expected += np.einsum("jab,kjab->kj", curves.conditional, gram[:, :, columns][..., columns])[..., None]
    scores: Floats = -0.5 * expected
    return scores


def _posterior(density: Floats, breaks: Deviates, nodes: Nodes) -> tuple[Floats, Floats]:
    """Return each prompt's log-likelihood, and the weights of the nodes after its curve is seen (J × P)."""
    joint = density + (nodes.log_lengths + breaks.log_density)[:, None]
    top = joint.max(axis=0)
    weights = np.exp(joint - top)
    total = weights.sum(axis=0)
    weights /= total
    return top + np.log(total), weights


def _standardised(layout: Layout, parameters: Floats, nodes: Nodes) -> Deviates:
    return deviates(layout.law, nodes.breaks, float(parameters[BREAK]), layout.spread(parameters))


def _block(
    block: Block, layout: Layout, parameters: Floats, nodes: Nodes, breaks: Deviates, found: Products
) -> Evaluation:
    centre = float(parameters[BREAK])
    given = _given_break(block, layout, parameters, found, breaks.value)
    log_likelihood, weights = _posterior(given.density, breaks, nodes)
    away = nodes.breaks - centre
    first, second = away @ weights, away**2 @ weights
    return Evaluation(
        log_likelihood=log_likelihood,
        scores=_scores(given, layout, parameters, weights, breaks, len(block.x)),
        break_mean=centre + first,
        break_variance=second - first**2,
    )


def _scores(
    given: _GivenBreak, layout: Layout, parameters: Floats, weights: Floats, breaks: Deviates, n_doses: int
) -> Floats:
    """Return the posterior mean of the scores of all parameters."""
    columns, lower = layout.places, layout.factor(parameters)
    scores = np.zeros((weights.shape[1], layout.size))
    scores[:, :BREAK] = np.einsum("jp,jkp->pk", weights, given.mean_score)
    scores[:, BREAK] = breaks.score @ weights
    expected = np.einsum("jp,jp->p", weights, given.errors)
    scores[:, LOG_RESIDUAL] = expected / np.exp(2 * parameters[LOG_RESIDUAL]) - n_doses
    if layout.random_break:
        scores[:, LOG_SPREAD] = (breaks.value**2 - 1) @ weights
    random_score = given.mean_score[:, columns]
    if layout.entries:
        scores[:, layout.first_factor : layout.first_regression] = _factor_scores(
            random_score, given.precision[:, columns][:, :, columns], lower, weights
        )[tuple(zip(*layout.entries, strict=True))].T
    if layout.joint:
        weighted = breaks.value[:, None] * weights
        scores[:, layout.first_regression : layout.first_shape] = np.einsum("jp,jkp->pk", weighted, random_score)
        turned = np.einsum("k,jkp->jp", layout.regression(parameters), given.mean_score) * weights
        scores[:, BREAK] += breaks.slope @ turned
        scores[:, LOG_SPREAD] -= breaks.value @ turned
    if layout.serial:
        scores[:, layout.first_shape :] = np.einsum("jp,kjp->pk", weights, given.shape_scores)
    if layout.random_break and layout.spread(parameters) <= layout.no_spread:
        scores[:, LOG_SPREAD] = 0.0
    return scores


def _factor_scores(random_score: Floats, precision: Floats, lower: Floats, weights: Floats) -> Floats:
    """Return the posterior mean of the scores of all entries of the factor (q, q, P)."""
    outer = np.einsum("jip,jkp->ikp", random_score * weights[:, None], lower.T @ random_score)
    shrunk = (precision @ lower).reshape(len(weights), -1).T @ weights
    found: Floats = outer - shrunk.reshape(outer.shape)
    return found


def _louis(weights: Floats, given: _GivenBreak, breaks: Deviates, regression: Floats) -> Floats:
    """Return the mean information of curves and breaks less the variance of their score, both over the posterior."""
    turned = np.einsum("k,jkp->jp", regression, given.mean_score)
    score = np.concatenate(
        [given.mean_score, (breaks.score[:, None] + breaks.slope[:, None] * turned)[:, None]], axis=1
    )
    across = (given.precision @ regression) * breaks.slope[:, None]
    complete = np.zeros((N_FIXED, N_FIXED))
    complete[:BREAK, :BREAK] = np.einsum("jp,jab->ab", weights, given.precision)
    complete[BREAK, :BREAK] = complete[:BREAK, BREAK] = np.einsum("jp,ja->a", weights, across)
    own = breaks.information + breaks.slope * (across @ regression)
    complete[BREAK, BREAK] = own @ weights.sum(axis=1) - breaks.curvature * (weights * turned).sum()
    score = score - np.einsum("jp,jkp->kp", weights, score)
    lost: Floats = np.einsum("jap,jbp->ab", weights[:, None] * score, score, optimize=True)
    return complete - lost
