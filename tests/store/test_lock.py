"""One process a run directory; the lock of a killed process is gone with it."""

import multiprocessing
import os
import signal
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from ripplestats.errors import StorageError
from ripplestats.store import lock
from ripplestats.store.lock import is_locked, locked, refuse_locked
from ripplestats.store.log import log_event


def hold(path: Path, held: Event) -> None:
    with locked(path):
        log_event(path, "start", process=os.getpid(), host="somewhere")
        held.set()
        time.sleep(60)


@pytest.fixture
def holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> multiprocessing.Process:
    """Another process that holds the lock."""
    monkeypatch.setattr(lock, "_PATIENCE", 0.05)
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    process = context.Process(target=hold, args=(tmp_path / "run", held), daemon=True)
    process.start()
    assert held.wait(30)
    yield process
    process.kill()
    process.join()


def test_a_second_process_is_refused_in_one_line_until_the_first_is_gone(
    tmp_path: Path, holder: multiprocessing.Process
) -> None:
    path = tmp_path / "run"
    assert is_locked(path)
    said = (
        rf"--out {path} is being worked on by process {holder.pid} on somewhere; wait for it, or choose another --out"
    )
    with pytest.raises(StorageError, match=said), locked(path):
        pass
    with pytest.raises(StorageError, match=said):
        refuse_locked(path)
    os.kill(holder.pid or 0, signal.SIGKILL)
    holder.join()
    assert not is_locked(path)
    refuse_locked(path)
    with locked(path):
        pass


def test_a_lock_is_given_back_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a mistake"), locked(tmp_path):
        assert is_locked(tmp_path)
        raise ValueError("a mistake")
    assert not is_locked(tmp_path)
    with locked(tmp_path):
        assert is_locked(tmp_path)


def test_asking_makes_no_file_and_hinders_nobody(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    assert not is_locked(tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_locked_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"), locked(tmp_path / "file" / "run"):
        pass
