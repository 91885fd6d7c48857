"""One process at a time works on a run directory; the lock goes with the process, even a killed one."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ripplestats.errors import StorageError
from ripplestats.store.atomic import storing
from ripplestats.store.log import last_start

LOCK, MANIFEST_LOCK = "run.lock", "manifest.lock"
#: Seconds to wait: whoever only asks whether a run is being worked on holds the lock for an instant.
_PATIENCE = 1.0


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep every other process from working on a run directory, which is made if it is not there.

    Raises:
        StorageError: another process works on it, or it cannot be written.
    """
    lock = FileLock(path / LOCK, timeout=_PATIENCE)
    with storing(path):
        path.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise _in_use(path) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def manifest_locked(path: Path) -> Iterator[None]:
    """Keep two processes (a sweep and an analysis, say) from changing the manifest at the same moment."""
    lock = FileLock(path / MANIFEST_LOCK)
    with storing(path):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def refuse_locked(path: Path) -> None:
    """Refuse a run directory that another process works on, before anything is done for it.

    Raises:
        StorageError: another process works on it.
    """
    if is_locked(path):
        raise _in_use(path)


def is_locked(path: Path) -> bool:
    """Tell whether a process works on a run directory; needs no right to write."""
    try:
        descriptor = os.open(path / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.EAGAIN, errno.EACCES)
    finally:
        os.close(descriptor)
    return False


def _in_use(path: Path) -> StorageError:
    start = last_start(path)
    who = f"process {start['process']} on {start['host']}" if start else "another process"
    return StorageError(f"--out {path} is being worked on by {who}; wait for it, or choose another --out")
