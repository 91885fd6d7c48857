"""Layer × rate maps of the mean effect, and behind each field of a map its distribution over prompts."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ripplestats.fits.curve_layout import ALL_LAYERS, Cell
from ripplestats.fits.curves import DocumentCurves
from ripplestats.fits.prompt_curves import PromptCurves, prompt_curves
from ripplestats.report.page.blocks import Curves, cell_name, colours
from ripplestats.report.page.cell_details import CellDetails, describe_cells
from ripplestats.report.page.plain import ending, numbers, text, title

if TYPE_CHECKING:
    from ripplestats.store.run_directory import Run

#: Fields whose prompts are on the page, over all maps: what keeps it small. Further maps show their means only.
MOST_FIELDS = 6000
#: Characters of a prompt that are shown.
MOST_CHARACTERS = 280


def layer_maps(run: "Run", curves: Curves, main: Cell) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the maps, that of the main cell first, and the prompts that they name, by number."""
    cells = sorted((cell for cell in curves if cell.metric == main.metric), key=lambda cell: _differs(cell, main))
    palette = colours(curves, main, "arm")
    maps, named, room = [], set[int](), MOST_FIELDS
    for cell in cells:
        one = _means(curves[cell])
        fields = len(one["layers"]) * len(one["rates"])
        room -= fields
        found = None
        if room >= 0:
            prompts = prompt_curves(run, cell)
            details, chosen = _details(prompts)
            named |= chosen
            found = {**details, "prompts": len(prompts.prompts), "note": prompts.note}
        maps.append(
            {"name": cell_name(cell), "arm": cell.arm, "colour": palette.get(cell.arm, 0), **one, "details": found}
        )
    return maps, _prompts(run.prompts(), named)


def _differs(cell: Cell, main: Cell) -> int:
    return sum(one != other for one, other in zip(cell, main, strict=True))


def _means(curves: DocumentCurves) -> dict[str, Any]:
    places = [place for place, group in enumerate(curves.groups) if group != ALL_LAYERS]
    return {
        "layers": [int(str(curves.groups[place])) for place in places],
        "rates": numbers(100 * curves.x),
        "means": numbers(curves.pooled()[places]),
    }


def _details(prompts: PromptCurves) -> tuple[dict[str, Any], set[int]]:
    places = [place for place, group in enumerate(prompts.groups) if group != ALL_LAYERS]
    details: CellDetails = describe_cells(prompts.values[:, places])
    ids = prompts.prompts
    found = {name: numbers(value) for name, value in asdict(details).items()}
    for name in ("most", "least"):
        found[name] = ids[getattr(details, name)].tolist()
    return found, set(np.unique(ids[np.stack([details.most, details.least])]).tolist())


def _prompts(prompts: pd.DataFrame, named: set[int]) -> dict[str, Any]:
    rows = prompts[prompts["prompt_id"].isin(named)]
    return {
        str(row["prompt_id"]): {
            "title": title(row["document_title"], f"document {row['document_id']}"),
            "text": ending(row["context"], MOST_CHARACTERS).lstrip(),
            "target": text(row["target"]),
            "logprob": numbers(row["clean_logprob"]),
        }
        for row in rows.to_dict("records")
    }
