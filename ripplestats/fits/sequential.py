"""Stopping at a width: prompts are added until the threshold's interval is as narrow as asked.

A fixed-width sequential interval (Chow & Robbins 1965, Ann. Math. Stat. 36:457): its width, unlike an estimate or a
p-value, says nothing of where the truth is, so that the interval at the stop covers asymptotically at its level and no
part of it has to be spent on the looks. In finite samples it covers less, for where the spread is underestimated the run
stops too soon: by simulation about a point (94.3 in place of 95.3 %, ``tests/calibration/README.md``, with what was tried).
Going on a little beyond the first narrow look helps (Simons 1968, Ann. Math. Stat. 39:1946, for the normal mean): here to
the next look, at which the interval must be narrow enough as well, so that the one that is reported is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from ripplestats.fits.breakpoint import BreakDesign
from ripplestats.fits.curve_layout import ALL_LAYERS, Cell
from ripplestats.fits.curves import DocumentCurves
from ripplestats.fits.inversion import break_interval
from ripplestats.fits.run_statistics import run_statistics
from ripplestats.fits.segmented import undefined_breaks
from ripplestats.store.run_directory import Run

if TYPE_CHECKING:
    from pathlib import Path

#: Documents at the first look, and how many times as many there are at each further one.
FIRST_LOOK = 32
GROWTH = 1.25
#: Looks in a row that must find the interval narrow enough.
LOOKS_IN_A_ROW = 2


@dataclass(frozen=True)
class Look:
    """The threshold of the first ``parts`` parts of a run; NaN where it is undefined."""

    parts: int
    prompts: int
    documents: int
    estimate: float
    conf_low: float
    conf_high: float

    @property
    def width(self) -> float:
        """Width of the interval, a share of the neurons."""
        return self.conf_high - self.conf_low


def next_look(documents: int) -> int:
    """Return at how many documents the look after one at ``documents`` is due."""
    return ceil(GROWTH * documents)


def last_look(widths: Sequence[float], width: float) -> int | None:
    """Return the place of the look that ends a run, the second in a row that is narrow enough; None before it has come.

    Args:
        widths: of the interval at each look; NaN where it is undefined.
        width: what is narrow enough.
    """
    in_a_row = 0
    for place, one in enumerate(widths):
        in_a_row = in_a_row + 1 if one <= width else 0
        if in_a_row == LOOKS_IN_A_ROW:
            return place
    return None


@dataclass(frozen=True)
class UntilWidth:
    """Ask of a run whether the threshold's interval is narrow enough.

    The answer depends on the run's prompts alone: looks are at the first part at which as many documents as are due are
    there, whatever has been done beyond it, in whatever order and in how many starts.

    Args:
        width: of the interval, a share of the neurons.
        cell: whose threshold; of the mean over all blocks but the first.
        conf_level: of the interval.
        say: is told in one line of each look.
    """

    width: float
    cell: Cell
    conf_level: float = 0.95
    say: Callable[[str], None] = field(default=lambda _: None, repr=False, compare=False)
    _documents: dict["Path", frozenset[int]] = field(default_factory=dict, repr=False, compare=False)
    _looks: dict[int, Look] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, run: Run) -> bool:
        """Tell whether the run has all the prompts that the rule asks for."""
        return self.stop(run) is not None

    def stop(self, run: Run) -> Look | None:
        """Return the look at which the run is to end, None where it has not come yet."""
        looks = self.looks(run)
        return looks[-1] if self._ended(looks) else None

    def looks(self, run: Run) -> tuple[Look, ...]:
        """Return all looks so far, none after the one that ends the run."""
        looks: list[Look] = []
        documents: set[int] = set()
        due = FIRST_LOOK
        for n_parts, file in enumerate(_first_parts(run), 1):
            if file not in self._documents:
                self._documents[file] = frozenset(run.part(n_parts - 1, ["document_id"])["document_id"].tolist())
            documents |= self._documents[file]
            if len(documents) < due:
                continue
            if n_parts not in self._looks:
                self._looks[n_parts] = self._look(run, n_parts)
            looks.append(self._looks[n_parts])
            if self._ended(looks):
                break
            due = next_look(len(documents))
        return tuple(looks)

    def record(self, run: Run) -> Mapping[str, Any]:
        """Return what the manifest holds: the rule, every look, and whether the run ended by the rule."""
        looks = self.looks(run)
        return {
            "until_width": self.width,
            "reached": self._ended(looks),
            "first_look": FIRST_LOOK,
            "growth": GROWTH,
            "looks_in_a_row": LOOKS_IN_A_ROW,
            "looks": [
                {
                    "prompts": look.prompts, "documents": look.documents,
                    **{name: _number(getattr(look, name)) for name in ("estimate", "conf_low", "conf_high", "width")},
                }
                for look in looks
            ],
        }  # fmt: skip

    def _ended(self, looks: Sequence[Look]) -> bool:
        return last_look([look.width for look in looks], self.width) is not None

    def _look(self, run: Run, n_parts: int) -> Look:
        curves = run_statistics(_Beginning(run.path, n_parts), [self.cell.metric]).curves[self.cell]
        look = Look(n_parts, curves.n_prompts, curves.total_documents, *threshold(curves, self.conf_level))
        wide = "undefined" if np.isnan(look.width) else f"{100 * look.width:.2f} percentage points wide"
        self.say(
            f"look at {look.documents} documents: the interval of the threshold is {wide} ({100 * self.width:g} asked for)"
        )
        return look


@dataclass(frozen=True)
class _Beginning(Run):
    """The first parts of a run."""

    n_parts: int

    def parts(self) -> list["Path"]:
        return super().parts()[: self.n_parts]


def threshold(curves: DocumentCurves, conf_level: float = 0.95) -> tuple[float, float, float]:
    """Return the threshold of the mean over all blocks but the first and its limits, as in the tables; else NaN."""
    curves = curves.of_groups([curves.groups.index(ALL_LAYERS)])
    design = BreakDesign(curves.x, curves.dose_weights)
    if undefined_breaks(design, curves.pooled())[0]:
        return float("nan"), float("nan"), float("nan")
    low, high = break_interval(curves, design, conf_level)
    return float(design.fit(curves.pooled()).breakpoint[0]), float(low[0]), float(high[0])


def _first_parts(run: Run) -> list["Path"]:
    """Return the parts before the first that is missing."""
    parts = run.parts()
    whole = [number == int(file.stem.split("-")[1]) for number, file in enumerate(parts)]
    return parts[: whole.index(False)] if False in whole else parts


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
