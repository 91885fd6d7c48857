"""Attention of a token tree: siblings at the last position share one prefix and each see only themselves besides.

Registered with transformers' ``AttentionInterface``, so that the model's own blocks call it. In the first role it
attends as usual and keeps keys and values; in the second its rows are branches.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import transformers
from jaxtyping import Float
from torch import Tensor, nn
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from ripplestats.errors import EngineError

_NAME = "ripplestats_tree"


class Prefix:
    """Keys and values of the block that is being run: kept on the full pass, shared by the branches."""

    def __init__(self) -> None:
        self.keys: Float[Tensor, "batch heads tokens dim"] | None = None
        self.values: Float[Tensor, "batch heads tokens dim"] | None = None
        self.mask: Float[Tensor, "batch 1 1 tokens"] | None = None
        self.branching = False

    def keep(self, keys: Tensor, values: Tensor, mask: Tensor | None) -> None:
        """Keep a block's keys and values; each branch puts its own in the last token's place."""
        self.keys = keys
        self.values = values.clone()
        self.values[:, :, -1] = 0
        self.mask = None if mask is None else mask[:, :, -1:, :]


_PREFIX: ContextVar[Prefix] = ContextVar("prefix")


@contextmanager
def tree_attention(network: transformers.PreTrainedModel) -> Iterator[Prefix]:
    """Make a network attend through this module while the context is open.

    Raises:
        EngineError: the network computes its attention by code of its own.
    """
    before = network.config._attn_implementation
    prefix = Prefix()
    token = _PREFIX.set(prefix)
    verbosity = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    try:
        network.set_attn_implementation(_NAME)
        if network.config.get_text_config()._attn_implementation != _NAME:
            raise EngineError(f"{type(network).__name__} has an attention of its own that branches cannot share")
        yield prefix
    finally:
        network.set_attn_implementation(before)
        transformers.utils.logging.set_verbosity(verbosity)
        _PREFIX.reset(token)


def _attend(
    module: nn.Module,
    query: Float[Tensor, "rows query_heads tokens dim"],
    key: Float[Tensor, "rows heads tokens dim"],
    value: Float[Tensor, "rows heads tokens value_dim"],
    attention_mask: Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Float[Tensor, "rows tokens query_heads value_dim"], None]:
    prefix = _PREFIX.get()
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if prefix.branching:
        return _branch_attention(query, key, value, prefix, scale, softcap), None
    prefix.keep(key, value, attention_mask)
    if softcap is None:
        mixed = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=attention_mask, scale=scale,
            enable_gqa=query.shape[1] != key.shape[1],
        )  # fmt: skip
        return mixed.transpose(1, 2), None
    groups = query.shape[1] // key.shape[1]
    key, value = (states.repeat_interleave(groups, dim=1) for states in (key, value))
    scores = _capped(query @ key.transpose(-1, -2) * scale, softcap)
    weights = _weights(scores, attention_mask, value.dtype)
    return (weights @ value).transpose(1, 2), None


def _branch_attention(
    query: Tensor, key: Tensor, value: Tensor, prefix: Prefix, scale: float, softcap: float | None
) -> Float[Tensor, "rows 1 query_heads value_dim"]:
    """Attend from rows ordered by branch, then prompt, to the prompt's prefix and to the row itself.

    The branches of a prompt are laid out as queries of one matrix product against its keys, which are not copied.
    """
    assert prefix.keys is not None
    assert prefix.values is not None
    size, heads = prefix.keys.shape[:2]
    rows, query_heads = query.shape[:2]
    branches, groups = rows // size, query_heads // heads

    def by_prompt(states: Tensor) -> Tensor:
        return states.view(branches, size, heads, -1, states.shape[-1]).permute(1, 2, 0, 3, 4)

    queries, own_keys, own_values = by_prompt(query), by_prompt(key), by_prompt(value)
    flat = (size, heads, branches * groups)
    scores = (queries.reshape(*flat, -1) * scale) @ prefix.keys.transpose(-1, -2)
    scores[..., -1] = (queries * own_keys).sum(-1).mul_(scale).reshape(flat)
    weights = _weights(_capped(scores, softcap), prefix.mask, value.dtype)
    mixed = (weights @ prefix.values).view(size, heads, branches, groups, -1)
    mixed = mixed + weights[..., -1].view(size, heads, branches, groups, 1) * own_values
    return mixed.permute(2, 0, 1, 3, 4).reshape(rows, 1, query_heads, -1)


def _capped(scores: Tensor, softcap: float | None) -> Tensor:
    return scores if softcap is None else torch.tanh(scores / softcap) * softcap


def _weights(scores: Tensor, mask: Tensor | None, dtype: torch.dtype) -> Tensor:
    if mask is not None:
        scores = scores + mask
    return scores.softmax(-1, dtype=torch.promote_types(torch.float32, scores.dtype)).to(dtype)


transformers.AttentionInterface.register(_NAME, _attend)
AttentionMaskInterface.register(_NAME, eager_mask)
