"""What a study should reach, and the search for the smallest number of documents that reaches it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import stats

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import MINIMUM_DOCUMENTS
from ripplestats.fits.planning.pilot import Achieved

if TYPE_CHECKING:
    import pandas as pd

#: Documents, what is achieved with them, and its Monte-Carlo standard error.
Rung = tuple[int, float, float]
_FIRST_RUNG = 8
#: Power is simulated: shares of nothing and all have no probit.
_CLOSEST = 1e-3


@dataclass(frozen=True)
class Goal:
    """What a study should reach: an interval's ``half_width`` of at most, or a ``power`` of at least the target."""

    kind: Literal["half_width", "power"]
    target: float

    def __post_init__(self) -> None:
        """Refuse a target that means nothing.

        Raises:
            InputError: it is out of range.
        """
        if self.kind == "half_width" and not 0 < self.target < np.inf:
            raise InputError(f"half_width={self.target} is not allowed; it is positive")
        if self.kind == "power" and not 0.05 < self.target < 1:
            raise InputError(f"power={self.target} is not allowed; it lies between .05 and 1")

    def reached(self, value: float) -> bool:
        """Tell whether a value is good enough; NaN is not."""
        return value <= self.target if self.kind == "half_width" else value >= self.target

    def line(self, n_documents: float, value: float, error: float) -> tuple[float, float, float]:
        """Return coordinates in which the value is nearly a straight line: 1/√n, or probits against √n; and the error."""
        if self.kind == "half_width":
            return n_documents**-0.5, value, error
        probit = float(stats.norm.ppf(np.clip(value, _CLOSEST, 1 - _CLOSEST)))
        return n_documents**0.5, probit, error / float(stats.norm.pdf(probit))

    def interpolated(self, below: Rung, above: Rung) -> tuple[float, float, float]:
        """Return the documents that reach the goal, between two rungs, and two Monte-Carlo errors to either side."""
        (place0, response0, error0), (place1, response1, error1) = self.line(*below), self.line(*above)
        slope = (response1 - response0) / (place1 - place0)
        middle = place0 + (self.line(1, self.target, 0.0)[1] - response0) / slope
        away = 2 * max(error0, error1) / abs(slope)
        power = -2 if self.kind == "half_width" else 2
        low, high = sorted(max(place, 1e-6) ** power for place in (middle - away, middle + away))
        return float(np.ceil(middle**power)), float(max(np.floor(low), 1)), float(np.ceil(high))


def exact_rows(goal: Goal, achieved: Achieved, per_document: Sequence[int], most: int) -> "pd.DataFrame":
    """Return the rows of a plan for a quantity with a closed form."""
    found = [(m, _smallest(goal, achieved, m, most)) for m in per_document]
    return _frame([(m, n, n, n, achieved(n or most, m)[0]) for m, n in found], goal, most)


def simulated_rows(goal: Goal, achieved: Achieved, per_document: Sequence[int], most: int) -> "pd.DataFrame":
    """Return the rows of a plan for a quantity that is simulated on a ladder of 8, 16, 32, … documents."""
    return _frame([(m, *_climbed(goal, achieved, m, most)) for m in per_document], goal, most)


def _climbed(goal: Goal, achieved: Achieved, m: int, most: int) -> tuple[float, float, float, float]:
    """Return documents, their Monte-Carlo range, and what is achieved: bracketed on the ladder, then interpolated twice."""
    below: Rung | None = None
    n = min(_FIRST_RUNG, most)
    while True:
        above = (n, *achieved(n, m))
        if goal.reached(above[1]):
            break
        if n >= most:
            return np.nan, np.nan, np.nan, above[1]
        below, n = above, min(2 * n, most)
    if below is None or np.isnan(below[1]):
        return n, n, n, above[1]
    middle = int(goal.interpolated(below, above)[0])
    if below[0] < middle < above[0]:
        rung = (middle, *achieved(middle, m))
        below, above = (below, rung) if goal.reached(rung[1]) else (rung, above)
    return (*goal.interpolated(below, above), goal.target)


def _frame(rows: list[tuple[Any, ...]], goal: Goal, most: int) -> "pd.DataFrame":
    import pandas as pd

    names = ["prompts_per_document", "documents", "documents_low", "documents_high", "achieved"]
    frame = pd.DataFrame(rows, columns=names).astype(dict.fromkeys(names[1:], np.float64))
    why = f"not reached with {most} documents: the {goal.kind.replace('_', '-')} is then "
    notes = [f"{why}{row.achieved:.3g}" if np.isnan(row.documents) else "" for row in frame.itertuples()]
    return frame.assign(prompts=frame["documents"] * frame["prompts_per_document"], note=notes)


def _smallest(goal: Goal, achieved: Achieved, m: int, most: int) -> int | None:
    return smallest(lambda n: goal.reached(achieved(n, m)[0]), most)


def smallest(reached: Callable[[int], bool], most: int) -> int | None:
    """Return the smallest number of documents from four on that reaches a goal, or None if ``most`` do not.

    ``reached`` must not turn false again.
    """
    low, high = MINIMUM_DOCUMENTS - 1, MINIMUM_DOCUMENTS
    while not reached(high):
        if high >= most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
