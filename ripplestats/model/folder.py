"""A model's name → the folder of its files: embedded, local, or read from the hub and kept in its cache."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from ripplestats import hub
from ripplestats.config import is_path
from ripplestats.errors import HubError, ModelError
from ripplestats.model.embedded import EMBEDDED_MODELS, FALLBACK_MODEL, embedded_folder

_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]


def model_folder(
    name: str, revision: str | None, fallback: bool, say: Callable[[str], None]
) -> tuple[Path, str, str, str]:
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
        folder, used, commit, _ = model_folder(FALLBACK_MODEL, None, fallback, say)
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


def weights_digest(folder: Path) -> str:
    """Return the SHA-256 over the SHA-256s of the weight files, in the order of their names."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
