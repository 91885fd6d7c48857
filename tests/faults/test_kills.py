"""A run that is killed again and again ends as one that was never disturbed, and does nothing twice.

``RIPPLESTATS_KILLS=30`` (``make faults``) kills thirty times; the usual tests, fewer times.
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ripplestats.store.run_directory import Run
from ripplestats.store.shards import check_content
from tests.faults.child import finish, start

KILLS = int(os.environ.get("RIPPLESTATS_KILLS", "10"))
SHARDS = 12
#: Writing one file is three steps (fsync, rename, fsync of the folder); a shard is three files.
STEPS_A_SHARD = 9


@dataclass(frozen=True)
class Kill:
    """When to kill: in the loader, after a shard more (and a moment), at a step of a write, or in the fits."""

    phase: str
    number: int
    seconds: float = 0.0
    tear: bool = False


def planned(seed: int, n: int) -> Iterator[Kill]:
    """Yield kills in every phase, in an order in which the run gets on; the fits come when all shards are there."""
    rng = np.random.default_rng(seed)
    in_fits = max(n // 8, 1)
    for number in range(n - in_fits):
        phase = ("writer", "sweep", "loader")[number % 3]
        yield Kill(
            phase, number=int(rng.integers(1, STEPS_A_SHARD + 6) if phase == "writer" else rng.integers(0, 2)),
            seconds=float(rng.uniform(0, 0.4 if phase == "loader" else 0.06)), tear=bool(rng.integers(2)),
        )  # fmt: skip
    for _ in range(in_fits):
        yield Kill("fits", 0, float(rng.uniform(0, 2)))


def events(path: Path, *kinds: str) -> list[dict[str, object]]:
    return [event for event in Run(path).events() if event["event"] in kinds]


def kill(process: ForkServerProcess, out: Path, plan: Kill) -> None:
    """Kill a start as planned; one that ends before has been overtaken, and is no failure."""
    before = len(events(out, "shard"))
    until = {
        "loader": lambda: True,
        "writer": lambda: False,
        "sweep": lambda: len(events(out, "shard")) >= min(before + plan.number, SHARDS) and started(out, process),
        "fits": lambda: started(out, process) and len(events(out, "finished")) > 0 and finished(out, process),
    }[plan.phase]
    while process.exitcode is None and not until():
        time.sleep(0.002)
    if plan.phase != "writer":
        time.sleep(plan.seconds)
        process.kill()
    process.join()


def started(out: Path, process: ForkServerProcess) -> bool:
    return any(event.get("process") == process.pid for event in events(out, "start", "resume"))


def finished(out: Path, process: ForkServerProcess) -> bool:
    """Whether this start has all shards and is at its fits."""
    kinds = [event["event"] for event in events(out, "start", "resume", "finished")]
    return started(out, process) and kinds[-1:] == ["finished"]


def lines(journal: Path, word: str) -> list[int]:
    text = journal.read_text() if journal.exists() else ""
    return [int(line.split()[1]) for line in text.splitlines() if line.startswith(word)]


def check_whole(out: Path, expected: pd.DataFrame) -> set[int]:
    """Every shard that is there has every bit that was written, and the rows of the undisturbed run."""
    run = Run(out)
    if not (out / "manifest.json").exists():
        assert not run.parts()
        return set()
    for record in run.records():
        check_content(out, record)
    if run.parts():
        frame = run.effects()
        whole = expected[expected["prompt_id"].isin(frame["prompt_id"])].reset_index(drop=True)
        pd.testing.assert_frame_equal(frame, whole)
    return {8 * record.number for record in run.records()}


@pytest.mark.parametrize("seed", [0])
def test_a_run_killed_at_random_moments_ends_as_an_undisturbed_one(
    tmp_path: Path, command: Sequence[str], seed: int
) -> None:
    calm, out, printed = tmp_path / "calm", tmp_path / "run", tmp_path / "printed.txt"
    full = KILLS >= 30
    assert finish(start([*command, "--out", str(calm)], printed, sweep_only=not full)) == 0, printed.read_text()
    expected = Run(calm).effects()
    phases = set()
    done: set[int] = set()
    for number, plan in enumerate(planned(seed, KILLS)):
        journal = tmp_path / f"journal {number}"
        at = {"die_at_step": plan.number, "tear": plan.tear} if plan.phase == "writer" else {}
        process = start([*command, "--out", str(out)], printed, journal=journal, sweep_only=plan.phase != "fits", **at)
        kill(process, out, plan)
        phases |= {plan.phase} if process.exitcode == -9 else set()
        before, done = done, check_whole(out, expected)
        assert before <= done, "a shard that was there is gone"
        begun, computed = lines(journal, "begun"), lines(journal, "computed")
        assert not before & set(begun), "a shard that was there was computed again"
        # Lost at most: a shard whose files were being written, and the first batch of the next.
        assert len(set(computed) - done) <= 1
        assert len(set(begun) - done) <= 2
    assert phases == {"loader", "sweep", "writer", "fits"}

    journal = tmp_path / "journal"
    assert finish(start([*command, "--out", str(out)], printed, journal=journal, sweep_only=not full)) == 0
    assert not done & set(lines(journal, "begun"))
    run = Run(out)
    assert run.complete
    pd.testing.assert_frame_equal(run.effects(), expected)
    pd.testing.assert_frame_equal(run.prompts(), Run(calm).prompts())
    names = [event["name"] for event in events(out, "shard")]
    assert len(names) == len(set(names)), "a shard was committed twice"
    assert not events(out, "damaged")
    assert [path for path in out.rglob("*") if "unfinished" in path.name] == []
    assert "Traceback" not in printed.read_text()
    if full:
        for name in ("estimates.csv", "claims.csv"):
            assert (out / name).read_bytes() == (calm / name).read_bytes()
