"""Recurrences of a token tree: a branch takes one step from the state that the prefix has left.

Adapters of mixers that are not attention, as ``adapters`` has them for attention. The state is kept on the full pass and
shared by all branches of a prompt: what they read from it is one matrix product.
"""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from ripplestats.sweeps.tree_attention import PREFIX


def short_convolution(module: Any, hidden_states: Tensor, **_: Any) -> Tensor:
    """Stand in for ``Lfm2ShortConv.forward``: a gated depthwise convolution over the last few tokens."""
    gate_in, gate_out, inputs = module.in_proj(hidden_states).chunk(3, dim=-1)
    mixed: Tensor = module.out_proj(gate_out * _convolved(gate_in * inputs, module.conv))
    return mixed


def gated_delta_net(module: Any, hidden_states: Tensor, **_: Any) -> Tensor:
    """Stand in for ``Qwen3_5GatedDeltaNet.forward`` (gated delta rule: Yang, Kautz & Hatamizadeh 2025)."""
    from transformers.activations import ACT2FN

    mixed = ACT2FN[module.activation](_convolved(module.in_proj_qkv(hidden_states), module.conv1d))
    query, key, value = mixed.split([module.key_dim, module.key_dim, module.value_dim], dim=-1)
    query, key = (part.unflatten(-1, (-1, module.head_k_dim)) for part in (query, key))
    value = value.unflatten(-1, (-1, module.head_v_dim))
    strength = module.in_proj_b(hidden_states).sigmoid()
    decay = -module.A_log.float().exp() * nn.functional.softplus(
        module.in_proj_a(hidden_states).float() + module.dt_bias
    )
    mixed = _delta_rule(query, key, value, decay, strength).to(hidden_states.dtype)
    gate = module.in_proj_z(hidden_states).reshape(-1, module.head_v_dim)
    mixed = module.norm(mixed.reshape(-1, module.head_v_dim), gate).view(*hidden_states.shape[:2], -1)
    output: Tensor = module.out_proj(mixed)
    return output


def _convolved(
    inputs: Float[Tensor, "rows tokens channels"], convolution: nn.Conv1d
) -> Float[Tensor, "rows tokens channels"]:
    """Convolve each channel causally; what the tokens before the last add to its sum is kept."""
    weight = convolution.weight[:, 0].T
    prefix = PREFIX.get()
    if prefix.branching:
        before: Tensor = prefix.next_kept()
        return ((inputs[:, 0] * weight[-1]).view(-1, *before.shape) + before).view(inputs.shape)
    padded = nn.functional.pad(inputs, (0, 0, len(weight) - 1, 0))
    before = (padded[:, -len(weight) : -1] * weight[:-1]).sum(1)
    prefix.keep(before if convolution.bias is None else before + convolution.bias)
    return nn.functional.conv1d(
        padded.transpose(1, 2), convolution.weight, convolution.bias, groups=inputs.shape[-1]
    ).transpose(1, 2)


def _delta_rule(
    query: Float[Tensor, "rows tokens key_heads dim"],
    key: Float[Tensor, "rows tokens key_heads dim"],
    value: Float[Tensor, "rows tokens heads value_dim"],
    decay: Float[Tensor, "rows tokens heads"],
    strength: Float[Tensor, "rows tokens heads"],
) -> Float[Tensor, "rows tokens heads value_dim"]:
    """Read and write an associative memory S: S ← e^decay S, then S ← S + strength · k (v − kᵀS)ᵀ, and out comes qᵀS."""
    from transformers.models.qwen3_5.modeling_qwen3_5 import l2norm, torch_chunk_gated_delta_rule

    prefix = PREFIX.get()
    if not prefix.branching:
        parts = (query, key, value, decay, strength)
        before = (part[:, :-1] for part in parts)
        prefix.keep(torch_chunk_gated_delta_rule(*before, output_final_state=True, use_qk_l2norm_in_kernel=True)[1])
        mixed: Tensor = torch_chunk_gated_delta_rule(*parts, use_qk_l2norm_in_kernel=True)[0]
        return mixed
    memory = prefix.next_kept()
    repeats = value.shape[2] // key.shape[2]
    query, key = (l2norm(part.float()).repeat_interleave(repeats, dim=2) for part in (query, key))
    query = query * query.shape[-1] ** -0.5
    kept = decay.float().exp().transpose(1, 2)
    read, known = (_read(memory, part) * kept for part in (query, key))
    new = (value.float().squeeze(1) - known) * strength.float().transpose(1, 2)
    return (read + (query * key).sum(-1).transpose(1, 2) * new).unsqueeze(1)


def _read(
    memory: Float[Tensor, "batch heads dim value_dim"], keys: Float[Tensor, "rows 1 heads dim"]
) -> Float[Tensor, "rows heads value_dim"]:
    """Look keys up, rows ordered by branch, then prompt, in their prompt's memory."""
    by_prompt = keys.view(-1, len(memory), *keys.shape[2:]).permute(1, 2, 0, 3)
    return (by_prompt @ memory).permute(2, 0, 1, 3).reshape(len(keys), *memory.shape[1::2])
