"""Where each model family keeps its blocks and its MLP neurons.

``pre`` is the output of the module that feeds the nonlinearity (``c_fc`` of GPT-2, the gate projection of a gated
MLP); ``post`` is the input of the down-projection. A family that is not in the table is found by its structure if that
leaves one answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ripplestats.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

Site = Literal["pre", "post"]
SITES: tuple[Site, ...] = ("pre", "post")


@dataclass(frozen=True)
class SiteNames:
    """Module names of one family: ``blocks`` and ``norm`` from the network, ``pre`` and ``post`` from a block.

    ``gate_half`` says that ``pre`` puts out gate and up projection side by side, the gate first (Phi-3).
    """

    blocks: str
    pre: str
    post: str
    norm: str
    gate_half: bool = False


_GATED = SiteNames("model.layers", "mlp.gate_proj", "mlp.down_proj", "model.norm")
_GPT2 = SiteNames("transformer.h", "mlp.c_fc", "mlp.c_proj", "transformer.ln_f")
_GPTJ = SiteNames("transformer.h", "mlp.fc_in", "mlp.fc_out", "transformer.ln_f")
_BLOOM = SiteNames("transformer.h", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h", "transformer.ln_f")

#: By ``config.model_type``.
FAMILIES: Mapping[str, SiteNames] = {
    "gpt2": _GPT2,
    "gpt_neo": _GPT2,
    "gptj": _GPTJ,
    "codegen": _GPTJ,
    "gpt_neox": SiteNames(
        "gpt_neox.layers", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h", "gpt_neox.final_layer_norm"
    ),
    "opt": SiteNames("model.decoder.layers", "fc1", "fc2", "model.decoder.final_layer_norm"),
    "bloom": _BLOOM,
    "falcon": _BLOOM,
    "mpt": SiteNames("transformer.blocks", "ffn.up_proj", "ffn.down_proj", "transformer.norm_f"),
    "phi": SiteNames("model.layers", "mlp.fc1", "mlp.fc2", "model.final_layernorm"),
    "phi3": SiteNames("model.layers", "mlp.gate_up_proj", "mlp.down_proj", "model.norm", gate_half=True),
    "starcoder2": SiteNames("model.layers", "mlp.c_fc", "mlp.c_proj", "model.norm"),
    "gemma3": SiteNames(
        "model.language_model.layers", "mlp.gate_proj", "mlp.down_proj", "model.language_model.norm"
    ),
    **dict.fromkeys(
        (
            "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "olmo2", "olmo", "stablelm",
            "granite", "smollm3", "ministral",
        ),
        _GATED,
    ),
}  # fmt: skip

_WIDTHS = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "d_ff")


@dataclass(frozen=True)
class Layout:
    """The modules of a loaded network that the sweep touches."""

    blocks: tuple["nn.Module", ...]
    pre: tuple["nn.Module", ...]
    post: tuple["nn.Module", ...]
    norm: "nn.Module"
    n_neurons: int
    names: SiteNames


def find_layout(network: "nn.Module", names: SiteNames | None = None) -> Layout:
    """Find a network's blocks and neuron sites.

    Args:
        network: a transformers causal language model.
        names: the module names, where the caller knows better than the table.

    Raises:
        ModelError: the names do not fit the network, or its structure leaves more than one answer.
    """
    model_type = str(getattr(network.config, "model_type", ""))
    names = names or FAMILIES.get(model_type) or _by_structure(network, model_type)
    try:
        blocks = tuple(network.get_submodule(names.blocks).children())
        pre = tuple(block.get_submodule(names.pre) for block in blocks)
        post = tuple(block.get_submodule(names.post) for block in blocks)
        norm = network.get_submodule(names.norm)
    except AttributeError as error:
        raise _unknown(model_type, str(error)) from error
    widths = {_in_features(module) for module in post}
    if len(widths) != 1:
        raise _unknown(model_type, f"its blocks have different numbers of neurons: {sorted(widths)}")
    return Layout(blocks, pre, post, norm, widths.pop(), names)


def parse_site_names(text: str) -> SiteNames:
    """Read ``blocks=model.layers,pre=mlp.gate_proj,post=mlp.down_proj,norm=model.norm``.

    Raises:
        ModelError: a part is missing or has another name.
    """
    pairs = [part.partition("=") for part in text.split(",")]
    parts = {name.strip(): path.strip() for name, _, path in pairs}
    if len(pairs) != 4 or set(parts) != {"blocks", "pre", "post", "norm"} or not all(parts.values()):
        raise ModelError(
            f"--neuron-modules {text!r} must name blocks=…,pre=…,post=…,norm=… (dotted module names, each once)"
        )
    return SiteNames(parts["blocks"], parts["pre"], parts["post"], parts["norm"])


def _by_structure(network: "nn.Module", model_type: str) -> SiteNames:
    from torch import nn

    config: Any = network.config
    depth = getattr(config, "num_hidden_layers", None)
    lists = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == depth and len({type(m) for m in module}) == 1
    ]
    if len(lists) != 1:
        raise _unknown(model_type, f"{len(lists)} lists of {depth} blocks were found")
    name, blocks = lists[0]
    hidden = config.hidden_size
    width = next((getattr(config, key) for key in _WIDTHS if getattr(config, key, None)), 4 * hidden)
    shapes = {
        path: (_in_features(module), _out_features(module))
        for path, module in blocks[0].named_modules()
        if hasattr(module, "weight") and getattr(module.weight, "ndim", 0) == 2 and "att" not in path.lower()
    }
    post = [path for path, shape in shapes.items() if shape == (width, hidden)]
    pre = [path for path, shape in shapes.items() if shape == (hidden, width)]
    pre = [path for path in pre if "gate" in path] if len(pre) > 1 else pre
    fused = [path for path, shape in shapes.items() if shape == (hidden, 2 * width) and "gate" in path]
    pre = pre or fused
    parent = network.get_submodule(name.rpartition(".")[0])
    norms = [path for path, module in parent.named_children() if "norm" in type(module).__name__.lower()]
    if not (len(pre) == len(post) == len(norms) == 1):
        raise _unknown(model_type, f"candidates: pre {pre}, post {post}, norm {norms}")
    prefix = name.rpartition(".")[0]
    return SiteNames(name, pre[0], post[0], f"{prefix}.{norms[0]}" if prefix else norms[0], gate_half=pre == fused)


def _in_features(module: Any) -> int:
    # transformers' Conv1D (GPT-2) keeps its weight as (in, out), and has no in_features.
    return int(getattr(module, "in_features", None) or module.weight.shape[0])


def _out_features(module: Any) -> int:
    return int(getattr(module, "out_features", None) or module.weight.shape[-1])


def _unknown(model_type: str, why: str) -> ModelError:
    return ModelError(
        f"the neuron sites of a {model_type or 'nameless'} model are not clear ({why}); name its modules with "
        "--neuron-modules blocks=model.layers,pre=mlp.gate_proj,post=mlp.down_proj,norm=model.norm"
    )
