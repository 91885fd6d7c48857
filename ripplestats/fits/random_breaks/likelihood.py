"""The exact marginal likelihood of curves whose break is random, and its gradient.

Muggeo, Atkins, Gallop & Dimidjian (2014, Statistical Modelling 14:293), equation 2: the curve of prompt p is
y = (b₀+u₀) + (b₁+u₁)·x + (c+u₂)·(x−ψₚ)₊ + e with ψₚ ~ N(ψ, τ²), u ~ N(0, G), e ~ N(0, σ²). They linearise at ψₚ and
fit a linear mixed model over and over. Here nothing is linearised: given ψₚ the curve is Gaussian, so only ψₚ is left to
integrate out, in one dimension, by Gauss–Legendre panels that end at the doses, where the integrand has its kinks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ripplestats.fits.curves import Floats

#: The integral runs over ψ ± REACH·τ; what lies outside weighs 10⁻¹⁵, so that no curve pulls its break to the end.
REACH = 8.0
#: Places of intercept, slope below, change of slope, break, log σ and (if the break is random) log τ in the vector.
INTERCEPT, SLOPE, CHANGE, BREAK, LOG_RESIDUAL, LOG_SPREAD = range(6)
#: The parameters of the mean; the others are of spread.
N_FIXED = 4
_LOG_ROOT_TWO_PI = 0.5 * np.log(2 * np.pi)


@dataclass(frozen=True)
class Block:
    """Prompts that share their doses: ``x`` (R,), ``values`` (P, R), and their row ``places`` (P,) among all."""

    x: Floats
    values: Floats
    places: NDArray[np.intp]

    @cached_property
    def sums(self) -> tuple[Floats, Floats, Floats]:
        """Return Σy, Σxy and Σy² of each prompt."""
        return self.values.sum(axis=1), self.values @ self.x, (self.values**2).sum(axis=1)


@dataclass(frozen=True)
class Layout:
    """Which effects are random, and so what the parameters are.

    The vector holds intercept, slope below, change of slope, break, log σ, then log τ if the break is random, then the
    free entries of the lower factor of G (its diagonal alone, or all): a factor's sign does not matter, so that an SD
    of zero is an inner point.

    ``columns`` are those of [1, x, (x−ψ)₊] with a random effect; ``no_spread`` is the τ that stands for zero.
    """

    columns: tuple[int, ...]
    random_break: bool
    unstructured: bool
    no_spread: float

    @cached_property
    def entries(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of the free entries of the factor."""
        q = len(self.columns)
        return tuple((i, j) for i in range(q) for j in range(i + 1) if self.unstructured or i == j)

    @cached_property
    def places(self) -> slice | list[int]:
        """Return ``columns`` as an index: a slice, which copies nothing, if they follow each other."""
        first, q = self.columns[:1], len(self.columns)
        joined = first and self.columns == tuple(range(first[0], first[0] + q))
        return slice(first[0], first[0] + q) if joined else list(self.columns)

    @property
    def first_factor(self) -> int:
        """Where the factor's entries begin."""
        return LOG_SPREAD + self.random_break

    @property
    def size(self) -> int:
        """The number of parameters."""
        return self.first_factor + len(self.entries)

    def factor(self, parameters: Floats) -> Floats:
        """Return the lower factor of G (q × q)."""
        lower = np.zeros((len(self.columns),) * 2)
        for value, place in zip(parameters[self.first_factor :], self.entries, strict=True):
            lower[place] = value
        return lower

    def idle(self, parameters: Floats) -> list[int]:
        """Return the random effects (places in ``columns``) whose factor is zero on the diagonal."""
        lower = self.factor(parameters)
        return [i for i in range(len(self.columns)) if abs(lower[i, i]) <= 1e-6 * np.abs(lower[i]).max(initial=1e-6)]

    def spread(self, parameters: Floats) -> float:
        """Return τ, not below what stands for zero."""
        if not self.random_break:
            return self.no_spread
        return max(float(np.exp(min(parameters[LOG_SPREAD], 50.0))), self.no_spread)


@dataclass(frozen=True)
class Nodes:
    """Where the integrand is evaluated: breaks (J,) and the logarithm of the length that each stands for."""

    breaks: Floats
    log_lengths: Floats


