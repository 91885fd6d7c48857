"""A model's name → a loaded causal language model.

Whatever the source (embedded, hub, local folder) the weights end up in a folder of safetensors files, which is read
without remote code and without pickle.
"""

import copy
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ripplestats import hub
from ripplestats.config import DTYPES, is_path
from ripplestats.errors import HubError, ModelError
from ripplestats.model.embedded import EMBEDDED_MODELS, FALLBACK_MODEL, embedded_folder
from ripplestats.model.sites import Layout, SiteNames, find_layout

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]


@dataclass(frozen=True)
class Model:
    """A causal language model, its tokenizer, and where both came from."""

    network: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    layout: Layout
    requested: str
    used: str
    revision: str
    weights_sha256: str
    fallback: str = ""
    folder: Path | None = None

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
        """Where the weights are."""
        device: torch.device = next(self.network.parameters()).device
        return device

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
        dtype: one of ``float32``, ``float64``, ``bfloat16``, ``float16``.
        revision: commit, tag or branch of a hub model.
        fallback: whether the embedded model may take the place of a hub model that cannot be reached.
        sites: module names, for a family that is not known.
        say: is told in one line of each step that takes long.

    Raises:
        ModelError: the model does not exist, has no safetensors weights or no fast tokenizer, or its layout is unknown.
        HubError: the hub cannot be reached and ``fallback`` is off.
    """
    if dtype not in DTYPES:
        raise ModelError(f"--dtype {dtype!r} is not known; allowed: {', '.join(DTYPES)}")
    folder, used, commit, why = _folder(name, revision, fallback, say)
    with ThreadPoolExecutor(1) as beside:
        digest = beside.submit(_digest, folder)
        network = _network(folder, used, dtype).to(_device(device))
    tokenizer = _tokenizer(folder, used)
    rows = network.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise ModelError(f"the tokenizer of --model {used!r} knows {len(tokenizer)} tokens, the model only {rows}")
    return Model(network, tokenizer, find_layout(network, sites), name, used, commit, digest.result(), why, folder)


def reference_model(model: Model, dtype: str = "float32") -> Model:
    """Return the same model with its weights in another number format, on the same device.

    They are read again from the model's folder, so that what is rounded in ``model`` is not in the reference; a model
    that has none is copied. Where the device has no room for both, the reference stays in main memory. It needs 4 bytes
    a parameter (8 in float64) beside the model.
    """
    import torch

    if model.folder is None:
        network = copy.deepcopy(model.network).to(getattr(torch, dtype))
    else:
        network = _network(model.folder, model.used, dtype)
    try:
        network = network.to(model.device)
    except torch.OutOfMemoryError:
        network = network.to("cpu")
    return replace(model, network=network, layout=find_layout(network, model.layout.names))


def _folder(name: str, revision: str | None, fallback: bool, say: Callable[[str], None]) -> tuple[Path, str, str, str]:
    """Return the folder of weights, the model's name, its revision, and why it is not the one asked for."""
    if name in EMBEDDED_MODELS:
        source = EMBEDDED_MODELS[name]
        return embedded_folder(name, say), name, f"{source.package} {source.version}", ""
    if is_path(name) and Path(name).is_dir():
        return Path(name), name, "", ""
    if not name or name.count("/") > 1 or name.startswith((".", "/", "~")):
        known = ", ".join(EMBEDDED_MODELS)
        raise ModelError(f"--model {name!r} is not a folder; allowed: {known}, a hub name, or a local folder")
    online = hub.reachable()
    if online:
        say(f"reading {name} from the hub")
    try:
        folder = _snapshot(name, revision, online)
    except HubError as error:
        if online or not fallback:
            raise
        why = f"the hub cannot be reached and {name!r} is not in its cache"
        say(f"{error}")
        folder, used, commit, _ = _folder(FALLBACK_MODEL, None, fallback, say)
        return folder, used, commit, why
    return folder, name, folder.name, ""


def _snapshot(name: str, revision: str | None, online: bool) -> Path:
    import huggingface_hub
    from huggingface_hub import errors

    unreachable: tuple[type[Exception], ...] = (OSError, *hub.transport_errors())
    try:
        return Path(
            huggingface_hub.snapshot_download(
                name,
                revision=revision,
                allow_patterns=_FILES,
                # Weights of other programs lie in sub-folders, and once more as "consolidated".
                ignore_patterns=["*/*", "consolidated*"],
                local_files_only=not online,
            )
        )
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError) as error:
        at = f" at revision {revision!r}" if revision else ""
        raise ModelError(
            f"--model {name!r}{at} does not exist on the hub, or is private; "
            f"allowed: {', '.join(EMBEDDED_MODELS)}, a hub name, or a local folder"
        ) from error
    except unreachable as error:
        why = "cannot be reached and nothing is cached" if not online else f"failed: {type(error).__name__}"
        raise HubError(f"--model {name!r}: the hub {why}") from error


def _network(folder: Path, used: str, dtype: str) -> Any:
    if not any(folder.glob("*.safetensors")):
        raise ModelError(f"--model {used!r} has no .safetensors weights (pickled weights are not read)")
    import safetensors
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    options = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **options)
        # The fast attention kernels leave out the soft cap of attention scores (Gemma 2).
        capped = getattr(config.get_text_config(), "attn_logit_softcapping", None)
        read: Any = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), use_safetensors=True, output_loading_info=True,
            attn_implementation="eager" if capped else None, **options,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, safetensors.SafetensorError) as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
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


def _digest(folder: Path) -> str:
    """Return the SHA-256 over the SHA-256s of the weight files, in the order of their names."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
