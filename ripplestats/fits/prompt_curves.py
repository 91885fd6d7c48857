"""The curves of single prompts, which a model with a break of each prompt needs."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ripplestats.errors import RunError
from ripplestats.fits.curve_layout import Cell
from ripplestats.fits.curves import Floats
from ripplestats.fits.part_rows import Part, read_keys, read_outcomes
from ripplestats.fits.run_statistics import in_parallel, prompts_of_documents, read_parts

if TYPE_CHECKING:
    from ripplestats.store.run_directory import Run

#: Of a larger run, whole documents with about so many prompts are drawn at random.
MOST_PROMPTS = 2000
#: Curves kept for the next reader: an analysis needs those of its main cell for the population's threshold, for the
#: moderators and for the page. With 31 groups and 34 doses one holds 17 MB.
_KEPT = 4
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
    """Read the curves of one arm, replacement, site and metric, by prompt; of the effects only the parts needed.

    Args:
        run: a run with effects.
        cell: whose curves.
        most_prompts: of a larger run, whole documents with about so many prompts are drawn at random.

    Raises:
        RunError: the run has no such effects, or prompts differ in their rows.
    """
    files = tuple((file, file.stat().st_size, file.stat().st_mtime_ns) for file in run.parts())
    return _read(run, files, cell, most_prompts)


@lru_cache(_KEPT)
def _read(run: "Run", _files: tuple[tuple[Path, int, int], ...], cell: Cell, most_prompts: int) -> PromptCurves:
    """Read curves once for the same files."""
    parts = read_parts(run)
    keys = read_keys(run, parts[0])
    layout = keys.layouts().get(cell[:3])
    if layout is None or cell.metric not in run.metrics:
        raise RunError(f"{run.path} has no effects of {', '.join(cell)}")
    chosen, note = _sample(parts, most_prompts)
    wanted = [part for part in parts if np.isin(part.documents, chosen).any()]

    def curves(part: Part) -> Floats:
        kept = np.isin(part.documents, chosen)
        return layout.curves(read_outcomes(run, part, keys, [cell.metric])[cell.metric][kept])

    values = np.concatenate(list(in_parallel(curves, wanted)))
    prompts, documents = (np.concatenate([getattr(part, name) for part in wanted]) for name in ("prompts", "documents"))
    kept = np.isin(documents, chosen)
    prompts, documents = prompts[kept], documents[kept]
    order = np.argsort(prompts, kind="stable")
    found = PromptCurves(layout.x, values[order], prompts[order], documents[order], layout.groups, note)
    for shared in (found.x, found.values, found.prompts, found.documents):
        shared.flags.writeable = False
    return found


def _sample(parts: list[Part], most_prompts: int) -> tuple[NDArray[np.int64], str]:
    """Return the documents to read, and what to say of it."""
    sizes = prompts_of_documents(parts)
    total = sum(sizes.values())
    if total <= most_prompts:
        return np.array(sorted(sizes)), ""
    order = np.random.default_rng(_SEED).permutation(sorted(sizes))
    reached = np.cumsum([sizes[document] for document in order])
    chosen = order[: max(int((reached <= most_prompts).sum()), 1)]
    return chosen, f"from a random {reached[len(chosen) - 1]} of {total} prompts (whole documents)"