@dataclass(frozen=True)
class Evaluation:
    """The log-likelihood (P,) and score (P, size) of each prompt, and what its information is made of.

    ``break_mean`` and ``break_variance`` (P,) are of the posterior of each prompt's break; ``louis`` (4 × 4) is the
    observed information on intercept, slopes and break (Louis 1982, JRSS B 44:226, equation 3.2).
    """

    log_likelihood: Floats
    scores: Floats
    break_mean: Floats
    break_variance: Floats
    louis: Floats


def integration_nodes(x: Floats, centre: float, spread: float, order: int) -> Nodes:
    """Return Gauss–Legendre nodes over centre ± REACH·spread in panels between doses, none longer than ``spread``."""
    low, high = centre - REACH * spread, centre + REACH * spread
    edges = np.concatenate([[low], x[(x > low) & (x < high)], [high]])
    widths = np.diff(edges)
    pieces = np.maximum(np.ceil(widths / spread - 1e-9), 1).astype(np.intp)
    within = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    length = np.repeat(widths / pieces, pieces)
    start = np.repeat(edges[:-1], pieces) + within * length
    points, weights = _legendre(order)
    return Nodes((start[:, None] + length[:, None] * points).ravel(), np.log(length[:, None] * weights).ravel())


_RULES: dict[int, tuple[Floats, Floats]] = {}


def _legendre(order: int) -> tuple[Floats, Floats]:
    """Return the Gauss–Legendre rule on 0 … 1."""
    if order not in _RULES:
        points, weights = np.polynomial.legendre.leggauss(order)
        _RULES[order] = ((points + 1) / 2, weights / 2)
    return _RULES[order]


def evaluate(
    blocks: Sequence[Block], layout: Layout, parameters: Floats, nodes: Nodes, *, information: bool = False
) -> Evaluation:
    """Return log-likelihood and scores of every prompt.

    The scores follow from Fisher's identity: the mean, over the posterior of the break, of the score of the curve and
    its break together. ``nodes`` may be those of nearby parameters: then the result is smooth in the parameters.
    """
    parts = [_block(block, layout, parameters, nodes, information=information) for block in blocks]
    if len(parts) == 1:
        return parts[0]
    back = np.argsort(np.concatenate([block.places for block in blocks]))

    def together(name: str) -> Floats:
        return np.concatenate([getattr(part, name) for part in parts])[back]

    return Evaluation(
        together("log_likelihood"), together("scores"), together("break_mean"), together("break_variance"),
        louis=np.sum([part.louis for part in parts], axis=0),
    )  # fmt: skip


def _cross_products(block: Block, hinge: Floats) -> tuple[Floats, Floats]:
    """Return X'X (J × 3 × 3) and X'y (J × 3 × P) with X = [1, x, hinge] at every node."""
    x, (total, with_x, _) = block.x, block.sums
    gram = np.empty((len(hinge), 3, 3))
    gram[:, 0, 0], gram[:, 1, 1] = len(x), x @ x
    gram[:, 0, 1] = gram[:, 1, 0] = x.sum()
    gram[:, 0, 2] = gram[:, 2, 0] = hinge.sum(axis=1)
    gram[:, 1, 2] = gram[:, 2, 1] = hinge @ x
    gram[:, 2, 2] = np.einsum("jr,jr->j", hinge, hinge)
    moments = np.empty((len(hinge), 3, len(block.values)))
    moments[:, 0], moments[:, 1] = total, with_x
    moments[:, 2] = hinge @ block.values.T
    return gram, moments


@dataclass(frozen=True)
class _GivenBreak:
    """What holds if all curves of a block break at each node (J), where they are Gaussian.

    ``density`` (J, P) is their log-density; ``mean_score`` X'V⁻¹(y − Xβ) (J, 3, P) and ``precision``
    X'V⁻¹X (J, 3, 3), with X = [1, x, hinge]; ``errors`` (J, P) are expected squared errors.
    """

    density: Floats
    mean_score: Floats
    precision: Floats
    errors: Floats


