"""The way up to the largest likelihood: quasi-Newton rounds from several starts, in stages, to the places that differ."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from ripplestats.fits.curves import Floats
from ripplestats.fits.random_breaks.layout import BREAK, Layout
from ripplestats.fits.random_breaks.problem import Problem

#: Nodes a panel while searching, and the most.
SEARCH_ORDER, LAST_ORDER = 4, 48
#: An error of the log-likelihood, by too few nodes, that does not mislead a climb.
_ROUGH = 1.0
#: A round of BFGS that gains less log-likelihood than this is the last.
_LITTLE = 1e-2
_REFUSED = 1e30
#: Log-likelihood a value that a place may lack after a stage to be followed further.
_FAR = 0.1
#: Squared distance in standard errors within which two places are one.
_ONE_PLACE = 0.05


@dataclass(frozen=True)
class Stage:
    """A part of a search: nodes a panel, steps of a round of BFGS, most rounds, and how many places are kept.

    Where there are several rounds there may be more nodes (``fine_enough``). Each round begins with scales of its own: where effects correlate almost wholly, those of the start mislead.
    """

    order: int
    steps: int
    kept: int
    rounds: int = 1


#: A few steps from everywhere, then more from what differs; with few starts of a law of many parameters; and to find those
#: starts, of which only break and spread matter.
STAGES = (Stage(2, 15, 12), Stage(SEARCH_ORDER, 80, 12))
STAGES_TO_STARTS = (Stage(2, 6, 12), Stage(2, 10, 12))
STAGES_OF_MANY = (Stage(2, 40, 4), Stage(SEARCH_ORDER, 80, 2, rounds=4))


def climb(problem: Problem, starts: Sequence[Floats], stages: Sequence[Stage] = STAGES) -> list[Floats]:
    """Climb a little from every start, then from the most likely places; returns the places that differ, best first."""
    climbed = list(starts)
    for stage in stages:
        climbed = [_climb(problem, one, stage) for one in climbed]
        climbed = _distinct(problem, climbed)[: stage.kept]
    return climbed


def _distinct(problem: Problem, places: list[Floats]) -> list[Floats]:
    """Return the places, the most likely first, but those that are on one's way to the same optimum."""
    layout = problem.layout
    ranked = sorted(((problem.log_likelihood(one, SEARCH_ORDER), number) for number, one in enumerate(places)))
    lowest = ranked[-1][0] - _FAR * sum(block.values.size for block in problem.blocks)
    kept: list[Floats] = []
    for value, number in reversed(ranked):
        if value < lowest:
            break
        place, spread = places[number], layout.spread(places[number])
        apart = max(0.25 * spread, problem.smallest_gap / 2)
        if not any(
            abs(place[BREAK] - one[BREAK]) < apart and abs(np.log(spread / layout.spread(one))) < 1 for one in kept
        ):
            kept.append(place)
    return kept


def unlike(problem: Problem, places: Sequence[Floats], order: int) -> list[Floats]:
    """Return the places but those that are another's within a fraction of a standard error in every direction."""
    kept: list[Floats] = []
    for place in places:
        scores = problem.evaluate(place, order).scores
        if not any(near(problem.layout, place, one, scores.T @ scores) for one in kept):
            kept.append(place)
    return kept


def near(layout: Layout, one: Floats, other: Floats, information: Floats) -> bool:
    """Say whether two vectors are one; the sign of a factor's column does not matter."""
    gap = unsigned(layout, one) - unsigned(layout, other)
    return float(gap @ information @ gap) < _ONE_PLACE


def unsigned(layout: Layout, parameters: Floats) -> Floats:
    """Return the parameters with a factor of non-negative diagonal."""
    found = parameters.copy()
    for place, (_, j) in enumerate(layout.entries, layout.first_factor):
        diagonal = layout.first_factor + layout.entries.index((j, j))
        found[place] *= 1.0 if parameters[diagonal] >= 0 else -1.0
    return found


def _climb(problem: Problem, start: Floats, stage: Stage) -> Floats:
    """Climb by rounds of BFGS while they gain."""
    if stage.rounds == 1:
        return _round(problem, start, stage.order, stage.steps)
    for _ in range(stage.rounds):
        order, before = fine_enough(problem, start, stage.order)
        start = _round(problem, start, order, stage.steps)
        if problem.log_likelihood(start, order) < before + _LITTLE:
            break
    return start


def _round(problem: Problem, start: Floats, order: int, steps: int) -> Floats:
    """Climb by BFGS, which begins with the information that the start's scores hold (Berndt, Hall, Hall & Hausman)."""
    begun = problem.evaluate(start, order)
    information = begun.scores.T @ begun.scores
    information += 1e-3 * np.diag(np.maximum(np.diag(information), 1e-8))
    root = np.linalg.cholesky(np.linalg.inv(information))

    def negative(step: Floats) -> tuple[float, Floats]:
        parameters = start + root @ step
        if not problem.allows(parameters):
            return _REFUSED, np.zeros_like(step)
        found = problem.evaluate(parameters, order) if step.any() else begun
        lost, slopes = problem.barrier(parameters)
        return lost - float(found.log_likelihood.sum()), root.T @ (slopes - found.scores.sum(axis=0))

    begin: Floats = np.zeros(len(start))
    step = optimize.minimize(negative, begin, jac=True, method="BFGS", options={"gtol": 1e-2, "maxiter": steps}).x
    end = start + root @ step
    # Its line search may end where it was refused.
    return unsigned(problem.layout, end if problem.allows(end) else start)


def fine_enough(problem: Problem, parameters: Floats, order: int) -> tuple[int, float]:
    """Return how many nodes a panel a climb needs, and the log-likelihood with these.

    There are at least ``order``, and more the more prompts there are, for the errors add up.

    Slopes are exact for the nodes where they are, and nodes move with the parameters: a climb whose steps gain less than
    that moves the log-likelihood stands still.
    """
    value = problem.log_likelihood(parameters, order)
    while 2 * order <= LAST_ORDER and problem.layout.spread(parameters) > problem.layout.no_spread:
        finer = problem.log_likelihood(parameters, 2 * order)
        if abs(finer - value) <= _ROUGH:
            break
        value, order = finer, 2 * order
    return order, value
