"""Common modules of transformers in fewer passes over memory, on the CPU in float32: the same arithmetic, in place.

Beside matrix products at full speed, what costs is writing an intermediate result that no cache holds and reading it
again. A module is replaced only where its code is the code that was written anew here, statement by statement:
transformers repeats the same functions in many families. All others run as they are: those of another version whose
statements changed, decorated or patched ones, those whose source is not there. The self-check sees either.
"""

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from hashlib import sha256
from textwrap import dedent
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn
from transformers import modeling_layers
from transformers.activations import SiLUActivation

from ripplestats.sweeps.tree_attention import attend

_SILU = (nn.SiLU, SiLUActivation)


@contextmanager
def in_place(network: nn.Module) -> Iterator[None]:
    """Let the modules of a network that are known compute in place while the context is open."""
    with ExitStack() as stack:
        if not network.training and all(_is_plain(weights) for weights in network.parameters()):
            for module in network.modules():
                for part, function in rewritten(module).items():
                    if "forward" not in vars(part):
                        part.forward = MethodType(function, part)
                        stack.callback(delattr, part, "forward")
        yield


def rewritten(module: nn.Module) -> dict[nn.Module, Callable[..., Any]]:
    """Return forward passes that compute the same as those of a module and its parts; none where its code is not known."""
    forward = type(module).forward
    function = _REWRITTEN.get(digest(forward) or "")
    if function is None or (function is _attention and not _rotates_as_known(forward)):
        return {}
    if function is _gated_mlp and type(module.act_fn) in _SILU:
        # What its code hands to its activation function nobody else reads.
        return {module: function, module.get_submodule("act_fn"): _silu}
    return {module: function}


@cache
def digest(function: object) -> str | None:
    """Return what stands for the arguments and statements of a function, or None where they are not all to be seen."""
    while isinstance(function, FunctionType) and function.__globals__ is vars(modeling_layers):
        function = vars(function).get("__wrapped__")  # gradient checkpointing, idle out of training
    if not isinstance(function, FunctionType) or function.__closure__:
        return None
    try:
        # Of the code, not the function: that of a decorated one would be the source of what is inside.
        definition = ast.parse(dedent(inspect.getsource(function.__code__))).body[0]
    except (OSError, SyntaxError):
        return None
    if not isinstance(definition, ast.FunctionDef):
        return None
    return sha256(_bare(definition).encode()).hexdigest()[:16]


def _bare(definition: ast.FunctionDef) -> str:
    """Write a function without name, comments, docstring, annotations, and decorators (which gave it back as it was)."""
    definition.name, definition.decorator_list, definition.returns = "_", [], None
    if ast.get_docstring(definition) is not None:
        del definition.body[0]
    for node in ast.walk(definition):
        if isinstance(node, ast.arg):
            node.annotation = None
    return ast.unparse(definition)


def _rotates_as_known(forward: Any) -> bool:
    return all(digest(forward.__globals__.get(name)) == known for name, known in _ROTATION.items())


def _is_plain(weights: Tensor) -> bool:
    return weights.device.type == "cpu" and weights.dtype == torch.float32


def _gelu(_module: nn.Module, x: Tensor) -> Tensor:
    return nn.functional.gelu(x, approximate="tanh")


def _silu(_module: nn.Module, x: Tensor) -> Tensor:
    return nn.functional.silu(x, inplace=True)


def _rms_norm(module: Any, hidden: Tensor) -> Tensor:
    size = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
    scale = size.square_().div_(hidden.shape[-1]).add_(module.variance_epsilon).rsqrt_()
    normed: Tensor = (hidden * scale).mul_(module.weight)
    return normed


def _gated_mlp(module: Any, x: Tensor) -> Tensor:
    gate: Tensor = module.act_fn(module.gate_proj(x))
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


#: By the digest of a forward pass in transformers 5.23: what computes the same. Where a new version has other statements,
#: its digest is added, once they have been read and the function here is seen to do the same.
_REWRITTEN: Mapping[str, Callable[..., Any]] = {
    "7ec3089c3af43460": _gelu,  # NewGELUActivation
    "715bd3b9e51af215": _rms_norm,  # LlamaRMSNorm
    "f537b0e0fd01cec4": _gated_mlp,  # LlamaMLP
    "f634ba73a07f0b8d": _block,  # LlamaDecoderLayer
    "6885babe3b5ecbed": _attention,  # LlamaAttention
}
#: What that attention calls, by the names it is called by.
_ROTATION: Mapping[str, str] = {"apply_rotary_pos_emb": "f2227f439eb14abd", "rotate_half": "aa8b8b7c22860ecf"}
