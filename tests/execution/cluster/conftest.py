"""A Ray cluster of two nodes on this machine, each with a processor; skipped where Ray is not to be had."""

import gc
import os
import secrets
import socket
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import ripplestats as rs
from ripplestats.model.load import Model
from tests.execution.cluster.faulty import MARKS

ROOT = Path(__file__).parents[3]
#: Read by Ray when it is imported: it sends nothing to its makers, and lets nobody in without the tests' own token.
os.environ.update(
    RAY_USAGE_STATS_ENABLED="0",
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
    # Ray gives its workers way to all others, and here the other tests would not let them begin.
    RAY_worker_niceness="0",
    RAY_AUTH_MODE="token",
    # With it the process for a new client dies in the fork, now and then, and its client waits for it in vain
    # ("Check failed: next_worker->state == KICKED").
    GRPC_ENABLE_FORK_SUPPORT="0",
    RAY_AUTH_TOKEN_PATH=str(Path(tempfile.gettempdir()) / f"ripplestats-tests-{os.getpid()}.token"),
)


@dataclass(frozen=True)
class RunningCluster:
    """A cluster that runs: its handle, its own port's address, that of Ray Client, a node that may be removed, and
    the folder of the workers' marks."""

    handle: Any
    address: str
    client_address: str
    second_node: Any
    marks: Path


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def cluster(running_cluster: RunningCluster) -> RunningCluster:
    for mark in running_cluster.marks.iterdir():
        mark.unlink()
    return running_cluster


@pytest.fixture(scope="module")  # its processes are never idle
def running_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'ripplestats[ray]'")
    from ray.cluster_utils import Cluster

    token = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    marks = tmp_path_factory.mktemp("marks")
    with pytest.MonkeyPatch.context() as patch:
        # Workers are started by the nodes and get their environment.
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv(MARKS, str(marks))
        client_port = free_port()
        head = {"num_cpus": 1, "include_dashboard": False, "ray_client_server_port": client_port}
        with warnings.catch_warnings():
            # Ray leaves the files of its nodes' logs to the garbage collector.
            warnings.simplefilter("ignore", ResourceWarning)
            handle = Cluster(initialize_head=True, head_node_args=head)
            second = handle.add_node(num_cpus=1)
            gc.collect()
        try:
            ray.init(handle.address, log_to_driver=False, logging_level="ERROR")
            yield RunningCluster(handle, handle.address, f"127.0.0.1:{client_port}", second, marks)
        finally:
            ray.shutdown()
            handle.shutdown()
            token.unlink()


@pytest.fixture(scope="session")
def folder_model(tiny_folder: Path) -> Model:
    """The tiny model, from a folder: workers can read it."""
    return rs.load_model(str(tiny_folder), device="cpu")
