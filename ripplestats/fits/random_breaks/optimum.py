"""The largest likelihood of curves with a random break: Newton steps from where climbs have led, with enough nodes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ripplestats.fits.curves import Floats
from ripplestats.fits.random_breaks.climbing import (
    LAST_ORDER,
    STAGES,
    Stage,
    climb,
    fine_enough,
    near,
    unsigned,
)
from ripplestats.fits.random_breaks.cross_products import products
from ripplestats.fits.random_breaks.layout import BREAK
from ripplestats.fits.random_breaks.likelihood import evaluate
from ripplestats.fits.random_breaks.problem import Problem

#: Nodes a panel at the optimum; doubled until the likelihood stands still.
FIRST_ORDER = 6
#: Change of the log-likelihood, by more nodes, that does not matter.
QUADRATURE_ERROR = 5e-4
#: Optima this near in log-likelihood cannot be told apart by the data.
NEAR = 2.0
#: Half the squared distance to the optimum in standard errors at which a search has converged.
DECREMENT = 1e-7
_NEWTON_STEPS = 20
#: What is left (as ``DECREMENT``) after so many steps, where they lead nowhere.
_ENDLESS = 1e-2
#: A Newton step longer than this (as ``DECREMENT``) asks for a new Hessian at its end.
_RENEWED = 1e-3
#: What lacks more log-likelihood than this after the stages ends in no better optimum.
_HOPELESS = 10.0


@dataclass(frozen=True)
class Optimum:
    """Parameters at a maximum, its log-likelihood (restricted, if so), order of quadrature, and what is left.

    ``information`` (P, size, size) is each prompt's Hessian of the negative log-likelihood; ``decrement`` half the
    squared distance to the stationary point in standard errors; ``quadrature_error`` the change of the log-likelihood
    with twice the nodes.
    """

    parameters: Floats
    log_likelihood: float
    information: Floats
    decrement: float
    order: int
    quadrature_error: float
    restricted: float = np.nan

    @cached_property
    def hessian(self) -> Floats:
        """The Hessian of the negative log-likelihood."""
        found: Floats = self.information.sum(axis=0)
        return found


def search(problem: Problem, starts: Sequence[Floats], stages: Sequence[Stage] = STAGES) -> list[Optimum]:
    """Climb from every start; returns the optima that differ, best first.

    The order of quadrature is raised at the best one until its log-likelihood stands still.
    """
    climbed = climb(problem, starts, stages)
    found: list[Optimum] = []
    for parameters in climbed:
        hopeless = found and problem.log_likelihood(parameters, found[0].order) < found[0].log_likelihood - _HOPELESS
        if hopeless or any(_same(problem, parameters, one) for one in found):
            continue
        found.append(refine(problem, parameters, found[0].order if found else FIRST_ORDER))
    return sorted(found, key=lambda one: -one.log_likelihood)


def _same(problem: Problem, parameters: Floats, one: Optimum) -> bool:
    """Say whether a vector is an optimum."""
    return near(problem.layout, parameters, one.parameters, one.hessian)


def refine(problem: Problem, parameters: Floats, order: int) -> Optimum:
    """Take Newton steps to the maximum nearby, with as many nodes a panel as it needs, at least ``order``.

    Where the steps do not end with twice the first nodes either, as where breaks become equal at a dose, more would not end
    them.
    """
    information: Floats | None = None
    order, _ = fine_enough(problem, parameters, order)
    while True:
        found = _newton(problem, parameters, order, information)
        information = found.information
        if not problem.layout.random_break:
            # Equal breaks: the likelihood has a kink at each dose, and its maximum may be one.
            place = int(np.searchsorted(problem.x, found.parameters[BREAK]))
            for dose in problem.x[max(place - 1, 0) : place + 1]:
                at_dose = found.parameters.copy()
                at_dose[BREAK] = dose
                held = _newton(problem, at_dose, order, held=True)
                found = max(found, held, key=lambda one: one.log_likelihood)
        error = abs(problem.log_likelihood(found.parameters, 2 * order) - found.log_likelihood)
        found = replace(found, quadrature_error=error)
        endless = found.decrement > _ENDLESS and order > FIRST_ORDER
        if error <= QUADRATURE_ERROR or 2 * order > LAST_ORDER or endless:
            return found
        parameters, order = found.parameters, 2 * order


def without_idle_spreads(problem: Problem, found: Optimum, cost: float) -> Optimum:
    """Return the optimum with each spread at zero that adds less than ``cost`` to the log-likelihood."""
    layout = problem.layout
    if layout.unstructured:
        return found
    for place in range(layout.first_factor, layout.first_regression):
        parameters = found.parameters.copy()
        parameters[place] = 0.0
        if parameters[place] != found.parameters[place] and problem.log_likelihood(parameters, found.order) > (
            found.log_likelihood - cost
        ):
            found = refine(problem, parameters, found.order)
    # Zero is stationary, yet a Newton step leaves rounding there.
    parameters = found.parameters.copy()
    parameters[layout.idle_places(parameters)] = 0.0
    return replace(found, parameters=parameters)


def _newton(
    problem: Problem, parameters: Floats, order: int, information: Floats | None = None, *, held: bool = False
) -> Optimum:
    """Climb by Newton steps; with the break ``held``, by the other parameters.

    The ``information`` from nearby, here or with fewer nodes, is renewed where steps are long.
    """
    decrement = np.inf
    for _ in range(_NEWTON_STEPS):
        here = problem.evaluate(parameters, order)
        value = float(here.log_likelihood.sum())
        if information is None or _RENEWED < decrement < np.inf:
            information = information_by_prompt(problem, parameters, order)
        step, decrement = ascent(information.sum(axis=0), here.scores.sum(axis=0), held=held)
        if decrement < DECREMENT:
            break
        shorter = filter(problem.allows, (parameters + step / 4**power for power in range(6)))
        better = next((one for one in shorter if problem.log_likelihood(one, order) > value), None)
        if better is None:
            break
        parameters = better
    assert information is not None
    return Optimum(unsigned(problem.layout, parameters), value, information, decrement, order, np.nan)


def ascent(hessian: Floats, gradient: Floats, *, held: bool = False) -> tuple[Floats, float]:
    """Return the Newton step, away from saddles, and half its squared length in standard errors.

    With the break ``held``, the step leaves it where it is.
    """
    if held:
        hessian, gradient = hessian.copy(), gradient.copy()
        hessian[BREAK], hessian[:, BREAK], gradient[BREAK] = 0.0, 0.0, 0.0
    scale = np.sqrt(np.maximum(np.abs(np.diag(hessian)), 1e-12))
    values, vectors = np.linalg.eigh(hessian / scale[:, None] / scale)
    inner = vectors.T @ (gradient / scale)
    step = inner / np.maximum(np.abs(values), 1e-8)
    length = float(inner @ step)
    # A quadratic is believed within a few standard errors only.
    shorten = min(1.0, 3.0 / max(np.sqrt(length), 1e-300))
    return shorten * (vectors @ step) / scale, length / 2


def observed_information(problem: Problem, parameters: Floats, order: int) -> Floats:
    """Return the negative Hessian of the log-likelihood."""
    hessian: Floats = information_by_prompt(problem, parameters, order).sum(axis=0)
    return hessian


def information_by_prompt(problem: Problem, parameters: Floats, order: int) -> Floats:
    """Return each prompt's negative Hessian by central differences of the score at unmoved nodes."""
    nodes = problem.nodes(parameters, order)
    layout = problem.layout
    lengths = np.full(layout.size, 1e-4)
    lengths[:BREAK] = 1e-4 * np.maximum(np.abs(parameters[:BREAK]), 1e-2)
    lengths[BREAK] = 1e-3 * layout.spread(parameters)
    lengths[layout.first_factor :] = 1e-3 * np.maximum(np.abs(parameters[layout.first_factor :]), 1e-2)
    here = [products(block, layout, parameters, nodes) for block in problem.blocks]
    rows = []
    for place, length in enumerate(lengths):
        step = np.zeros(layout.size)
        step[place] = length
        known = here if place < layout.first_shape else None
        ends = [evaluate(problem.blocks, layout, parameters + sign * step, nodes, known).scores for sign in (1, -1)]
        rows.append((ends[1] - ends[0]) / (2 * length))
    hessian = np.stack(rows, axis=1)
    symmetric: Floats = 0.5 * (hessian + hessian.swapaxes(1, 2))
    return symmetric
