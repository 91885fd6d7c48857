"""The curves of single prompts, which a model with a break of each prompt needs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.dataset as ds
from numpy.typing import NDArray

from ripplestats.errors import RunError
from ripplestats.fits.curve_layout import LAYOUT_COLUMNS, Cell, by_prompt, check_rows, curve_layouts
from ripplestats.fits.curves import Floats
from ripplestats.fits.run_statistics import prompts_of_documents

if TYPE_CHECKING:
    from ripplestats.store.run_directory import Run

#: Of a larger run, whole documents with about so many prompts are drawn at random.
MOST_PROMPTS = 2000
_SEED = 20240229


@dataclass(frozen=True)
class PromptCurves:
    """Curves of prompts (prompts × groups × doses), the group ``all`` first; ``note`` says if they are a sample."""

    x: Floats
    values: Floats
    prompts: NDArray[np.int64]
    documents: NDArray[np.int64]
    groups: tuple[str | int, ...]
    note: str


def prompt_curves(run: "Run", cell: Cell, most_prompts: int = MOST_PROMPTS) -> PromptCurves:
    """Read the curves of one arm, replacement, site and metric.

    Raises:
        RunError: the run has no such effects, or prompts differ in their rows.
    """
    where = (
        (ds.field("arm") == cell.arm) & (ds.field("replacement") == cell.replacement) & (ds.field("site") == cell.site)
    )
    chosen, note = _sample(run, most_prompts)
    if chosen is not None:
        where &= ds.field("document_id").isin(chosen)
    frame = run.effects([*LAYOUT_COLUMNS, "prompt_id", "document_id", cell.metric], where)
    if frame.empty:
        raise RunError(f"{run.path} has no effects of {', '.join(cell)}")
    frame, n_prompts = by_prompt(frame, run.path)
    keys = frame.iloc[: len(frame) // n_prompts][LAYOUT_COLUMNS].reset_index(drop=True)
    check_rows(frame, keys, run.path)
    ((_, layout),) = curve_layouts(keys).items()
    values = layout.curves(frame[cell.metric].to_numpy(np.float64).reshape(n_prompts, -1))
    prompts, documents = (
        frame[name].to_numpy(np.int64).reshape(n_prompts, -1)[:, 0] for name in ("prompt_id", "document_id")
    )
    return PromptCurves(layout.x, values, prompts, documents, layout.groups, note)


def _sample(run: "Run", most_prompts: int) -> tuple[list[int] | None, str]:
    """Return the documents to read, or None for all, and what to say of it."""
    sizes = prompts_of_documents(run)
    total = sum(sizes.values())
    if total <= most_prompts:
        return None, ""
    order = np.random.default_rng(_SEED).permutation(sorted(sizes))
    reached = np.cumsum([sizes[document] for document in order])
    chosen = order[: max(int((reached <= most_prompts).sum()), 1)]
    return chosen.tolist(), f"from a random {reached[len(chosen) - 1]} of {total} prompts (whole documents)"
