"""A start of the command line in a process of its own, forked from one in which everything heavy is imported."""

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

# What a start would spend most of its time on is imported before it is forked.
import pandas
import pyarrow.parquet
import torch
import transformers

from ripplestats import pipeline, run
from ripplestats.sweeps.runner import Sweep
from tests.pictures import leave_out_pictures, leave_out_random_breaks
from tests.tiny import tiny_network

HEAVY = (pandas, pyarrow.parquet, transformers, pipeline, tiny_network)
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.faults.child"])


def start(argv: Sequence[str], printed: Path, **plan: Any) -> ForkServerProcess:
    """Start the command line.

    Args:
        argv: its flags.
        printed: a file for what it prints.
        plan: ``die_at_step`` and ``tear`` (see ``_die_while_writing``); ``journal`` (see ``_keep_journal``); ``phase``,
            ``number`` and ``reached`` (see ``_tell_when``); ``sweep_only``; ``tables_only`` (no figures);
            ``random_breaks`` (whether there is a segmented mixed model, as there is unless it is False); ``prepare`` (a
            function to call before); ``memory`` (bytes of address space beyond what is there).
    """
    process = _CONTEXT.Process(target=_main, args=(list(argv), printed, plan), daemon=True)
    process.start()
    return process


def pipe() -> tuple[Connection, Connection]:
    """Make a pipe from a start to the test: the end to read, and the one to give to the start."""
    return _CONTEXT.Pipe(duplex=False)


def finish(process: ForkServerProcess, seconds: float = 300) -> int:
    """Wait for a start to end and return its exit code."""
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        raise AssertionError(f"a start did not end within {seconds} s")
    return process.exitcode


def _main(argv: list[str], printed: Path, plan: Mapping[str, Any]) -> None:
    torch.set_num_threads(1)
    out = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(out, stream)
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1, closefd=False) for stream in (1, 2))
    if "journal" in plan:
        _keep_journal(plan["journal"])
    if plan.get("sweep_only"):
        run._finish = lambda *_: None  # type: ignore[assignment]
    if plan.get("tables_only"):
        leave_out_pictures(setattr)
    if not plan.get("random_breaks", True):
        leave_out_random_breaks(setattr)
    if "prepare" in plan:
        plan["prepare"]()
    if "reached" in plan:
        _tell_when(plan["phase"], plan["number"], plan["reached"])
    if "die_at_step" in plan:
        _die_while_writing(plan["die_at_step"], tear=plan["tear"])
    if "memory" in plan:
        _limit_memory(plan["memory"])
    code = 70
    with contextlib.suppress(SystemExit):
        code = run.main(argv)
    os._exit(code)


def _keep_journal(path: Path) -> None:
    """Write down, before each shard is computed, the number of its first prompt."""
    compute = Sweep.run

    def noting(job: Sweep, rows: slice, *more: Any) -> Any:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, f"{rows.start}\n".encode())
        os.close(descriptor)
        return compute(job, rows, *more)

    Sweep.run = noting  # type: ignore[method-assign]


def _tell_when(phase: str, number: int, reached: Connection) -> None:
    """Tell the test, which waits to kill, that this start is in the loader, at its shard so and so, or in the fits."""
    compute, finish_run, begun = Sweep.run, run._finish, count()

    def computing(job: Sweep, rows: slice, *more: Any) -> Any:
        if next(begun) == number:
            reached.send_bytes(b"sweep")
        return compute(job, rows, *more)

    def fitting(*more: Any) -> None:
        reached.send_bytes(b"fits")
        finish_run(*more)

    if phase == "loader":
        reached.send_bytes(b"loader")
    elif phase == "sweep":
        Sweep.run = computing  # type: ignore[method-assign]
    else:
        run._finish = fitting  # type: ignore[assignment]


def _die_while_writing(step: int, *, tear: bool) -> None:
    """Kill this process at a step of its writing to disk: each fsync and each rename counts one.

    Args:
        step: which.
        tear: whether half of the file that is being written is lost, as in a power cut.
    """
    left = step
    fsync, replace = os.fsync, Path.replace

    def step_done(descriptor: int | None) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            with contextlib.suppress(OSError):
                if tear and descriptor is not None:
                    os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    def counted_fsync(descriptor: int) -> None:
        step_done(descriptor)
        fsync(descriptor)

    def counted_replace(path: Path, target: Path) -> Path:
        step_done(None)
        return replace(path, target)

    os.fsync = counted_fsync
    Path.replace = counted_replace  # type: ignore[method-assign, assignment]


def _limit_memory(more: int) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + more, used + more))
