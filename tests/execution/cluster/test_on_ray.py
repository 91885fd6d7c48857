"""Runs on a real cluster equal those on one machine, whoever dies.

Each worker is a process that imports everything anew. So only what Ray alone can show is among the usual tests; what becomes
of shards when more goes wrong is there with scripted workers (``test_hand_out``), and here thorough.
"""

import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

import ripplestats as rs
from ripplestats.errors import ClusterError
from ripplestats.execution.cluster import crew
from ripplestats.execution.cluster.connection import check_cluster
from ripplestats.execution.ledger import Ledger
from ripplestats.model.load import Model
from ripplestats.store.run_directory import Run
from tests.conftest import tiny_prompts
from tests.execution.cluster.conftest import RunningCluster
from tests.execution.cluster.faulty import UNLUCKY, Dying, Poisoned, Together, slow_workers
from tests.faults.child import finish, start
from tests.tiny import tiny_text

#: Ray leaves the log files of what it starts to the garbage collector.
pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore:unclosed file .*ray_client_server:ResourceWarning")]
PROMPTS = tiny_prompts(64, 6)
GRID: dict[str, Any] = {"rates": "10,50,90", "layers": "1", "engine": "hooks"}
Sweeping = Callable[..., Run]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, folder_model: Model) -> Run:
    """The run as one process makes it: eight shards."""
    return rs.sweep(folder_model, PROMPTS, out=tmp_path_factory.mktemp("one process") / "run", **GRID)


def swept(model: Model, out: Path | str, n: int = 64, **more: Any) -> Run:
    return rs.sweep(model, PROMPTS[:n], out=out, cluster="ray", **GRID, **more)


def events(run: Run, *kinds: str) -> list[dict[str, Any]]:
    return [event for event in run.events() if event["event"] in kinds]


def check_equal(run: Run, whole: Run) -> None:
    """The same files, the same keys, and the same numbers."""
    assert run.complete
    assert [(one.name, one.key, one.n_rows) for one in run.records()] == [
        (one.name, one.key, one.n_rows) for one in whole.records()
    ]
    pd.testing.assert_frame_equal(run.effects(), whole.effects(), rtol=0, atol=1e-5)
    pd.testing.assert_frame_equal(run.prompts(), whole.prompts(), rtol=0, atol=1e-5)
    names = [event["name"] for event in events(run, "shard")]
    assert sorted(names) == [one.name for one in whole.records()], "a shard was written twice, or not at all"


def test_a_run_begun_here_and_ended_on_a_cluster_with_donors_from_all_prompts(
    tmp_path: Path, cluster: RunningCluster, folder_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "ShardWorker", Together)
    given: dict[str, Any] = {**GRID, "replacement": ("resample",)}
    expected = rs.sweep(folder_model, PROMPTS, out=tmp_path / "here", **given)
    rs.sweep(folder_model, PROMPTS, out=tmp_path / "both", stop=lambda run: len(run.parts()) >= 3, **given)
    said: list[str] = []
    both = rs.sweep(folder_model, PROMPTS, out=tmp_path / "both", cluster="ray", say=said.append, **given)
    check_equal(both, expected)
    assert "2 workers of 1 CPU on 2 machines" in said
    assert len({event["where"] for event in events(both, "worker")}) == 2


def test_a_worker_that_is_killed_costs_its_shard_only(
    tmp_path: Path, cluster: RunningCluster, folder_model: Model, whole: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "ShardWorker", Dying)
    said: list[str] = []
    run = swept(folder_model, tmp_path, say=said.append)
    check_equal(run, whole)
    (failed,) = events(run, "failed")
    assert failed["name"] == whole.records()[UNLUCKY].name
    assert [event["state"] for event in events(run, "worker")].count("lost") == 1
    assert any(line.startswith(f"prompts {8 * UNLUCKY} to {8 * UNLUCKY + 7} failed (1 of 3 tries): ") for line in said)


