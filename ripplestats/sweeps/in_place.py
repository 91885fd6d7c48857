"""Common modules of transformers in fewer passes over memory, on the CPU in float32: the same arithmetic, in place.

Beside matrix products at full speed, what costs is writing an intermediate result that no cache holds and reading it
again. A module is replaced only where its code is, instruction by instruction, the code that was written anew here:
transformers repeats the same functions in many families. All others run as they are, and the self-check sees either.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from inspect import unwrap
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn
from transformers.activations import NewGELUActivation, SiLUActivation
from transformers.models.llama import modeling_llama as llama

from ripplestats.sweeps.tree_attention import attend

_SILU = (nn.SiLU, SiLUActivation)


@contextmanager
def in_place(network: nn.Module) -> Iterator[None]:
    """Let the modules of a network that are known compute in place while the context is open."""
    with ExitStack() as stack:
        weights = next(network.parameters())
        if weights.device.type == "cpu" and weights.dtype == torch.float32:
            for module in network.modules():
                function = _known(module)
                if function is not None and "forward" not in vars(module):
                    module.forward = MethodType(function, module)
                    stack.callback(delattr, module, "forward")
        yield


def _known(module: nn.Module) -> Callable[..., Any] | None:
    """Return what computes the same as a module's forward pass, or None where its code is not known."""
    if type(module) is NewGELUActivation:
        return _gelu
    forward = type(module).forward
    if _same_code(forward, llama.LlamaRMSNorm.forward):
        return _rms_norm
    if _same_code(forward, llama.LlamaMLP.forward) and type(module.act_fn) in _SILU:
        return _gated_mlp
    if _same_code(forward, llama.LlamaDecoderLayer.forward):
        return _block
    if _same_code(forward, llama.LlamaAttention.forward) and all(
        _same_code(forward.__globals__.get(name), vars(llama)[name]) for name in ("apply_rotary_pos_emb", "rotate_half")
    ):
        return _attention
    return None


@cache
def _same_code(one: object, other: object) -> bool:
    """Tell whether two functions have the same instructions, on the same names and constants."""
    one, other = (unwrap(each) if callable(each) else each for each in (one, other))
    if not (isinstance(one, FunctionType) and isinstance(other, FunctionType)):
        return False
    mine, theirs = map(_instructions, (one, other))
    return mine == theirs


def _instructions(function: FunctionType) -> tuple[object, ...]:
    code = function.__code__
    constants = tuple(one for one in code.co_consts if one != function.__doc__)
    return code.co_code, code.co_names, code.co_varnames, constants


def _gelu(_module: nn.Module, x: Tensor) -> Tensor:
    return nn.functional.gelu(x, approximate="tanh")


def _rms_norm(module: Any, hidden: Tensor) -> Tensor:
    size = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
    scale = size.square_().div_(hidden.shape[-1]).add_(module.variance_epsilon).rsqrt_()
    normed: Tensor = (hidden * scale).mul_(module.weight)
    return normed


def _gated_mlp(module: Any, x: Tensor) -> Tensor:
    gate: Tensor = nn.functional.silu(module.gate_proj(x), inplace=True)
    down: Tensor = module.down_proj(gate.mul_(module.up_proj(x)))
    return down


def _block(module: Any, hidden_states: Tensor, attention_mask: Tensor | None = None, **kwargs: Any) -> Tensor:
    """The residual stream that comes in is not written to."""
    mixed: Tensor = module.self_attn(
        hidden_states=module.input_layernorm(hidden_states), attention_mask=attention_mask, **kwargs
    )[0]
    # What a module gives out may be seen by a hook, or be a view: the first sum is a tensor of its own.
    hidden = mixed + hidden_states
    hidden += module.mlp(module.post_attention_layernorm(hidden))
    return hidden


def _attention(
    module: Any,
    hidden_states: Tensor,
    position_embeddings: tuple[Tensor, Tensor],
    attention_mask: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    def heads(states: Tensor) -> Tensor:
        split: Tensor = states.unflatten(-1, (-1, module.head_dim)).transpose(1, 2)
        return split

    query, key, value = (heads(one(hidden_states)) for one in (module.q_proj, module.k_proj, module.v_proj))
    cos, sin = (part.unsqueeze(1) for part in position_embeddings)
    mixed = attend(_rotated(query, cos, sin), _rotated(key, cos, sin), value, attention_mask, module.scaling)
    return module.o_proj(mixed.flatten(2)), None


def _rotated(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = states.shape[-1] // 2
    rotated = states * cos
    rotated[..., :half].addcmul_(states[..., half:], sin[..., :half], value=-1)
    rotated[..., half:].addcmul_(states[..., :half], sin[..., half:])
    return rotated
