"""Rows of a run's effects → curves: which rows of a prompt make which dose of which layer."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ripplestats.errors import RunError
from ripplestats.fits.curves import Floats

if TYPE_CHECKING:
    import pandas as pd

#: The layer name of the mean over all blocks but the first.
ALL_LAYERS = "all"
#: What names a row of a prompt.
KEYS = ["arm", "replacement", "site", "layer", "rate"]
LAYOUT_COLUMNS = [*KEYS, "effective_rate"]
_NAMES = KEYS[:3]


class Cell(NamedTuple):
    """What a dose–response curve is of, beside its layer."""

    arm: str
    replacement: str
    site: str
    metric: str


@dataclass(frozen=True)
class CurveLayout:
    """Layers and doses of one arm, replacement and site.

    ``x`` (R) has the distinct doses and ``counts`` (R) how many rates asked for mean each; ``numbers`` (layers × rates)
    are the rows of a prompt, by layer and dose.
    """

    layers: tuple[int, ...]
    x: Floats
    counts: Floats
    numbers: NDArray[np.intp]

    @property
    def groups(self) -> tuple[str | int, ...]:
        """The layers, preceded by the mean over all blocks but the first where there are such."""
        return (ALL_LAYERS, *self.layers) if self._later else self.layers

    @property
    def _later(self) -> list[int]:
        return [number for number, layer in enumerate(self.layers) if layer != 0]

    def curves(self, rows: Floats) -> Floats:
        """Return prompts' rows (prompts × rows) as curves: prompts × groups × doses."""
        starts = np.concatenate([[0], self.counts.cumsum()[:-1]]).astype(int)
        curves: Floats = np.add.reduceat(rows[:, self.numbers], starts, axis=2) / self.counts
        if not self._later:
            return curves
        return np.concatenate([curves[:, self._later].mean(axis=1, keepdims=True), curves], axis=1)


def curve_layouts(keys: "pd.DataFrame") -> dict[tuple[str, str, str], CurveLayout]:
    """Return the layout of each arm, replacement and site from the rows of one prompt (``LAYOUT_COLUMNS``).

    Raises:
        RunError: layers differ in their rates.
    """
    found = {}
    for (arm, replacement, site), rows in keys.groupby(_NAMES, observed=True, sort=False):
        layers = tuple(int(layer) for layer in np.unique(rows["layer"]))
        numbers = rows.sort_values(["layer", "effective_rate", "rate"]).index.to_numpy().reshape(len(layers), -1)
        doses = keys["effective_rate"].to_numpy()[numbers]
        if not (doses == doses[:1]).all():
            raise RunError("the effects are damaged: layers differ in their rates")
        x, counts = np.unique(doses[0], return_counts=True)
        found[str(arm), str(replacement), str(site)] = CurveLayout(layers, x, counts.astype(np.float64), numbers)
    return found


def by_prompt(frame: "pd.DataFrame", where: object) -> tuple["pd.DataFrame", int]:
    """Return the rows prompt by prompt, each prompt's in one order (a sweep writes them so), and the number of prompts.

    Raises:
        RunError: prompts differ in their number of rows.
    """
    n_prompts = frame["prompt_id"].nunique()
    if len(frame) % n_prompts:
        raise RunError(f"{where}: its prompts differ in their number of rows")
    ids = frame["prompt_id"].to_numpy().reshape(n_prompts, -1)
    if not (ids == ids[:, :1]).all():
        frame = frame.sort_values(["prompt_id", *KEYS], ignore_index=True)
    return frame, n_prompts


def check_rows(frame: "pd.DataFrame", keys: "pd.DataFrame", where: object) -> None:
    """Refuse rows, prompt by prompt, that are not those of ``keys`` for every prompt.

    Raises:
        RunError: prompts differ in what was done to them.
    """
    for name in keys:
        column, first = frame[name], keys[name]
        if name in _NAMES:
            column, first = column.cat.set_categories(first.cat.categories).cat.codes, first.cat.codes
        if not (column.to_numpy().reshape(-1, len(keys)) == first.to_numpy()).all():
            raise RunError(f"{where}: its prompts differ in {name}, so that the run is not balanced")
