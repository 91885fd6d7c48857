"""Where each model family keeps its blocks and its MLP neurons.

``pre`` is the output of the module that feeds the nonlinearity (``c_fc`` of GPT-2, the gate projection of a gated
MLP); ``post`` is the input of the down-projection. A family that is not in the table is found by its structure if that
leaves one answer.

A neuron is one entry of these, in the one MLP that a block applies at every position. What comes before the MLP may be
attention or a recurrence. Blocks without an MLP, and mixtures of experts, where a router picks a few of many MLPs for
each token so that the neurons of a block are not the same from token to token, are refused.
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

    Examples:
        With a small model, of the family GPT-2:

        >>> sites = rs.SiteNames(blocks="transformer.h", pre="mlp.c_fc", post="mlp.c_proj", norm="transformer.ln_f")
        >>> rs.load_model("my-model", sites=sites).n_neurons
        128
    """

    blocks: str
    pre: str
    post: str
    norm: str
    gate_half: bool = False


_GATED = SiteNames("model.layers", "mlp.gate_proj", "mlp.down_proj", "model.norm")
_GATED_FUSED = SiteNames("model.layers", "mlp.gate_up_proj", "mlp.down_proj", "model.norm", gate_half=True)
_UNGATED = SiteNames("model.layers", "mlp.up_proj", "mlp.down_proj", "model.norm")
_GPT2 = SiteNames("transformer.h", "mlp.c_fc", "mlp.c_proj", "transformer.ln_f")
_GPTJ = SiteNames("transformer.h", "mlp.fc_in", "mlp.fc_out", "transformer.ln_f")
_BLOOM = SiteNames("transformer.h", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h", "transformer.ln_f")

#: By ``config.model_type``.
FAMILIES: Mapping[str, SiteNames] = {
    **dict.fromkeys(("gpt2", "gpt_neo", "gpt_bigcode"), _GPT2),
    **dict.fromkeys(("gptj", "codegen"), _GPTJ),
    **dict.fromkeys(("bloom", "falcon"), _BLOOM),
    "gpt_neox": SiteNames(
        "gpt_neox.layers", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h", "gpt_neox.final_layer_norm"
    ),
    "persimmon": SiteNames(
        "model.layers", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h", "model.final_layernorm"
    ),
    "opt": SiteNames("model.decoder.layers", "fc1", "fc2", "model.decoder.final_layer_norm"),
    "xglm": SiteNames("model.layers", "fc1", "fc2", "model.layer_norm"),
    "biogpt": SiteNames("biogpt.layers", "fc1", "fc2", "biogpt.layer_norm"),
    "mpt": SiteNames("transformer.blocks", "ffn.up_proj", "ffn.down_proj", "transformer.norm_f"),
    "phi": SiteNames("model.layers", "mlp.fc1", "mlp.fc2", "model.final_layernorm"),
    "nanochat": SiteNames("model.layers", "mlp.fc1", "mlp.fc2", "model.norm"),
    "starcoder2": SiteNames("model.layers", "mlp.c_fc", "mlp.c_proj", "model.norm"),
    **dict.fromkeys(("phi3", "glm", "glm4"), _GATED_FUSED),
    **dict.fromkeys(("nemotron", "apertus", "arcee", "jais2"), _UNGATED),
    "gemma3": SiteNames(
        "model.language_model.layers", "mlp.gate_proj", "mlp.down_proj", "model.language_model.norm"
    ),
    **dict.fromkeys(
        (
            "llama", "mistral", "ministral", "ministral3", "qwen2", "qwen3", "qwen3_5_text", "gemma", "gemma2",
            "gemma3_text", "gemma4_text", "vaultgemma", "olmo", "olmo2", "olmo3", "stablelm", "granite", "granite_swa",
            "smollm3", "cohere", "cohere2", "helium", "hunyuan_v1_dense", "seed_oss", "exaone4", "ernie4_5",
            "diffllama", "youtu", "minicpm3", "internlm3", "hyperclovax", "cwm",
        ),
        _GATED,
    ),
    "lfm2": SiteNames("model.layers", "feed_forward.w1", "feed_forward.w2", "model.embedding_norm"),
    "recurrent_gemma": SiteNames(
        "model.layers", "mlp_block.gate_proj", "mlp_block.down_proj", "model.final_norm"
    ),
    "falcon_h1": SiteNames(
        "model.layers", "feed_forward.gate_proj", "feed_forward.down_proj", "model.final_layernorm"
    ),
    "granitemoehybrid": SiteNames(
        "model.layers", "shared_mlp.input_linear", "shared_mlp.output_linear", "model.norm", gate_half=True
    ),
}  # fmt: skip

#: Families whose blocks do not all have an MLP, by ``config.model_type``, and what their blocks are.
WITHOUT_MLP: Mapping[str, str] = {
    **dict.fromkeys(("mamba", "mamba2", "falcon_mamba"), "state-space mixers without an MLP"),
    **dict.fromkeys(("nemotron_h", "zamba", "zamba2"), "mixers and MLPs in turn, not one MLP each"),
}

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
        ModelError: the names do not fit the network, its blocks do not have one MLP each, or its structure leaves more
            than one answer.
    """
    model_type = str(getattr(network.config, "model_type", ""))
    if names is None:
        _check_one_mlp(network, model_type)
    names = names or FAMILIES.get(model_type) or _by_structure(network, model_type)
    try:
        blocks = tuple(network.get_submodule(names.blocks).children())
        pre = tuple(block.get_submodule(names.pre) for block in blocks)
        post = tuple(block.get_submodule(names.post) for block in blocks)
        norm = _final_norm(network, names.norm)
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


def _check_one_mlp(network: "nn.Module", model_type: str) -> None:
    mixers = WITHOUT_MLP.get(model_type)
    if mixers is not None:
        raise ModelError(
            f"a {model_type} model cannot be swept: its blocks are {mixers}; allowed: models with one MLP in every "
            "block, for it is the MLP's neurons that are replaced"
        )
    for path, module in network.named_modules():
        if "expert" in path.rpartition(".")[2].lower() or "expert" in type(module).__name__.lower():
            raise ModelError(
                f"a {model_type} model cannot be swept: it is a mixture of experts ({path}), whose router picks a few "
                "of many MLPs for each token, so that a block has no one set of neurons; allowed: models with one MLP "
                "in every block, or an expert that every token passes through, named by --neuron-modules"
            )


def _final_norm(network: "nn.Module", path: str) -> "nn.Module":
    """Return the norm after the last block, or nothing's place holder where a model does without (OPT 350m)."""
    from torch import nn

    parent, _, name = path.rpartition(".")
    if getattr(network.get_submodule(parent), name, network) is None:
        return nn.Identity()
    return network.get_submodule(path)


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