def _given_break(block: Block, layout: Layout, parameters: Floats, breaks: Floats) -> _GivenBreak:
    """Return densities and scores by Woodbury's identity, which needs neither X'X nor G to be regular.

    With the random columns Z of X: V⁻¹ = (I − Z·C·Z'/σ²)/σ², C = L(I + L'Z'Z·L/σ²)⁻¹L' the variance of u given y.
    """
    beta, variance, lower = parameters[:BREAK], np.exp(2 * parameters[LOG_RESIDUAL]), layout.factor(parameters)
    columns = layout.places
    gram, moments = _cross_products(block, np.maximum(block.x - breaks[:, None], 0))
    random_gram = gram[:, columns][:, :, columns]
    left = moments - (gram @ beta)[:, :, None]
    squares = block.sums[2] - beta @ (moments + left)
    inner = np.eye(len(lower)) + lower.T @ random_gram @ lower / variance
    conditional = lower @ np.linalg.inv(inner) @ lower.T
    project = np.tile(np.eye(3), (len(breaks), 1, 1))
    project[:, :, columns] -= gram[:, :, columns] @ conditional / variance
    project /= variance
    mean_score = project @ left
    # E(u | y, ψₚ), not as G·Z'V⁻¹(y − Xβ), for that score is a small difference of large numbers.
    predicted = (conditional / variance) @ left[:, columns]
    reduced = squares - np.einsum("jkp,jkp->jp", predicted, left[:, columns])
    errors = reduced - variance * np.einsum("jkp,jkp->jp", predicted, mean_score[:, columns])
    errors += np.einsum("jab,jab->j", conditional, random_gram)[:, None]
    constant = -len(block.x) * (_LOG_ROOT_TWO_PI + parameters[LOG_RESIDUAL]) - 0.5 * np.linalg.slogdet(inner)[1]
    return _GivenBreak(constant[:, None] - (0.5 / variance) * reduced, mean_score, project @ gram, errors)


def _block(block: Block, layout: Layout, parameters: Floats, nodes: Nodes, *, information: bool) -> Evaluation:
    spread = layout.spread(parameters)
    deviates = (nodes.breaks - parameters[BREAK]) / spread
    log_weights = nodes.log_lengths - 0.5 * deviates**2 - np.log(spread) - _LOG_ROOT_TWO_PI
    given = _given_break(block, layout, parameters, nodes.breaks)
    joint = given.density + log_weights[:, None]
    top = joint.max(axis=0)
    weights = np.exp(joint - top)
    total = weights.sum(axis=0)
    weights /= total
    first, second = deviates @ weights, deviates**2 @ weights
    louis = _louis(weights, given, deviates / spread, spread) if information else np.empty((0, 0))
    scores = _scores(given, layout, parameters, weights, len(block.x))
    scores[:, BREAK] = first / spread
    if layout.random_break:
        scores[:, LOG_SPREAD] = (second - 1) * (spread > layout.no_spread)
    return Evaluation(
        log_likelihood=top + np.log(total),
        scores=scores,
        break_mean=parameters[BREAK] + spread * first,
        break_variance=spread**2 * (second - first**2),
        louis=louis,
    )


def _scores(given: _GivenBreak, layout: Layout, parameters: Floats, weights: Floats, n_doses: int) -> Floats:
    """Return the posterior mean of the scores of all parameters but those of the break's distribution."""
    columns, lower = layout.places, layout.factor(parameters)
    scores = np.zeros((weights.shape[1], layout.size))
    scores[:, :BREAK] = np.einsum("jp,jkp->pk", weights, given.mean_score)
    expected = np.einsum("jp,jp->p", weights, given.errors)
    scores[:, LOG_RESIDUAL] = expected / np.exp(2 * parameters[LOG_RESIDUAL]) - n_doses
    random_score = given.mean_score[:, columns]
    loaded, shrunk = lower.T @ random_score, given.precision[:, columns][:, :, columns] @ lower
    for place, (i, j) in enumerate(layout.entries, layout.first_factor):
        products = np.einsum("jp,jp,jp->p", weights, random_score[:, i], loaded[:, j])
        scores[:, place] = products - shrunk[:, i, j] @ weights
    return scores


def _louis(weights: Floats, given: _GivenBreak, break_score: Floats, spread: float) -> Floats:
    """Return the mean information of curves and breaks less the variance of their score, both over the posterior."""
    complete = np.zeros((N_FIXED, N_FIXED))
    complete[:BREAK, :BREAK] = np.einsum("jp,jab->ab", weights, given.precision)
    complete[BREAK, BREAK] = weights.shape[1] / spread**2
    tall = np.broadcast_to(break_score[:, None, None], (len(weights), 1, weights.shape[1]))
    score = np.concatenate([given.mean_score, tall], axis=1)
    score = score - np.einsum("jp,jkp->kp", weights, score)
    lost: Floats = np.einsum("jap,jbp->ab", weights[:, None] * score, score, optimize=True)
    return complete - lost
