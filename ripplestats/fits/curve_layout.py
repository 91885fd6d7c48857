"""Rows of a run's effects → curves: which rows of a prompt make which dose of which layer."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

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
NAMES = KEYS[:3]


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
        """Return prompts' rows (prompts × rows, of any type of number) as curves: prompts × groups × doses."""
        later, alone = self._later, len(self.x) == self.numbers.shape[1]
        curves = np.empty((len(rows), len(self.layers) + bool(later), len(self.x)))
        of_layers = curves[:, bool(later) :]
        if alone:
            of_layers[...] = self._by_layer(rows)
        else:
            starts = np.concatenate([[0], self.counts.cumsum()[:-1]]).astype(int)
            of_layers[...] = np.add.reduceat(self._by_layer(rows).astype(np.float64), starts, axis=2) / self.counts
        if later:  # layers are sorted, so that those but block 0 are the last
            # The sum as a product: three times as fast as a mean over an axis in the middle.
            np.matmul(np.ones((1, len(later))), of_layers[:, later[0] :], out=curves[:, :1])
            curves[:, 0] /= len(later)
        return curves

    def _by_layer(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return rows as prompts × layers × rates: a view, which copies nothing, where they lie in this order."""
        first, shape = self.numbers[0, 0], self.numbers.shape
        if (self.numbers.ravel() == first + np.arange(self.numbers.size)).all():
            return rows[:, first : first + self.numbers.size].reshape(len(rows), *shape)
        return rows[:, self.numbers]


def curve_layouts(keys: "pd.DataFrame") -> dict[tuple[str, str, str], CurveLayout]:
    """Return the layout of each arm, replacement and site from the rows of one prompt (``LAYOUT_COLUMNS``).

    Raises:
        RunError: layers differ in their rates.
    """
    found = {}
    for (arm, replacement, site), rows in keys.groupby(NAMES, observed=True, sort=False):
        layers = tuple(int(layer) for layer in np.unique(rows["layer"]))
        numbers = rows.sort_values(["layer", "effective_rate", "rate"]).index.to_numpy().reshape(len(layers), -1)
        doses = keys["effective_rate"].to_numpy()[numbers]
        if not (doses == doses[:1]).all():
            raise RunError("the effects are damaged: layers differ in their rates")
        x, counts = np.unique(doses[0], return_counts=True)
        found[str(arm), str(replacement), str(site)] = CurveLayout(layers, x, counts.astype(np.float64), numbers)
    return found
