"""The research note's loop: for each cell one forward pass of the whole model, with a hook on one block."""

from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks.sweep.engines.cells import CellEngine, Source, replaced


class ResearchNoteLoop(CellEngine):
    """One hooked forward pass for each cell, batch of one, logits of all tokens, as the note's notebook does it."""

    def __init__(self, source: Source) -> None:
        self.network = source.plain()
        names = source.sites
        blocks = self.network.get_submodule(names.blocks)
        self.pre = [block.get_submodule(names.pre) for block in blocks]

    @torch.no_grad()
    def clean(self, ids: Tensor) -> Tensor:
        """Run the whole model."""
        logits: Tensor = self.network(ids).logits
        return logits[0, -1]

    @torch.no_grad()
    def cells(self, ids: Tensor, layer: int, doses: Sequence[int]) -> Tensor:
        """Run the whole model, edited at one block."""
        return torch.stack([self._cell(ids, layer, k) for k in doses])

    def _cell(self, ids: Tensor, layer: int, k: int) -> Tensor:
        def edit(_module: object, _args: object, output: Tensor) -> Tensor:
            output[:, -1] = replaced(output[:, -1], k)
            return output

        handle = self.pre[layer].register_forward_hook(edit)
        try:
            logits: Tensor = self.network(ids).logits
        finally:
            handle.remove()
        return logits[0, -1]
