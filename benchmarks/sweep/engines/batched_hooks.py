"""The strongest loop that hooks allow: a block's rates as one batch, started from the cached input of that block.

The clean pass keeps what every block was called with. A block's cells are then copies of its input, which go through
this block (hooked) and those above it; those below are not run again, and only the last token is unembedded.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.sweep.engines.cells import CellEngine, Source, replaced


class BatchedHooks(CellEngine):
    """Rates of a block batched, blocks below taken from a cache."""

    together = True

    def __init__(self, source: Source) -> None:
        self.network = source.plain()
        names = source.sites
        self.blocks = list(self.network.get_submodule(names.blocks))
        self.pre = [block.get_submodule(names.pre) for block in self.blocks]
        self.norm = self.network.get_submodule(names.norm)
        self.calls: list[tuple[Tensor, tuple[Any, ...], dict[str, Any]]] = []

    @torch.inference_mode()
    def clean(self, ids: Tensor) -> Tensor:
        """Run the whole model and keep what every block was called with."""
        self.calls = []
        handles = [block.register_forward_pre_hook(self._keep, with_kwargs=True) for block in self.blocks]
        try:
            logits: Tensor = self.network(ids, use_cache=False, logits_to_keep=1).logits
        finally:
            for handle in handles:
                handle.remove()
        return logits[0, -1]

    def _keep(self, _block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.calls.append((args[0], args[1:], kwargs))

    @torch.inference_mode()
    def cells(self, ids: Tensor, layer: int, doses: Sequence[int]) -> Tensor:
        """Run copies of a block's input through it and the blocks above."""

        def edit(_module: object, _args: object, output: Tensor) -> Tensor:
            values = output[0, -1]
            output[:, -1] = torch.stack([replaced(values, k) for k in doses])
            return output

        hidden = self.calls[layer][0].expand(len(doses), -1, -1)
        handle = self.pre[layer].register_forward_hook(edit)
        try:
            for block, (_, rest, options) in zip(self.blocks[layer:], self.calls[layer:], strict=True):
                output = block(hidden, *rest, **options)
                hidden = output[0] if isinstance(output, tuple) else output
        finally:
            handle.remove()
        logits: Tensor = self.network.get_output_embeddings()(self.norm(hidden[:, -1]))
        return logits
