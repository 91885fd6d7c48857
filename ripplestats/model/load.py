"""A model's name → a loaded causal language model.

Whatever the source (embedded, hub, local folder) the weights end up in a folder of safetensors files, which is read
without remote code and without pickle.
"""

import copy
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ripplestats.config import DTYPES
from ripplestats.errors import ModelError, first_line, is_out_of_memory
from ripplestats.model.embedded import FALLBACK_MODEL
from ripplestats.model.folder import model_folder, weights_digest
from ripplestats.model.placement import (
    DeviceMap,
    check_device_map,
    check_whole_blocks,
    input_device,
    is_dispatched,
    placement,
)
from ripplestats.model.sites import Layout, SiteNames, find_layout

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")


@dataclass(frozen=True)
class Model:
    """A causal language model, its tokenizer, and where both came from.

    Examples:
        With a folder of a small model:

        >>> model = rs.load_model("my-model")
        >>> model.n_layers, model.n_neurons, model.max_context
        (3, 128, 64)
    """

    network: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    layout: Layout
    requested: str
    used: str
    revision: str
    weights_sha256: str
    fallback: str = ""
    folder: Path | None = None
    device_map: DeviceMap | None = None

    @property
    def blocks(self) -> tuple["nn.Module", ...]:
        """The transformer blocks, first to last."""
        return self.layout.blocks

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return len(self.layout.blocks)

    @property
    def n_neurons(self) -> int:
        """Number of MLP neurons of a block."""
        return self.layout.n_neurons

    @property
    def device(self) -> "torch.device":
        """Where prompts go in and logits come out; all weights are there, unless the model is spread out."""
        return input_device(self.network)

    @property
    def placement(self) -> str:
        """Where the weights are, in words."""
        return placement(self.network)

    @property
    def shareable(self) -> bool:
        """Whether several copies of its modules can work at a time over the same weights."""
        return self.device.type == "cpu" and not is_dispatched(self.network)

    @property
    def dtype(self) -> str:
        """Number format of the weights, such as ``float32``."""
        return str(next(self.network.parameters()).dtype).removeprefix("torch.")

    @property
    def max_context(self) -> int | None:
        """The longest context the model has positions for, or None where it says nothing."""
        config = self.network.config.get_text_config()
        length = getattr(config, "max_position_embeddings", None)
        return int(length) if length else None


def load_model(
    name: str = FALLBACK_MODEL,
    *,
    device: str = "auto",
    device_map: DeviceMap | None = None,
    dtype: str = "float32",
    revision: str | None = None,
    fallback: bool = True,
    sites: SiteNames | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Model:
    """Load a causal language model for the sweep.

    Args:
        name: an embedded model, a local folder, or a hub name.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        device_map: in place of ``device``, for a model that is too large for one: ``auto`` (or ``balanced``,
            ``balanced_low_0``, ``sequential``) lays its blocks out over the GPUs, then main memory, then the disk; a
            mapping, or its JSON, gives the device of each module (a number of a GPU, ``cpu``, ``disk``).
        dtype: one of ``float32``, ``float64``, ``bfloat16``, ``float16``.
        revision: commit, tag or branch of a hub model.
        fallback: whether the embedded model may take the place of a hub model that cannot be reached.
        sites: module names, for a family that is not known.
        say: is told in one line of each step that takes long.

    Raises:
        ModelError: the model does not exist, has no safetensors weights or no fast tokenizer, its layout is unknown, or the
            device map does not fit it.
        HubError: the hub cannot be reached and ``fallback`` is off.

    Examples:
        With a folder of a small model:

        >>> model = rs.load_model("my-model")
        >>> model.n_layers, model.n_neurons
        (3, 128)
    """
    if dtype not in DTYPES:
        raise ModelError(f"--dtype {dtype!r} is not known; allowed: {', '.join(DTYPES)}")
    device_map = check_device_map(device_map, device)
    folder, used, commit, why = model_folder(name, revision, fallback, say)
    with ThreadPoolExecutor(1) as beside:
        digest = beside.submit(weights_digest, folder)
        network = _network(folder, used, dtype, device_map)
        if device_map is None:
            network = network.to(_device(device))
    tokenizer = _tokenizer(folder, used)
    rows = network.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise ModelError(f"the tokenizer of --model {used!r} knows {len(tokenizer)} tokens, the model only {rows}")
    layout = find_layout(network, sites)
    check_whole_blocks(network, layout)
    return Model(network, tokenizer, layout, name, used, commit, digest.result(), why, folder, device_map)


def reference_model(model: Model, dtype: str = "float32") -> Model:
    """Return the same model with its weights in another number format, on the same device, or by the same device map.

    They are read again from the model's folder, so that what is rounded in ``model`` is not in the reference; a model
    that has none is copied. Where the device has no room for both, the reference stays in main memory. It needs 4 bytes
    a parameter (8 in float64) beside the model.
    """
    import torch

    if model.folder is None:
        network = copy.deepcopy(model.network).to(getattr(torch, dtype))
    else:
        network = _network(model.folder, model.used, dtype, model.device_map)
    if not is_dispatched(network):
        try:
            network = network.to(model.device)
        except torch.OutOfMemoryError:
            network = network.to("cpu")
    return replace(model, network=network, layout=find_layout(network, model.layout.names))


def _network(folder: Path, used: str, dtype: str, device_map: DeviceMap | None) -> Any:
    if not any(folder.glob("*.safetensors")):
        raise ModelError(f"--model {used!r} has no .safetensors weights (pickled weights are not read)")
    import safetensors
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    # What it warns of, weights that were offloaded, is said by the model's placement.
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    options = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **options)
        # The fast attention kernels leave out the soft cap of attention scores (Gemma 2).
        capped = getattr(config.get_text_config(), "attn_logit_softcapping", None)
        read: Any = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), use_safetensors=True, output_loading_info=True,
            attn_implementation="eager" if capped else None, device_map=device_map, **options,
        )  # fmt: skip
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, ImportError, safetensors.SafetensorError) as error:
        if is_out_of_memory(error):
            raise
        line = first_line(error)
        raise ModelError(f"--model {used!r} cannot be loaded as a causal language model: {line}") from error
    network, report = read
    if report["missing_keys"]:
        missing = ", ".join(sorted(report["missing_keys"])[:3])
        raise ModelError(
            f"--model {used!r} cannot be loaded: {len(report['missing_keys'])} weights are missing ({missing})"
        )
    return network.eval().requires_grad_(False)


def _tokenizer(folder: Path, used: str) -> Any:
    import transformers

    if not any((folder / name).exists() for name in _VOCABULARIES):
        raise ModelError(f"--model {used!r} has no usable tokenizer; a tokenizer.json is needed")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"--model {used!r} has no usable tokenizer; a tokenizer.json is needed") from error
    if not tokenizer.is_fast:
        raise ModelError(f"--model {used!r} has no fast tokenizer; a tokenizer.json is needed")
    return tokenizer


def _device(name: str) -> "torch.device":
    import torch

    if name == "auto":
        mps = torch.backends.mps.is_available()
        name = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelError(f"--device {name!r} cannot be used here; allowed: auto, cpu, cuda, cuda:N, mps") from error
    return device
