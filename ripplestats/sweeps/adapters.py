"""How a network comes to attend as a token tree: by transformers' interface, or by an adapter of its family.

Families whose attention is code of their own have that part of it exchanged for ``attend`` while a pass goes on. An
adapter is named by the class whose method it stands in for. A family that is neither here nor on the interface is
refused; one that comes out wrong is found by the self-check.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import MethodType
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from ripplestats.errors import EngineError
from ripplestats.sweeps.recurrences import gated_delta_net, short_convolution
from ripplestats.sweeps.tree_attention import PREFIX, TREE_ATTENTION, Prefix, attend


@contextmanager
def tree_attention(network: transformers.PreTrainedModel) -> Iterator[Prefix]:
    """Make a network attend as a token tree while the context is open.

    Raises:
        EngineError: the network computes its attention by code of its own that no adapter knows.
    """
    prefix = Prefix()
    token = PREFIX.set(prefix)
    try:
        with ExitStack() as patches:
            classes = [(module, type(module).__name__) for module in network.modules()]
            if not any(name in ATTENTIONS for _, name in classes):
                patches.enter_context(_implementation(network))
            for module, name in classes:
                if name in ADAPTERS:
                    patches.enter_context(_method(module, *ADAPTERS[name]))
            yield prefix
    finally:
        PREFIX.reset(token)


@contextmanager
def _implementation(network: transformers.PreTrainedModel) -> Iterator[None]:
    before = network.config._attn_implementation
    verbosity = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    try:
        network.set_attn_implementation(TREE_ATTENTION)
        if network.config.get_text_config()._attn_implementation != TREE_ATTENTION:
            raise EngineError(f"{type(network).__name__} has an attention of its own that branches cannot share")
        yield
    finally:
        network.set_attn_implementation(before)
        transformers.utils.logging.set_verbosity(verbosity)


@contextmanager
def _method(module: nn.Module, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """Put a function in the place of a module's method."""
    before = vars(module).get(name)
    setattr(module, name, MethodType(function, module))
    try:
        yield
    finally:
        delattr(module, name)
        if before is not None:
            setattr(module, name, before)


def _gpt_neo(module: Any, query: Tensor, key: Tensor, value: Tensor, _mask: Tensor | None) -> tuple[Tensor, None]:
    """Scores are not scaled; ``bias`` holds the causal mask, in every other block with a window."""
    length = key.shape[-2]
    return _in_float32(query, key, value, module.bias[:, :, :length, :length], 1.0)


def _gptj(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> tuple[Tensor, None]:
    return _in_float32(query, key, value, None if mask is None else mask.float(), 1 / float(module.scale_attn))


def _in_float32(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float) -> tuple[Tensor, None]:
    mixed = attend(query.float(), key.float(), value.float(), mask, scale)
    return mixed.transpose(1, 2).to(value.dtype), None


def _xglm(module: Any, hidden_states: Tensor, attention_mask: Tensor | None = None, **_: Any) -> tuple[Tensor, None]:
    projected = (projection(hidden_states) for projection in (module.q_proj, module.k_proj, module.v_proj))
    query, key, value = (part.unflatten(-1, (module.num_heads, -1)).transpose(1, 2) for part in projected)
    return module.out_proj(attend(query, key, value, attention_mask, module.scaling).flatten(2)), None


def _falcon(
    module: Any,
    hidden_states: Tensor,
    alibi: Tensor | None,
    attention_mask: Tensor | None,
    position_embeddings: tuple[Tensor, Tensor] | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """The model's mask holds the position bias already."""
    from transformers.models.falcon.modeling_falcon import apply_rotary_pos_emb

    query, key, value = (part.transpose(1, 2) for part in module._split_heads(module.query_key_value(hidden_states)))
    repeats = key.shape[1] // module.num_kv_heads
    key, value = key[:, ::repeats], value[:, ::repeats]
    if alibi is None and position_embeddings is not None:
        query, key = apply_rotary_pos_emb(query, key, *position_embeddings)
    mixed = attend(query, key, value, attention_mask, module.inv_norm_factor)
    return module.dense(mixed.flatten(2)), None


def _bloom(
    module: Any, hidden_states: Tensor, residual: Tensor, alibi: Tensor, attention_mask: Tensor | None, **_: Any
) -> tuple[Tensor, None]:
    query, key, value = module._reshape(module.query_key_value(hidden_states))
    bias = alibi[: module.num_heads].unsqueeze(0)
    mixed = attend(query, key, value, _biased(attention_mask, bias), module.inv_norm_factor)
    return residual + module.dense(mixed.flatten(2)), None


def _mpt(
    module: Any, hidden_states: Tensor, position_bias: Tensor, attention_mask: Tensor | None = None, **_: Any
) -> tuple[Tensor, None]:
    mixed = module.Wqkv(hidden_states)
    if module.clip_qkv:
        mixed = mixed.clamp(-module.clip_qkv, module.clip_qkv)
    query, key, value = (part.unflatten(-1, (module.n_heads, -1)).transpose(1, 2) for part in mixed.chunk(3, dim=-1))
    mask = None
    if attention_mask is not None:  # true where a token is hidden
        hidden = torch.zeros_like(attention_mask, dtype=query.dtype).masked_fill_(attention_mask, float("-inf"))
        mask = _biased(hidden, position_bias[None, :, :, -key.shape[-2] :])
    mixed = attend(query, key, value, mask, module.softmax_scale)
    return module.out_proj(mixed.flatten(2)), None


def _biased(mask: Tensor | None, bias: Tensor) -> Tensor | None:
    """Add a position bias to the mask of one prompt, which is every prompt's, for none is padded."""
    return None if mask is None else mask[:1] + bias


#: By the class of an attention that is not on the interface: the method that is replaced, and by what.
ATTENTIONS: Mapping[str, tuple[str, Callable[..., Any]]] = {
    "GPTNeoSelfAttention": ("_attn", _gpt_neo),
    "GPTJAttention": ("_attn", _gptj),
    "CodeGenAttention": ("_attn", _gptj),
    "XGLMAttention": ("forward", _xglm),
    "FalconAttention": ("forward", _falcon),
    "BloomAttention": ("forward", _bloom),
    "MptAttention": ("forward", _mpt),
}

#: The same for mixers that are not attention.
RECURRENCES: Mapping[str, tuple[str, Callable[..., Any]]] = {
    "Lfm2ShortConv": ("forward", short_convolution),
    "Qwen3_5GatedDeltaNet": ("forward", gated_delta_net),
}
ADAPTERS = {**ATTENTIONS, **RECURRENCES}
