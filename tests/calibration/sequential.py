"""Does the interval at the stop of ``--until-width`` cover? Data sets that grow, looked at as the package looks at them.

One draw of all documents serves every width that is asked for and every rule on trial. A new rule is one entry in
``RULES``: intervals at all looks → the look that ends the run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ripplestats.fits import sequential
from ripplestats.fits.breakpoint import BreakDesign
from ripplestats.fits.curves import DocumentCurves, Floats
from ripplestats.fits.inversion import break_interval
from tests.calibration.simulate import Scenario, simulate, truths
from tests.calibration.tally import SETS_AT_ONCE, seeded

LEVEL = 0.95
#: Documents that are there at most.
MOST_DOCUMENTS = 475
#: The widths asked for are the median ones at so many documents.
ASKED_AT = (40, 79, 155, 304)
#: The rule of the package, and those beside it.
CHOSEN = "two looks in a row"
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Looks:
    """Intervals of many growing data sets at every look, sets × looks; NaN where the break lies at the grid's edge."""

    documents: NDArray[np.intp]
    low: Floats
    high: Floats

    @property
    def width(self) -> Floats:
        """Widths of the intervals."""
        return self.high - self.low


Rule = Callable[[Looks, float], NDArray[np.intp]]


def look_documents(most: int = MOST_DOCUMENTS) -> list[int]:
    """Return the numbers of documents at which the package looks."""
    found = [sequential.FIRST_LOOK]
    while sequential.next_look(found[-1]) <= most:
        found.append(sequential.next_look(found[-1]))
    return found


def draw_looks(scenario: Scenario, n_sets: int, rng: np.random.Generator) -> Looks:
    """Draw data sets and look at the first of their documents again and again."""
    documents = look_documents(scenario.n_documents)
    curves = simulate(scenario, n_sets, rng)
    found = np.array([_at_look(curves, n) for n in documents]).transpose(1, 2, 0)
    return Looks(np.array(documents), *found)


def _at_look(curves: DocumentCurves, n_documents: int) -> Floats:
    first = replace(curves, values=curves.values[:n_documents], weights=curves.weights[:n_documents])
    design = BreakDesign(first.x, first.dose_weights)
    breaks = design.fit(first.pooled()).breakpoint
    limits = np.stack(break_interval(first, design, LEVEL))
    return np.where((breaks > design.first) & (breaks < design.last), limits, np.nan)


def _package(looks: Looks, width: float) -> NDArray[np.intp]:
    ends = [sequential.last_look(one.tolist(), width) for one in looks.width]
    return np.array([len(looks.documents) - 1 if end is None else end for end in ends])


def _one_further(looks: Looks, width: float) -> NDArray[np.intp]:
    return np.minimum(_first(looks.width <= width) + 1, len(looks.documents) - 1)


def _first(narrow: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the first look at which something holds, or the last."""
    return np.where(narrow.any(axis=1), narrow.argmax(axis=1), narrow.shape[1] - 1)


def _fixed(looks: Looks, width: float) -> NDArray[np.intp]:
    """Return, for comparison, the look whose median width is the one asked for: no stopping."""
    place = np.abs(np.nanmedian(looks.width, axis=0) - width).argmin()
    return np.full(len(looks.low), place)


RULES: Mapping[str, Rule] = {
    CHOSEN: _package,
    "at once": lambda looks, width: _first(looks.width <= width),
    "at once, from 63 documents": lambda looks, width: _first((looks.width <= width) & (looks.documents >= 63)),
    "one further look": _one_further,
    "documents fixed beforehand": _fixed,
}


def sequential_coverage(scenario: Scenario, n_sets: int, rules: Mapping[str, Rule] = RULES) -> pd.DataFrame:
    """Return a row a width asked for and rule."""
    rng = seeded(f"sequential {scenario.name}")
    at_once = min(SETS_AT_ONCE, n_sets)
    parts = [draw_looks(scenario, at_once, rng) for _ in range(max(round(n_sets / at_once), 1))]
    low, high = (np.concatenate([getattr(part, name) for part in parts]) for name in ("low", "high"))
    looks = Looks(parts[0].documents, low, high)
    medians = dict(zip(looks.documents.tolist(), np.nanmedian(looks.width, axis=0), strict=True))
    return pd.DataFrame(
        [_row(scenario, looks, asked, medians[asked], name) for asked in ASKED_AT if asked in medians for name in rules]
    )


def _row(scenario: Scenario, looks: Looks, asked: int, width: float, rule: str) -> dict[str, object]:
    end = RULES[rule](looks, width)
    at = np.arange(len(end)), end
    low, high, truth = looks.low[at], looks.high[at], truths(scenario)["threshold"]
    defined = np.isfinite(low)
    low, high, n = low[defined], high[defined], int(defined.sum())
    above, below = low > truth + _ROUNDING, high < truth - _ROUNDING
    share = float(1 - (above | below).mean())
    return {
        "rule": rule, "kind": scenario.kind, "break": scenario.break_mean, "asked_at": asked, "width": width,
        "truth": truth, "sets": len(end), "coverage": share, "coverage_error": np.sqrt(share * (1 - share) / n),
        "all_above": above.mean(), "all_below": below.mean(), "undefined": 1 - defined.mean(),
        "median_documents": np.median(looks.documents[end]), "at_most": (end == len(looks.documents) - 1).mean(),
        "wider": (high - low > width + _ROUNDING).mean(), "median_length": np.median(high - low),
    }  # fmt: skip
