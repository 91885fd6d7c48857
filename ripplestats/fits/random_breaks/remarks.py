"""What a reader of a segmented mixed model must know: doubts, boundaries, and why there is no estimate."""

import numpy as np
from scipy import stats

from ripplestats.fits.curves import Floats
from ripplestats.fits.random_breaks.break_law import LOG_NORMAL, NORMAL, WIDEST_LOG_NORMAL, deviates
from ripplestats.fits.random_breaks.layout import BREAK, Law
from ripplestats.fits.random_breaks.optimum import Optimum
from ripplestats.fits.random_breaks.problem import Problem
from ripplestats.rendering.numbers import percent

#: A larger share of breaks outside the doses is said.
_OUTSIDE = 0.05
#: A spread this near the widest that is searched has been stopped there.
_AT_LIMIT = 0.98
_JUST_ABOVE_ZERO = 1e-7


def with_doubt(reasons: tuple[str, ...], names: tuple[str, ...], free: Floats, half: Floats) -> tuple[str, ...]:
    """Add to the threshold's reason that the lines hardly bend, where they hardly do."""
    place = names.index("slope_change")
    doubt = "the mean change of slope does not differ from zero" if abs(free[place]) <= half[place] else ""
    return (reasons[0] or doubt, *reasons[1:])


def notes_on(
    problem: Problem, best: Optimum, rivals: tuple[tuple[float, float], ...], regular: bool
) -> tuple[str, ...]:
    """Return what a reader of the fit must know."""
    idle = [Law(problem.layout.law).effects[problem.layout.columns[i]] for i in problem.layout.idle(best.parameters)]
    outside, name = _outside(problem, best.parameters), "log-normal" if problem.layout.law == LOG_NORMAL else "normal"
    said = {
        f"The {name} law of breaks puts {percent(outside)} of them outside the doses: doubt it.": outside > _OUTSIDE,
        "Not unique: " + "; ".join(f"a break at {at:.4g} has a log-likelihood only {lack:.2g} lower" for at, lack in rivals)
        + ".": bool(rivals),
        "The spread of breaks lies on the boundary (zero).": problem.equal_breaks,
        f"On the boundary (zero): the spread of {', '.join(idle)}.": bool(idle),
        f"More nodes still move the log-likelihood by {best.quadrature_error:.2g}.": best.quadrature_error > 1e-3,
        "The information is singular: no standard errors.": not regular,
        f"Prompts have {len(problem.blocks)} different sets of doses: fitted set by set.": len(problem.blocks) > 1,
    }  # fmt: skip
    return tuple(line for line, holds in said.items() if holds)


def _outside(problem: Problem, parameters: Floats) -> float:
    """Return the share of breaks that lie outside the doses."""
    law = problem.layout.law if problem.layout.random_break else NORMAL
    inside = np.maximum(problem.x[[0, -1]], problem.smallest_gap * _JUST_ABOVE_ZERO)
    ends = deviates(law, inside, float(parameters[BREAK]), problem.layout.spread(parameters)).value
    return float(stats.norm.cdf(ends[0]) + stats.norm.sf(ends[1]))


def where_search_ended(problem: Problem, best: Optimum) -> str:
    """Return why a search did not converge: mostly that breaks are spread more widely than was to be searched."""
    layout, parameters = problem.layout, best.parameters
    if not layout.random_break or layout.spread(parameters) < _AT_LIMIT * problem.widest(parameters):
        return "undefined: the fit did not converge"
    measure = f"{WIDEST_LOG_NORMAL:g} in the logarithm" if layout.law == LOG_NORMAL else "half the doses' range"
    said = (
        "undefined: breaks differ more between prompts than the doses can tell; at the widest spread that is searched, a "
        f"standard deviation of {measure}, {percent(_outside(problem, parameters))} of them lie outside the doses"
    )
    if not layout.serial:
        return said
    return f"{said}, and errors of neighbouring doses correlate {np.tanh(parameters[layout.first_shape]):.2f}"
