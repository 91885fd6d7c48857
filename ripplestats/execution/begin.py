"""Begin to work on a run: lock it, start it or take it up, and write down who does."""

import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ripplestats.execution.definition import beginning, definition
from ripplestats.execution.manifest import manifest
from ripplestats.store.lock import locked
from ripplestats.store.run_directory import MANIFEST
from ripplestats.store.start import start_run

if TYPE_CHECKING:
    from ripplestats.store.remote.mirror import Mirror
    from ripplestats.store.run_directory import Run
    from ripplestats.sweeps.runner import Sweep
    from ripplestats.sweeps.selfcheck import SelfCheck


@contextmanager
def begun(
    path: Path,
    job: "Sweep",
    engine: str,
    check: "SelfCheck | None",
    options: Mapping[str, Any],
    say: Callable[[str], None],
    mirror: "Mirror | None" = None,
) -> "Iterator[Run]":
    """Give the run directory of a sweep, which no other process works on meanwhile.

    Args:
        path: the directory.
        job: the sweep.
        engine: the engine used.
        check: its self-check, or None where there was none.
        options: of the command line or the call, for the manifest.
        say: is told when an earlier run is taken up.
        mirror: of a run in an object store, of which the directory is a copy.

    Raises:
        RunError: the directory holds something else, or a run with another definition.
        StorageError: another process works on it, or it cannot be written.
    """
    entries = manifest(job, engine, check, options)
    with locked(path):
        run = start_run(path, definition(job), entries, say, beginning=partial(beginning, job))
        if mirror is not None:
            from ripplestats.store.remote.working_copy import RemoteRun

            run = RemoteRun(run.path, mirror)
            mirror.send(MANIFEST)
        _log_start(run, entries, check)
        yield run


def _log_start(run: "Run", entries: Mapping[str, Any], check: "SelfCheck | None") -> None:
    there = len(run.parts())
    run.log(
        "resume" if there else "start",
        process=os.getpid(), host=socket.gethostname(), version=version("ripplestats"), command=sys.argv,
        prompts=entries["completeness"]["prompts"], shards_there=there,
    )  # fmt: skip
    for what in ("dataset", "model"):
        asked, used, why = (entries[what][name] for name in ("requested", "used", "fallback"))
        if why:
            run.log("fallback", what=what, requested=asked, used=used, why=why)
    if check is not None and not check.passed:
        run.log("warning", text=f"one-pass engine not used: {check.reason}")
