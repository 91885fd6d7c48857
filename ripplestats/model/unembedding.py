"""The residual stream of the last block → logits, outside the model's own forward pass."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor, nn

from ripplestats.errors import EngineError
from ripplestats.model.packed import packed_product

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ripplestats.model.sites import Layout


@dataclass(frozen=True)
class Unembedding:
    """Final norm, unembedding matrix, and what some families do to the logits after it."""

    norm: nn.Module
    head: nn.Linear
    project: nn.Module | None = None
    divisor: float = 1.0
    softcap: float | None = None

    def hidden(self, residual: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch embedding"]:
        """Return what the unembedding matrix is applied to."""
        hidden: Tensor = self.norm(residual)
        hidden = hidden if self.project is None else self.project(hidden)
        return hidden.to(self.head.weight.device)

    def logits(
        self, hidden: Float[Tensor, "*batch embedding"], tokens: slice | Tensor = slice(None)
    ) -> Float[Tensor, "*batch vocabulary"]:
        """Return the logits of some tokens of the vocabulary, by default of all, in the number format of ``hidden``."""
        bias = None if self.head.bias is None else self.head.bias[tokens].to(hidden.dtype)
        logits = nn.functional.linear(hidden, self.head.weight[tokens].to(hidden.dtype), bias)
        if self.divisor != 1.0:
            logits = logits / self.divisor
        if self.softcap is not None:
            logits = (logits / self.softcap).tanh() * self.softcap
        return logits

    def change(
        self, hidden: Float[Tensor, "batch embedding"], tokens: slice
    ) -> Callable[[Float[Tensor, "branches batch embedding"]], Float[Tensor, "branches batch vocabulary"]]:
        """Return the map from what is added to ``hidden`` to the change of the logits of some tokens, for many calls."""
        if self.softcap is not None:
            clean = self.logits(hidden, tokens)
            return lambda difference: self.logits(hidden + difference, tokens) - clean
        multiply = packed_product(self.head.weight[tokens].to(hidden.dtype), None)
        return multiply if self.divisor == 1.0 else lambda difference: multiply(difference).div_(self.divisor)


def find_unembedding(network: "PreTrainedModel", layout: "Layout") -> Unembedding:
    """Collect a network's way from its last block to its logits (the self-check tells whether it is all of it).

    Raises:
        EngineError: the unembedding is not a single matrix.
    """
    config = network.config.get_text_config()
    head = network.get_output_embeddings()
    if not isinstance(head, nn.Linear):
        raise EngineError(f"the unembedding of {type(network).__name__} is not one matrix")
    base = network.get_submodule(layout.names.norm.rpartition(".")[0])
    scale = getattr(config, "logit_scale", None)  # Cohere multiplies, Granite divides
    divisor = getattr(config, "logits_scaling", None) or (1 / scale if isinstance(scale, float) else 1.0)
    return Unembedding(
        norm=layout.norm,
        head=head,
        project=getattr(base, "project_out", None),
        divisor=float(divisor),
        softcap=getattr(config, "final_logit_softcapping", None),
    )
