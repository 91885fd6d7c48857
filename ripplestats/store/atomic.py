"""Files that are either whole or not there: temporary file, fsync, rename."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ripplestats.errors import StorageError

UNFINISHED = ".unfinished-"


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn a failing disk into one clear line.

    Raises:
        StorageError: whatever the operating system said about ``path``.
    """
    try:
        yield
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise StorageError(f"{path} cannot be written: {why}; what was finished before is kept") from error


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file so that a crash leaves the old one, the new one, or none, and never a part.

    Raises:
        StorageError: the disk is full or not writable.
    """
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f"{UNFINISHED}{os.getpid()}-{path.name}")
        try:
            with scratch.open("wb") as stream:
                write(stream)
                stream.flush()
                os.fsync(stream.fileno())
            scratch.replace(path)
        finally:
            with suppress(OSError):
                scratch.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    write_atomically(path, lambda stream: stream.write(content))


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8."""
    # A file name that is no UTF-8 comes as lone surrogates, which JSON can only hold escaped.
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file atomically."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed process left behind."""
    for scratch in folder.rglob(f"{UNFINISHED}*"):
        scratch.unlink(missing_ok=True)
