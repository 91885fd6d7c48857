"""The copy on this machine of a run in an object store: where it lies, and who may change it."""

import hashlib
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ripplestats.errors import RippleStatsError, StorageError
from ripplestats.hub import retries_told
from ripplestats.store.atomic import write_text
from ripplestats.store.lock import is_locked, locked
from ripplestats.store.log import LOG
from ripplestats.store.remote.lease import holder, leased
from ripplestats.store.remote.mirror import Mirror
from ripplestats.store.remote.objects import Say, connect
from ripplestats.store.run_directory import GATHERED, MANIFEST, Run, read_manifest
from ripplestats.store.shards import EncodedShard, ShardRecord

_OWNER = "owner"
_COPY = "run"


@dataclass(frozen=True)
class RemoteRun(Run):
    """A run in an object store, by its copy: what is written goes there, too."""

    mirror: Mirror

    def write_encoded(self, number: int, shard: EncodedShard, *, key: str = "") -> ShardRecord:
        """Write one part and send it."""
        record = super().write_encoded(number, shard, key=key)
        self.mirror.send_shard(record)
        return record

    def update(self, **entries: Any) -> None:
        """Set entries of the manifest and send it."""
        super().update(**entries)
        self.mirror.send(MANIFEST)

    @contextmanager
    def keeping_results(self) -> "Iterator[Run]":
        """Hold the run while an analysis writes its results, and send them at the end."""
        with working_copy(self.mirror.objects.address, self.mirror.objects.say) as mirror:
            yield RemoteRun(mirror.path, mirror)
            mirror.send_results()


@contextmanager
def working_copy(address: str, say: Say = lambda _: None) -> Iterator[Mirror]:
    """Work on a run in an object store: no other process does meanwhile, and its copy here is what the store has.

    Args:
        address: of the run, with a run or nothing there.
        say: is told in one line of what is waited for, tried again or damaged.

    Raises:
        InputError: the address is not allowed, or a package is missing.
        RunError: something else is there.
        StorageError: another process works on the run, or the store fails.
    """
    objects = connect(address, say)
    folder = _folder(objects.address)
    mirror = Mirror(objects, folder / _COPY)
    with (
        _named_by_address(mirror),
        retries_told(say),
        locked(folder),
        leased(objects, _owner(folder), lambda: mirror.send(LOG)) as lease,
    ):
        mirror = replace(mirror, lease=lease)
        say(f"{objects.address} is worked on in a copy, {folder / _COPY}")
        mirror.fetch()
        try:
            yield mirror
        except BaseException:
            # What ended the run is what is told; the log says it there, too, if the store takes it.
            with suppress(StorageError):
                mirror.send(LOG)
            raise
        mirror.send(GATHERED, LOG)


def open_remote(address: str, say: Say = lambda _: None) -> RemoteRun:
    """Open a run in an object store for reading, by a copy that is made or brought up to date.

    Raises:
        RunError: there is no run, or it is damaged.
        StorageError: the store fails, or the copy cannot be written.
    """
    objects = connect(address, say)
    folder = _folder(objects.address)
    mirror = Mirror(objects, folder / _COPY)
    with _named_by_address(mirror), retries_told(say):
        if not is_locked(folder):  # else a process works in it, and it is as new as can be
            with locked(folder):
                mirror.fetch()
        read_manifest(mirror.path)
    return RemoteRun(mirror.path, mirror)


@contextmanager
def progress_of(address: str, say: Say = lambda _: None) -> Iterator[tuple[Run, str, Callable[[bool], list[str]]]]:
    """Give what tells how far a run in an object store is, without its tables.

    Yields:
        A run without tables; who works on it, empty where nobody does; and what finds its damaged objects.
    """
    objects = connect(address, say)
    with TemporaryDirectory(prefix="ripplestats-") as folder:
        mirror = Mirror(objects, Path(folder) / _COPY)
        with _named_by_address(mirror), retries_told(say):
            mirror.fetch(tables=False)
            read_manifest(mirror.path)
            yield Run(mirror.path), holder(objects), lambda verify: list(mirror.damaged(verify=verify))


def _folder(address: str) -> Path:
    """Return the folder of an address: of its copy, the lock of this machine, and the name under which it holds leases."""
    from huggingface_hub import cached_assets_path

    plain = "".join(c if c.isalnum() else "-" for c in address.partition("://")[2])[-40:]
    name = f"{plain}-{hashlib.sha256(address.encode()).hexdigest()[:16]}"
    try:
        return Path(cached_assets_path("ripplestats", namespace="runs", subfolder=name))
    except (OSError, ValueError) as error:
        raise StorageError(f"the cache folder cannot be made ({error}); set HF_HOME") from error


def _owner(folder: Path) -> str:
    """Return a name that is this folder's alone, so that a lease of a process killed here is known for its own."""
    file = folder / _OWNER
    if not file.exists():
        write_text(file, uuid.uuid4().hex)
    return file.read_text(encoding="utf-8")


@contextmanager
def _named_by_address(mirror: Mirror) -> Iterator[None]:
    """Have errors name the address, not the copy."""
    try:
        yield
    except RippleStatsError as error:
        text = str(error)
        for place in (mirror.path, mirror.path.parent):
            text = text.replace(str(place), mirror.objects.address)
        raise type(error)(text) from error
