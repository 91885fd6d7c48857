"""Attention of a token tree: siblings at the last position share one prefix and each see only themselves besides.

In the first role it attends as usual and keeps keys and values; in the second its rows are branches. Most families call
it through transformers' ``AttentionInterface``, the others through ``adapters``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from jaxtyping import Float
from torch import Tensor, nn
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from ripplestats.errors import EngineError

#: What the attention is called in the configuration of a network.
TREE_ATTENTION = "ripplestats_tree"


@dataclass(frozen=True)
class _Kept:
    """What an attention keeps of the prompts; each branch puts its own in the last token's place."""

    scaled_keys: Float[Tensor, "batch heads tokens dim"]
    values: Float[Tensor, "batch heads tokens value_dim"]
    mask: Float[Tensor, "#batch #heads 1 #groups tokens"] | None


class Prefix:
    """What the block that is being run knows of the tokens before the last: kept on the full pass, shared by branches."""

    def __init__(self) -> None:
        self._kept: list[Any] = []
        self._turn = 0
        self.branching = False

    @contextmanager
    def shared_with_branches(self, block: nn.Module) -> Iterator[None]:
        """Let branches attend to what a block has kept on the full pass, and forget it afterwards.

        Raises:
            EngineError: the block has kept nothing.
        """
        if not self._kept:
            raise EngineError(f"the attention of {type(block).__name__} is not reached by branches")
        self.branching = True
        try:
            yield
        finally:
            self.branching = False
            self._kept.clear()
            self._turn = 0

    def keep(self, state: Any) -> None:
        """Keep what the next of the block's attentions, or recurrences, knows of the prompts."""
        self._kept.append(state)

    def next_kept(self) -> Any:
        """Return what the one whose turn it is has kept: a block may attend more than once (DiffLlama)."""
        if self._turn == len(self._kept):
            self._turn = 0
        self._turn += 1
        return self._kept[self._turn - 1]


#: The prefix of the pass that is going on.
PREFIX: ContextVar[Prefix] = ContextVar("prefix")


def attend(
    query: Float[Tensor, "rows query_heads tokens dim"],
    key: Float[Tensor, "rows heads tokens dim"],
    value: Float[Tensor, "rows heads tokens value_dim"],
    mask: Tensor | None,
    scale: float,
    softcap: float | None = None,
    sinks: Float[Tensor, " query_heads"] | None = None,
) -> Float[Tensor, "rows tokens query_heads value_dim"]:
    """Attend as the role of the moment asks: from all tokens of prompts, or from the last tokens of branches.

    Args:
        query: rotated, not scaled.
        key: as many heads as the query's, or one for each group of them.
        value: beside the keys.
        mask: of shape (1 or rows, 1 or query_heads, tokens, tokens), true where a token is seen or what is added to its
            score, or None for a causal mask; branches take the prompts' and pass none.
        scale: of the scores.
        softcap: scores go through ``softcap · tanh(score / softcap)``.
        sinks: a score of each head that takes weight and gives no value.
    """
    prefix = PREFIX.get()
    if prefix.branching:
        return _branch_attention(query, key, value, prefix.next_kept(), scale, softcap, sinks)
    prefix.keep(_kept(key * scale, value, mask))
    if softcap is None and sinks is None:
        mixed = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=mask is None, scale=scale,
            enable_gqa=query.shape[1] != key.shape[1],
        )  # fmt: skip
        return mixed.transpose(1, 2)
    groups = query.shape[1] // key.shape[1]
    key, value = (states.repeat_interleave(groups, dim=1) for states in (key, value))
    if mask is None:
        mask = torch.ones(query.shape[2], query.shape[2], dtype=torch.bool, device=query.device).tril()
    sinks = None if sinks is None else sinks.view(1, -1, 1, 1)
    weights = _all_weights(query @ key.transpose(-1, -2) * scale, additive(mask, query.dtype), softcap, sinks)
    return (weights.to(value.dtype) @ value).transpose(1, 2)


def additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what a mask adds to the scores."""
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, torch.finfo(dtype).min)


def _kept(keys: Tensor, values: Tensor, mask: Tensor | None) -> _Kept:
    values = values.clone()
    values[:, :, -1] = 0
    if mask is None:
        return _Kept(keys, values, None)
    last = additive(mask[:, :, -1], keys.dtype)
    heads = min(last.shape[1], keys.shape[1])
    return _Kept(keys, values, last.unflatten(1, (heads, -1))[:, :, None])


def _branch_attention(
    query: Tensor, key: Tensor, value: Tensor, kept: _Kept, scale: float, softcap: float | None, sinks: Tensor | None
) -> Float[Tensor, "rows 1 query_heads value_dim"]:
    """Attend from rows ordered by branch, then prompt, to the prompt's prefix and to the row itself.

    The branches of a prompt are laid out as queries of one matrix product against its keys, which are not copied.
    """
    size, heads = kept.scaled_keys.shape[:2]
    rows, query_heads = query.shape[:2]
    branches, groups = rows // size, query_heads // heads

    def by_prompt(states: Tensor) -> Tensor:
        return states.view(branches, size, heads, -1, states.shape[-1]).permute(1, 2, 0, 3, 4)

    queries, own_keys, own_values = by_prompt(query), by_prompt(key), by_prompt(value)
    flat, deep = (size, heads, branches * groups), (size, heads, branches, groups)
    scores = queries.reshape(*flat, -1) @ kept.scaled_keys.transpose(-1, -2)
    scores[..., -1] = (queries * own_keys).sum(-1).mul_(scale).reshape(flat)
    sinks = None if sinks is None else sinks.view(1, heads, 1, groups, 1)
    weights = _all_weights(scores.view(*deep, -1), kept.mask, softcap, sinks).to(value.dtype)
    mixed = (weights.reshape(*flat, -1) @ kept.values).view(*deep, -1)
    mixed = torch.addcmul(mixed, weights[..., -1:], own_values)
    return mixed.permute(2, 0, 1, 3, 4).reshape(rows, 1, query_heads, -1)


def _all_weights(scores: Tensor, mask: Tensor | None, softcap: float | None, sinks: Tensor | None) -> Tensor:
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    dtype = scores.dtype
    if sinks is None:
        return _weights(scores, mask, dtype)
    scores = torch.cat([scores, sinks.to(dtype).expand(*scores.shape[:-1], 1)], dim=-1)
    mask = None if mask is None else nn.functional.pad(mask, (0, 1))
    return _weights(scores, mask, dtype)[..., :-1]


def _weights(scores: Tensor, mask: Tensor | None, dtype: torch.dtype) -> Tensor:
    if mask is not None:
        scores = scores + mask
    return scores.softmax(-1, dtype=torch.promote_types(torch.float32, scores.dtype)).to(dtype)


def _interface(
    _module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return attend(query, key, value, attention_mask, scale, softcap, s_aux), None


transformers.AttentionInterface.register(TREE_ATTENTION, _interface)
AttentionMaskInterface.register(TREE_ATTENTION, sdpa_mask)
