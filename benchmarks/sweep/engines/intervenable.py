"""pyvene as its tutorials do it: an ``IntervenableModel`` with a function at one component, called for each cell."""

from collections.abc import Sequence

import pyvene
import torch
from torch import Tensor

from benchmarks.sweep.engines.cells import CellEngine, Source, replaced


class PyveneIntervention(CellEngine):
    """One ``IntervenableModel`` a cell, at the last token, the component named by its path in the model."""

    def __init__(self, source: Source) -> None:
        self.network = source.plain()
        self.names = source.sites

    @torch.inference_mode()
    def clean(self, ids: Tensor) -> Tensor:
        """Run the whole model."""
        logits: Tensor = self.network(ids).logits
        return logits[0, -1]

    @torch.inference_mode()
    def cells(self, ids: Tensor, layer: int, doses: Sequence[int]) -> Tensor:
        """Run the whole model, edited at one block."""
        return torch.stack([self._cell(ids, layer, k) for k in doses])

    def _cell(self, ids: Tensor, layer: int, k: int) -> Tensor:
        def edit(base: Tensor, _source: object) -> Tensor:
            return replaced(base, k)

        component = f"{self.names.blocks}[{layer}].{self.names.pre}.output"
        model = pyvene.IntervenableModel({"component": component, "intervention": edit}, model=self.network)
        _, output = model(base={"input_ids": ids}, unit_locations={"base": ids.shape[1] - 1})
        logits: Tensor = output.logits
        return logits[0, -1]