@pytest.mark.thorough
def test_a_shard_that_nobody_can_compute_is_set_aside_and_the_others_are_done_also_in_an_object_store(
    on_machine: Callable[[str], Path], cluster: RunningCluster, folder_model: Model, whole: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    address = "memory://on-a-cluster/run"
    monkeypatch.setattr(crew, "ShardWorker", Poisoned)
    with pytest.raises(
        ClusterError, match=r"1 of 8 shards failed 3 times and were set aside \(prompts 16 to 23: NonFinite"
    ):
        swept(folder_model, address, workers=1)
    on_machine("b")
    run = rs.open_run(address)
    assert run.manifest["completeness"] == {"complete": False, "prompts_done": 56, "prompts": 64}
    assert [event["tries"] for event in events(run, "failed", "set_aside")] == [1, 2, 3]
    # The same command without the cluster, on another machine, does what is missing.
    check_equal(rs.sweep(folder_model, PROMPTS, out=address, **GRID), whole)


def test_a_cluster_that_wants_a_token_says_so(cluster: RunningCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE")
    with pytest.raises(ClusterError, match="asks for a token; set RAY_AUTH_MODE=token"):
        check_cluster(f"ray://{cluster.address}")
    check_cluster(f"ray://{cluster.client_address}")


@pytest.mark.thorough
def test_a_driver_that_is_killed_and_started_again_ends_the_run(
    tmp_path: Path, cluster: RunningCluster, tiny_folder: Path, folder_model: Model
) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("\n\n".join(tiny_text(80, 30)))
    flags = [
        "--dataset", str(texts), "--model", str(tiny_folder), "--prompts", "64", "--context", "6", "--rates", "10,50,90",
        "--layers", "1", "--engine", "hooks", "--device", "cpu", "--workers", "1",
    ]  # fmt: skip

    def started(address: str, out: Path) -> ForkServerProcess:
        command = [*flags, "--out", str(out), "--cluster", f"ray://{address}"]
        return start(command, printed, sweep_only=True, prepare=slow_workers)

    run, printed = Run(tmp_path / "run"), tmp_path / "printed.txt"
    driver = started(cluster.address, run.path)
    while len(events(run, "shard")) < 3 and driver.is_alive():
        time.sleep(0.01)
    driver.kill()
    assert finish(driver) == -signal.SIGKILL, printed.read_text()
    done = [record.name for record in run.records()]
    assert 3 <= len(done) < 8
    assert finish(started(cluster.client_address, run.path), 300) == 0, printed.read_text()
    assert "Traceback" not in printed.read_text()
    assert not set(done) & {event["name"] for event in list(run.events())[len(done) + 3 :] if event["event"] == "shard"}

    prompts = rs.load_prompts(str(texts), n=64, context=6, tokenizer=folder_model.tokenizer, seed=0)
    check_equal(run, rs.sweep(folder_model, prompts, out=tmp_path / "here", **GRID))


@pytest.mark.thorough
def test_a_machine_that_goes_away_takes_nothing_with_it(
    tmp_path: Path, cluster: RunningCluster, folder_model: Model, whole: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "ShardWorker", Together)
    commit, removed = Ledger.commit_encoded, []

    def removing(ledger: Ledger, *shard: Any) -> None:
        commit(ledger, *shard)
        if not removed:
            removed.append(True)
            cluster.handle.remove_node(cluster.second_node, allow_graceful=False)
            # A worker outlives its node by a moment, in which it could end its shards.
            workers = [int(event["where"].split()[1]) for event in events(ledger.run, "worker")]
            deadline = time.monotonic() + 60
            while all(psutil.pid_exists(worker) for worker in workers) and time.monotonic() < deadline:
                time.sleep(0.05)

    monkeypatch.setattr(Ledger, "commit_encoded", removing)
    run = swept(folder_model, tmp_path)
    check_equal(run, whole)
    assert [event["state"] for event in events(run, "worker")].count("lost") == 1
