"""Where to begin the search for a random break: breaks from the mean curve, from single curves, and from the doses."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ripplestats.fits.breakpoint import MINIMUM_DOSES, BreakDesign
from ripplestats.fits.curves import Floats
from ripplestats.fits.random_breaks.break_law import LOG_NORMAL
from ripplestats.fits.random_breaks.climbing import SEARCH_ORDER, STAGES_OF_MANY, STAGES_TO_STARTS, climb, unlike
from ripplestats.fits.random_breaks.layout import BEND, BREAK, LOG_RESIDUAL, LOG_SPREAD, RISE, Block, Law, Layout
from ripplestats.fits.random_breaks.problem import Problem

#: Shares of the doses' ranks from which a search may begin.
_RANKS = (0.15, 0.3, 0.5, 0.7, 0.85)
#: Places of the simple model from which a general one is climbed.
_KEPT = 3
#: Where errors are serial: Fisher's z of their correlation to begin with, and how much larger log σ is than what lines leave.
_CORRELATED, _MARGINAL = 0.9, 0.3


def starts(problem: Problem) -> list[Floats]:
    """Return vectors of parameters to begin with."""
    mean, own = _breaks(problem)
    low, middle, high = np.quantile(own, [0.25, 0.5, 0.75])
    # Breaks before the second dose, or after the last but one, are looked for, to be refused.
    ends = (problem.x[[0, -2]] + problem.x[[1, -1]]) / 2
    centres = [mean, middle, low, high, *np.quantile(problem.x, _RANKS), *ends]
    if not problem.layout.random_break:
        centres += list((problem.x[1:-2] + problem.x[2:-1]) / 2)
    wide = np.clip((high - low) / 1.349, np.diff(problem.x).min() / 4, np.ptp(problem.x) / 4)
    inside = dict.fromkeys(float(np.clip(centre, *ends)) for centre in centres)
    spreads = (wide, wide / 4) if problem.layout.random_break else (wide,)
    pairs = [[_start(problem, centre, spread) for spread in spreads] for centre in inside]
    pairs += [[_alike(problem.layout, start) for start in pair] for pair in pairs[-2:]]
    return [max(pair, key=lambda start: problem.log_likelihood(start, SEARCH_ORDER)) for pair in pairs]


def _alike(layout: Layout, start: Floats) -> Floats:
    """Return the start with little spread of effects: at the ends a curve's own line takes one dose for a slope."""
    found = start.copy()
    found[layout.first_factor :] *= 0.05
    return found


def _breaks(problem: Problem) -> tuple[float, Floats]:
    """Return the break of the mean of the largest block's curves, and the curves' own breaks."""
    largest = max(problem.blocks, key=lambda block: len(block.values) * (len(block.x) >= MINIMUM_DOSES))
    own = [_design(block).fit(block.values).breakpoint for block in problem.blocks if len(block.x) >= MINIMUM_DOSES]
    if not own:
        return float(np.median(problem.x)), np.median(problem.x, keepdims=True)
    return float(_design(largest).fit(largest.values.mean(axis=0, keepdims=True)).breakpoint[0]), np.concatenate(own)


def _start(problem: Problem, centre: float, spread: float) -> Floats:
    """Return parameters from least squares on each curve with its break at ``centre``."""
    layout = problem.layout
    designs = [layout.design(block.x, centre) for block in problem.blocks]
    inverses = [np.asarray(np.linalg.pinv(design), np.float64) for design in designs]
    own = [block.values @ inverse.T for block, inverse in zip(problem.blocks, inverses, strict=True)]
    rows = np.concatenate(own)
    mean, between = rows.mean(axis=0), rows.var(axis=0)
    # What a curve's own line leaves over, and what an effect that is the same for all must leave.
    same = np.setdiff1d(np.arange(3), layout.columns)
    left, freedom, noise = 0.0, 0, np.zeros(3)
    for block, design, inverse, found in zip(problem.blocks, designs, inverses, own, strict=True):
        shared = found.copy()
        shared[:, same] = mean[same]
        left += float(((block.values - shared @ design.T) ** 2).sum())
        freedom += len(block.values) * max(len(block.x) - 3, 0)
        noise += len(block.values) / len(rows) * (inverse**2).sum(axis=1)
    variance = max(left / max(freedom, 1), 1e-16)
    deviations = np.sqrt(np.maximum(between - variance * noise, 0.05 * between + 1e-12))
    parameters = np.zeros(layout.size)
    parameters[:3], parameters[3], parameters[4] = mean, centre, 0.5 * np.log(variance)
    if layout.random_break:
        parameters[5] = np.log(max(spread, 10 * layout.no_spread))
    for place, (i, j) in enumerate(layout.entries, layout.first_factor):
        parameters[place] = deviations[layout.columns[i]] if i == j else 0.0
    return parameters


def _design(block: Block) -> BreakDesign:
    return BreakDesign(block.x, np.ones(len(block.x)))


def generalised_places(simple: Problem, candidates: Sequence[Floats], law: Law) -> list[Floats]:
    """Return climbed places under a law, from those of the simple model: straight on, and by way of independent effects.

    Each way ends at times where the other finds nothing; so do starts with one break, for effects correlate otherwise.
    """
    places = climb(simple, candidates, STAGES_TO_STARTS)[:_KEPT]
    problem, between = simple.under(law), simple.under(replace(law, correlated=False))
    found = _extended(places, simple.layout, problem)
    if between.layout not in (simple.layout, problem.layout):
        independent = climb(between, _extended(places, simple.layout, between), STAGES_OF_MANY[:1])
        found += _extended(independent[:1], between.layout, problem)
    first, *then = STAGES_OF_MANY
    # Each apart, for places that share break and spread may differ in their effects.
    begun = unlike(problem, [place for start in found for place in climb(problem, [start], (first,))], first.order)
    climbed = [place for start in begun for place in climb(problem, [start], then)]
    return sorted(climbed, key=lambda place: -problem.log_likelihood(place, SEARCH_ORDER))


def _extended(places: Sequence[Floats], narrow: Layout, problem: Problem) -> list[Floats]:
    """Return the places of a law as places of a more general one, whose further parameters are new."""
    wide, least = problem.layout, float(problem.x[1]) / 2
    found = []
    for place in places:
        start = np.zeros(wide.size)
        start[: narrow.first_factor] = place[: narrow.first_factor]
        if wide.law == LOG_NORMAL != narrow.law:
            # This law has an end.
            start[BREAK] = max(start[BREAK], least)
            if wide.random_break:
                start[LOG_SPREAD] = min(start[LOG_SPREAD], np.log(start[BREAK]))
        for value, entry in zip(place[narrow.first_factor : narrow.first_regression], narrow.entries, strict=True):
            start[wide.first_factor + wide.entries.index(entry)] = value
        if wide.of_heights and not narrow.of_heights:
            _as_height(start, wide)
        if narrow.serial:
            start[wide.first_shape :] = place[narrow.first_shape :]
        elif wide.serial:
            start[LOG_RESIDUAL] += _MARGINAL
            start[wide.first_shape] = _CORRELATED
        found.append(start)
    return found


def _as_height(start: Floats, layout: Layout) -> None:
    """Turn slope below and change of slope into height at the break and slope above; of spreads that of the rise."""
    start[BEND] += start[RISE]
    start[RISE] *= start[BREAK]
    for place, (row, _) in enumerate(layout.entries, layout.first_factor):
        start[place] *= start[BREAK] if layout.columns[row] == RISE else 1.0
