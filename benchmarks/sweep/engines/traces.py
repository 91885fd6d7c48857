"""nnsight as its documentation batches interventions: one trace for each block, one invoke for each rate."""

from collections.abc import Sequence

import nnsight
import torch
from nnsight import TransformersModel
from torch import Tensor

from benchmarks.sweep.engines.cells import CellEngine, Source, replaced


class NnsightTraces(CellEngine):
    """One ``trace`` a block whose invokes, one a rate, run as one batch through the whole model."""

    together = True

    def __init__(self, source: Source) -> None:
        self.model = TransformersModel(
            str(source.folder), task="text-generation", dispatch=True, dtype=source.dtype, device_map=source.device
        )
        names = source.sites
        blocks = _child(self.model, names.blocks)
        self.pre = [_child(block, names.pre) for block in blocks]

    @torch.inference_mode()
    def clean(self, ids: Tensor) -> Tensor:
        """Run the whole model."""
        with self.model.trace(ids):
            logits = self.model.lm_head.output[0, -1].save()
        found: Tensor = logits
        return found

    @torch.inference_mode()
    def cells(self, ids: Tensor, layer: int, doses: Sequence[int]) -> Tensor:
        """Run the whole model, edited at one block."""
        site, head = self.pre[layer], self.model.lm_head
        with self.model.trace() as tracer:
            rows = nnsight.save([])
            for k in doses:
                with tracer.invoke(ids):
                    site.output[:, -1] = replaced(site.output[:, -1], k)
                    rows.append(head.output[0, -1])
        return torch.stack(list(rows))


def _child(envoy: object, path: str) -> object:
    for name in path.split("."):
        envoy = getattr(envoy, name)
    return envoy
