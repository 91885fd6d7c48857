"""Restricted maximum likelihood of curves with a random break, by Laplace's integral over the mean's parameters."""

from dataclasses import replace

import numpy as np

from ripplestats.fits.curves import Floats
from ripplestats.fits.random_breaks.break_law import Nodes
from ripplestats.fits.random_breaks.climbing import unsigned
from ripplestats.fits.random_breaks.layout import BREAK, LOG_RESIDUAL, N_FIXED, Layout
from ripplestats.fits.random_breaks.likelihood import evaluate, information_of_mean
from ripplestats.fits.random_breaks.optimum import (
    DECREMENT,
    FIRST_ORDER,
    Optimum,
    ascent,
    information_by_prompt,
    observed_information,
)
from ripplestats.fits.random_breaks.problem import Problem

_ROUNDS = 30
#: Rounds with one Hessian.
_RENEWED = 6
#: How much farther from the stationary point than maximum likelihood it may stop: 0.005 standard errors in all.
_TOLERANCE = 100


def restricted(problem: Problem, found: Optimum) -> Optimum:
    """Return the REML estimates, from those of ML.

    The parameters of the mean, η = (b₀, b₁, c, ψ), are integrated out under a flat prior: by Laplace the restricted
    log-likelihood of the spreads θ is ℓ(η̂_θ, θ) − ½·log|I_η(η̂_θ, θ)| + 2·log 2π, with the observed information of
    Louis (1982). For a linear mixed model this is REML itself. Muggeo et al. (2014) apply REML to the linearised model,
    in which ψ is a fixed effect like the others: the same correction for four parameters, of another likelihood.

    Its maximum is where the score of ℓ plus the slope of the correction along η̂_θ is zero; Newton steps lead there. Where
    all breaks are equal, ψ stays where ML puts it, for the likelihood has kinks at the doses; so does a spread of zero.
    """
    parameters, hessian = found.parameters, found.hessian
    held = not problem.layout.random_break
    zero = parameters == 0.0
    for turn in range(1, _ROUNDS + 1):
        nodes = problem.nodes(parameters, found.order)
        here = evaluate(problem.blocks, problem.layout, parameters, nodes)
        coarse = problem.nodes(parameters, min(found.order, FIRST_ORDER))
        slope = here.scores.sum(axis=0) + _correction_slope(problem, parameters, hessian, coarse)
        slope[zero] = 0.0
        if not np.isfinite(slope).all():
            # The information on the mean is singular nearby.
            decrement = np.inf
            break
        step, decrement = ascent(hessian, slope, held=held)
        if decrement < _TOLERANCE * DECREMENT:
            break
        moved = parameters + np.where(zero, 0.0, step)
        if not problem.allows(moved):
            decrement = np.inf
            break
        parameters = moved
        if turn % _RENEWED == 0:
            hessian = observed_information(problem, parameters, found.order)
    likelihood = float(here.log_likelihood.sum())
    return replace(
        found,
        parameters=unsigned(problem.layout, parameters),
        log_likelihood=likelihood,
        information=information_by_prompt(problem, parameters, found.order),
        decrement=decrement,
        restricted=likelihood + _correction(problem, parameters, nodes) + N_FIXED / 2 * np.log(2 * np.pi),
    )


def _correction_slope(problem: Problem, parameters: Floats, hessian: Floats, nodes: Nodes) -> Floats:
    """Return the slope of −½·log|I_η| in each spread, η following its conditional maximum."""
    moving = slice(N_FIXED) if problem.layout.random_break else slice(BREAK)
    follow = np.zeros((N_FIXED, len(parameters)))
    follow[moving] = -np.linalg.pinv(hessian[moving, moving]) @ hessian[moving]
    slope = np.zeros_like(parameters)
    for place in range(LOG_RESIDUAL, len(slope)):
        length = 1e-3 if place < problem.layout.first_factor else 1e-3 * max(abs(parameters[place]), 1e-2)
        step = np.zeros_like(slope)
        step[:N_FIXED], step[place] = follow[:, place] * length, length
        ends = [_correction(problem, parameters + sign * step, nodes) for sign in (1, -1)]
        slope[place] = (ends[0] - ends[1]) / (2 * length)
    return slope


def _correction(problem: Problem, parameters: Floats, nodes: Nodes) -> float:
    layout = problem.layout
    if layout.random_break:
        information = information_of_mean(problem.blocks, layout, parameters, nodes)
    else:
        information = information_at_one_break(problem, parameters)
    return -0.5 * float(np.linalg.slogdet(information)[1])


def information_at_one_break(problem: Problem, parameters: Floats) -> Floats:
    """Return the expected information on η where all curves break at ψ: that of the model linearised at ψ.

    The observed one is infinite where ψ lies at a dose, for there the likelihood has a kink.
    """
    layout: Layout = problem.layout
    lower = layout.factor(parameters)
    total = np.zeros((N_FIXED, N_FIXED))
    for block in problem.blocks:
        line = layout.design(block.x, float(parameters[BREAK]))
        design = np.column_stack([line, layout.slope_in_break(block.x, parameters)])
        loaded = design[:, list(layout.columns)] @ lower
        covariance = loaded @ loaded.T + np.exp(2 * parameters[LOG_RESIDUAL]) * block.error_shape(layout, parameters)
        total += len(block.values) * design.T @ np.linalg.solve(covariance, design)
    return total
