"""A run that is killed many times ends as one that was never disturbed, and does nothing twice."""

import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ripplestats.store.run_directory import Run
from ripplestats.store.shards import check_content
from tests.faults.child import finish, pipe, start

pytestmark = pytest.mark.long

#: Many enough that work is left for every kill: each lets at most three or four shards be finished.
PROMPTS_AT_FIRST, PROMPTS_A_KILL = 32, 9
#: Kills of the thorough test.
THOROUGH = 30
#: Writing one file is three steps (fsync, rename, fsync of the folder); a shard is three files.
STEPS_A_SHARD = 9


@dataclass(frozen=True)
class Kill:
    """When to kill: so many seconds after the loader began, a start's shard was begun, or the fits; or at a step of a write.

    ``tear`` says whether half of the file that is being written is lost, too.
    """

    phase: str
    number: int
    seconds: float
    tear: bool


def kills_in_fits(kills: int) -> int:
    """How many of the kills come last, when all shards are there."""
    return max(kills // 10, 1)


def planned(kills: int, seed: int) -> Iterator[Kill]:
    """Yield kills at random moments: in the writer, the sweep and the loader in turn, the last tenth in the fits."""
    rng = np.random.default_rng(seed)
    in_fits = kills_in_fits(kills)
    longest = {"loader": 0.4, "sweep": 0.03, "writer": 0.0, "fits": 1.0}
    phases = [*(("writer", "sweep", "loader")[i % 3] for i in range(kills - in_fits)), *["fits"] * in_fits]
    for phase in phases:
        # The first steps of a start are of the manifest.
        number = rng.integers(1, STEPS_A_SHARD + 6) if phase == "writer" else rng.integers(0, 2)
        yield Kill(phase, int(number), float(rng.uniform(0, longest[phase])), bool(rng.integers(2)))


def start_and_kill(argv: Sequence[str], printed: Path, journal: Path, kill: Kill, **analysis: bool) -> None:
    """Start the command line, with an analysis of so much, and kill it as planned."""
    if kill.phase == "writer":
        process = start(argv, printed, journal=journal, sweep_only=True, die_at_step=kill.number, tear=kill.tear)
    else:
        reached, told = pipe()
        process = start(argv, printed, journal=journal, phase=kill.phase, number=kill.number, reached=told, **analysis)
        told.close()
        assert reached.poll(300), printed.read_text()
        time.sleep(kill.seconds)
        process.kill()
    assert finish(process) == -signal.SIGKILL, f"{kill} came too late"


def begun_in(journal: Path) -> list[int]:
    """The first prompts of the shards that a start began to compute."""
    return [int(line) for line in journal.read_text().splitlines()] if journal.exists() else []


def check_whole(out: Path, expected: pd.DataFrame) -> set[int]:
    """Check that every shard that is there has all its bits and the undisturbed run's rows; return their first prompts."""
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


@pytest.mark.parametrize("kills", [7, pytest.param(THOROUGH, marks=pytest.mark.thorough)])
def test_a_run_that_is_killed_again_and_again_ends_as_an_undisturbed_one(
    tmp_path: Path, command: Sequence[str], kills: int
) -> None:
    # The model takes more time than all the kills.
    analysis = {"tables_only": True, "random_breaks": kills == THOROUGH}
    calm, out, printed = tmp_path / "calm", tmp_path / "run", tmp_path / "printed.txt"
    command = [*command, "--prompts", str(PROMPTS_AT_FIRST + PROMPTS_A_KILL * kills)]
    assert finish(start([*command, "--out", str(calm)], printed, **analysis)) == 0, printed.read_text()
    expected = Run(calm).effects()
    done: set[int] = set()
    lost: list[set[int]] = []
    for number, kill in enumerate(planned(kills, seed=0)):
        journal = tmp_path / f"journal {number}"
        start_and_kill([*command, "--out", str(out)], printed, journal, kill, **analysis)
        before, done = done, check_whole(out, expected)
        assert before <= done, "a shard that was there is gone"
        assert not before & set(begun_in(journal)), "a shard that was there was computed again"
        lost.append(set(begun_in(journal)) - done)
        assert len(lost[-1]) <= 1, "a kill cost more than the work of one shard"
    assert sum(map(len, lost)) >= (kills - kills_in_fits(kills)) // 3, "most kills came when there was no work to lose"

    journal = tmp_path / "journal"
    assert finish(start([*command, "--out", str(out)], printed, journal=journal, **analysis)) == 0
    assert begun_in(journal) == []
    run = Run(out)
    assert run.complete
    pd.testing.assert_frame_equal(run.effects(), expected)
    pd.testing.assert_frame_equal(run.prompts(), Run(calm).prompts())
    names = [str(event["name"]) for event in run.events() if event["event"] == "shard"]
    assert len(names) == len(set(names)), "a shard was committed twice"
    assert "damaged" not in {event["event"] for event in run.events()}
    assert [path for path in out.rglob("*") if "unfinished" in path.name] == []
    assert "Traceback" not in printed.read_text()
    for name in ("estimates.csv", "claims.csv"):
        assert (out / name).read_bytes() == (calm / name).read_bytes()
