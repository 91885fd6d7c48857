"""What the page calls blocks, arms and cells, and the colours that it shares with the figures."""

from collections.abc import Hashable, Mapping
from typing import Any

from ripplestats.fits.curve_layout import ALL_LAYERS, Cell
from ripplestats.fits.curves import DocumentCurves
from ripplestats.report.wording import ARM_NAMES, mean_over

Curves = Mapping[Cell, DocumentCurves]


def block_name(group: Hashable, blocks: str) -> str:
    """Return the name of a layer, or of the mean over ``blocks``, which ``wording.mean_blocks`` names."""
    return mean_over(blocks) if group == ALL_LAYERS else f"block {group}"


def cell_name(cell: Cell) -> str:
    """Return which neurons are replaced, by what, and where."""
    return f"{ARM_NAMES.get(cell.arm, cell.arm)} · {cell.replacement} · {cell.site}"


def main_cell(curves: Curves, metric: str) -> Cell:
    """Return the cell that the page opens with: the arm ``top`` where it was run, else the first."""
    cells = [cell for cell in curves if cell.metric == metric]
    first = cells[0]
    return next((cell for cell in cells if cell == first._replace(arm="top")), first)


def beside(curves: Curves, main: Cell, axis: str) -> dict[str, DocumentCurves]:
    """Return the curves that differ from the main cell's in one of arm, replacement and site only, by its name."""
    return {
        str(getattr(cell, axis)): one
        for cell, one in curves.items()
        if cell == main._replace(**{axis: getattr(cell, axis)})
    }


def colours(curves: Curves, main: Cell, axis: str) -> dict[str, int]:
    """Return the place in the palette of each arm (replacement, site), in the order of the figures."""
    return {name: number for number, name in enumerate(beside(curves, main, axis))}


def of_main(estimates: Any, main: Cell) -> Any:
    """Return the rows of the estimates that are of a cell."""
    chosen = estimates
    for name, value in main._asdict().items():
        chosen = chosen[chosen[name] == value]
    return chosen


def names_of_groups(curves: Curves, blocks: str) -> dict[str, str]:
    """Return what each layer, and the mean over layers, is called."""
    return {str(group): block_name(group, blocks) for one in curves.values() for group in one.groups}
