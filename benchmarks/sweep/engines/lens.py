"""TransformerLens as its activation patching does it: ``run_with_hooks`` once for each cell, at ``mlp.hook_pre``."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from benchmarks.sweep.engines.cells import CellEngine, Source, replaced


class LensPatching(CellEngine):
    """One ``run_with_hooks`` for each cell (compare ``transformer_lens.patching``)."""

    def __init__(self, source: Source) -> None:
        self.bridge = TransformerBridge.boot_transformers(str(source.folder), device=source.device, dtype=source.dtype)

    @torch.inference_mode()
    def clean(self, ids: Tensor) -> Tensor:
        """Run the whole model."""
        logits: Tensor = self.bridge(ids, return_type="logits")
        return logits[0, -1]

    @torch.inference_mode()
    def cells(self, ids: Tensor, layer: int, doses: Sequence[int]) -> Tensor:
        """Run the whole model, edited at one block."""
        return torch.stack([self._cell(ids, layer, k) for k in doses])

    def _cell(self, ids: Tensor, layer: int, k: int) -> Tensor:
        def edit(values: Tensor, hook: Any) -> Tensor:
            values[:, -1] = replaced(values[:, -1], k)
            return values

        hooks = [(f"blocks.{layer}.mlp.hook_pre", edit)]
        logits: Tensor = self.bridge.run_with_hooks(ids, fwd_hooks=hooks, return_type="logits")
        return logits[0, -1]
