"""What is handed out and written, with workers of this process whose luck is written down beforehand; no Ray."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ripplestats.errors import ClusterError
from ripplestats.execution.begin import begun
from ripplestats.execution.cluster import sweep as cluster_sweep
from ripplestats.execution.cluster.crew import Done, Event, Failed, Lost, Ready
from ripplestats.execution.cluster.room import Room
from ripplestats.execution.cluster.worker import Computed
from ripplestats.execution.ledger import working
from ripplestats.execution.local import compute_shard, run_shards
from ripplestats.execution.shards import Shard, make_shards
from ripplestats.store.progress import run_progress
from ripplestats.store.run_directory import Run
from ripplestats.store.shards import encode_shard
from ripplestats.sweeps.grid import make_grid
from ripplestats.sweeps.runner import Sweep
from tests.conftest import tiny_model, tiny_prompts

N = 48
#: What becomes of a shard: its event is made from the number of the worker and of the shard.
Luck = Callable[[int, int], str]


@dataclass
class ScriptedCrew:
    """Workers that compute here, newest shards first, so that results come out of order."""

    job: Sweep
    luck: Luck = lambda worker, shard: "done"
    room: Room = field(default_factory=lambda: Room(2, 2, 1, 0))
    ready: dict[int, str] = field(default_factory=dict)
    hired: list[int] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)
    given: list[tuple[int, Shard]] = field(default_factory=list)
    computed: list[int] = field(default_factory=list)

    @property
    def deserted(self) -> bool:
        return not self.hired

    def hire(self) -> None:
        while len(self.hired) < self.room.workers and self.luck(-1, -1) != "nobody":
            self.hired.append(next(self.numbers))

    def give(self, worker: int, shard: Shard, prompts: Any, rows: slice) -> None:
        assert prompts[rows].fingerprint == self.job.prompts[shard.rows].fingerprint
        self.given.append((worker, shard))

    def events(self) -> Iterator[Event]:
        fresh = [worker for worker in self.hired if worker not in self.ready]
        for worker in fresh:
            self.ready[worker] = f"place {worker}"
            yield Ready(worker, f"place {worker}")
        if not self.given:
            return
        worker, _ = self.given[-1]
        # A worker does what it has in order.
        shard = next(one for who, one in self.given if who == worker)
        self.given.remove((worker, shard))
        luck = self.luck(worker, shard.number)
        if luck == "done":
            self.computed.append(shard.number)
            yield Done(worker, shard, Computed(encode_shard(*compute_shard(self.job, shard, "hooks")), 0.1, ()))
        elif luck == "lost":
            self.dismiss(worker)
            yield Lost(worker, f"place {worker}", "killed")
        else:
            yield Failed(worker, shard, luck, fresh=not luck.startswith("NonFiniteError"))

    def dismiss(self, worker: int) -> None:
        self.hired.remove(worker)
        self.ready.pop(worker, None)
        self.given = [(who, shard) for who, shard in self.given if who != worker]


@pytest.fixture
def job() -> Sweep:
    model = tiny_model()
    grid = make_grid(model.n_layers, model.n_neurons, rates="10,90", layers="1", arms=("top",))
    return Sweep(model, tiny_prompts(N, 6), grid)


def worked(
    path: Path, job: Sweep, crew: ScriptedCrew, stop: Callable[[Run], bool] | None = None, say: Any = lambda _: None
) -> Run:
    with begun(path, job, "hooks", None, {}, say) as run, working(run, make_shards(job), say) as ledger:
        cluster_sweep.hand_out(ledger, job, crew, stop, say)  # type: ignore[arg-type]
    return run


def events(run: Run, *kinds: str) -> list[dict[str, Any]]:
    return [event for event in run.events() if event["event"] in kinds]


def check_whole(run: Run, path: Path, job: Sweep) -> None:
    with begun(path, job, "hooks", None, {}, lambda _: None) as here:
        run_shards(here, job, "hooks")
    pd.testing.assert_frame_equal(run.effects(), here.effects())
    assert [one.key for one in run.records()] == [one.key for one in here.records()]


def test_without_a_rule_shards_are_written_as_they_come(tmp_path: Path, job: Sweep) -> None:
    run = worked(tmp_path / "run", job, ScriptedCrew(job))
    written = [int(event["name"].split("-")[1]) for event in events(run, "shard")]
    assert written != sorted(written)
    check_whole(run, tmp_path / "here", job)


def enough(n: int) -> Callable[[Run], bool]:
    return lambda run: len(run.parts()) >= n


def test_with_a_rule_a_run_ends_where_it_would_have_ended_alone(tmp_path: Path, job: Sweep) -> None:
    asked: list[int] = []

    def stop(run: Run) -> bool:
        asked.append(len(run.parts()))
        return enough(3)(run)

    crew = ScriptedCrew(job)
    run = worked(tmp_path, job, crew, stop)
    assert asked == [1, 2, 3]
    assert [record.number for record in run.records()] == [0, 1, 2]
    assert max(crew.computed) > 2, "nothing was computed ahead, so this tells nothing"
    assert run.manifest["completeness"] == {"complete": True, "prompts_done": 24, "prompts": N}


@pytest.mark.parametrize("luck", ["lost", "RuntimeError: a bad processor", "NonFiniteError: not finite"])
def test_what_goes_wrong_once_leaves_no_trace_in_the_results(tmp_path: Path, job: Sweep, luck: str) -> None:
    unlucky = [1]

    def once(worker: int, shard: int) -> str:
        return luck if shard in unlucky and not unlucky.remove(shard) else "done"  # type: ignore[func-returns-value]

    crew, said = ScriptedCrew(job, once), list[str]()
    run = worked(tmp_path / "run", job, crew, say=said.append)
    check_whole(run, tmp_path / "here", job)
    (failed,) = events(run, "failed")
    assert (failed["tries"], failed["name"]) == (1, run.records()[1].name)
    assert any(line.startswith("prompts 8 to 15 failed (1 of 3 tries)") for line in said)
    replaced = max(crew.hired) > 1
    assert replaced == (luck != "NonFiniteError: not finite"), (
        "a process that broke is replaced, one that said no is not"
    )


@pytest.mark.parametrize("rule", [None, enough(6)], ids=["no rule", "rule"])
def test_a_hopeless_shard_is_set_aside_and_told(tmp_path: Path, job: Sweep, rule: Callable[[Run], bool] | None) -> None:
    crew = ScriptedCrew(job, lambda worker, shard: "lost" if shard == 2 else "done")
    with pytest.raises(
        ClusterError, match=r"^1 of 6 shards failed 3 times .*\(prompts 16 to 23: its worker was lost: kil"
    ):
        worked(tmp_path, job, crew, rule)
    run = Run(tmp_path)
    assert [record.number for record in run.records()] == [0, 1, 3, 4, 5]
    assert [event["tries"] for event in events(run, "failed", "set_aside")] == [1, 2, 3]
    assert any("set_aside: its worker was lost" in line for line in run_progress(run).failures)
    assert not run.complete


def test_a_cluster_whose_workers_all_go_is_an_error_and_keeps_what_is_done(tmp_path: Path, job: Sweep) -> None:
    gone: list[bool] = []

    def luck(worker: int, shard: int) -> str:
        if shard >= 3:
            gone.append(True)
        return "nobody" if gone and worker == -1 else "lost" if gone else "done"

    with pytest.raises(ClusterError, match="no worker could begin: killed"):
        worked(tmp_path, job, ScriptedCrew(job, luck))
    done = Run(tmp_path).manifest["completeness"]
    assert 0 < done["prompts_done"] < N


def test_a_wait_for_workers_is_told_and_has_an_end(tmp_path: Path, job: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_sweep, "_SPOKEN_OF", 0.02)
    monkeypatch.setattr(cluster_sweep, "_GIVEN_UP", 0.05)
    said: list[str] = []
    with pytest.raises(ClusterError, match="no worker was ready"):
        worked(tmp_path, job, ScriptedCrew(job, lambda *_: "nobody"), say=said.append)
    assert said == ["waiting for a worker of 1 CPU to begin"]
