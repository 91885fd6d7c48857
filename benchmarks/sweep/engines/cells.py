"""What every peer shares: the interface, the replacement, and a plain model folder loaded as transformers does it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from ripplestats.model.sites import FAMILIES, SiteNames


@dataclass(frozen=True)
class Source:
    """A local model folder, and where and in which number format to put it."""

    folder: Path
    device: str
    dtype: torch.dtype

    @property
    def sites(self) -> SiteNames:
        """Names of the modules that matter."""
        config = transformers.AutoConfig.from_pretrained(self.folder, local_files_only=True)
        return FAMILIES[config.model_type]

    def plain(self) -> Any:
        """Load the model as it comes, with transformers' own attention."""
        network = transformers.AutoModelForCausalLM.from_pretrained(
            self.folder, dtype=self.dtype, local_files_only=True
        )
        return network.to(self.device).eval().requires_grad_(False)


class CellEngine(ABC):
    """An engine that runs cells (block × rate) of one prompt; ``together`` says that a block's rates go as one batch."""

    together = False

    @abstractmethod
    def __init__(self, source: Source) -> None:
        """Load the model."""

    @abstractmethod
    def clean(self, ids: Tensor) -> Tensor:
        """Return the unmodified logits after the last token, (vocabulary,), and keep what later cells need.

        Args:
            ids: one prompt, (1, tokens), on the device.
        """

    @abstractmethod
    def cells(self, ids: Tensor, layer: int, doses: Sequence[int]) -> Tensor:
        """Return the logits after the last token of some cells of a block, (doses, vocabulary)."""


def replaced(values: Tensor, k: int) -> Tensor:
    """Return neuron values with the ``k`` largest of each row put at the row's lower median."""
    median = values.median(dim=-1, keepdim=True).values
    largest = values.topk(k, dim=-1).indices
    return values.scatter(-1, largest, median.expand_as(largest))
