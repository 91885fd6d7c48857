"""JSON files that carry a checksum of themselves, so that a changed bit is found."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ripplestats.errors import RunError, first_line
from ripplestats.store.atomic import write_json

_SEAL = "sha256"


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object and its checksum atomically.

    Raises:
        StorageError: the disk is full or not writable.
    """
    write_json(path, sealed(content))


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object with its checksum."""
    plain = json.loads(json.dumps(content))  # as it will be read: tuples are lists, and every key is text
    return {**plain, _SEAL: _digest(plain)}


def read_sealed(path: Path) -> dict[str, Any]:
    """Read a JSON object that was written with its checksum.

    Raises:
        FileNotFoundError, NotADirectoryError: it is not there.
        RunError: it cannot be read, is no JSON object, has no checksum, or differs from what was written.
    """
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise RunError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {first_line(error)}") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} was not written by this program: it holds no JSON object")
    seal = content.pop(_SEAL, None)
    if seal is None:
        raise RunError(f"{path} was not written by this program, or is damaged: it has no checksum")
    if seal != _digest(content):
        raise RunError(f"{path} is damaged: its checksum is not that of its content")
    return content


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
