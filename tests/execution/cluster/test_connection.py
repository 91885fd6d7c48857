"""What ``--cluster`` may be, and what is said of a cluster that cannot be reached."""

import importlib.util
import time

import pytest

from ripplestats.errors import ClusterError, InputError, ModelError
from ripplestats.execution.cluster import connection
from ripplestats.execution.cluster.connection import check_cluster, cluster_address, connected
from ripplestats.execution.cluster.worker import make_recipe
from ripplestats.run import main
from ripplestats.sweeps.grid import make_grid
from ripplestats.sweeps.runner import Sweep
from tests.conftest import tiny_model, tiny_prompts
from tests.execution.cluster.conftest import free_port


@pytest.mark.parametrize(
    ("cluster", "variable", "address"),
    [
        ("ray", None, "local"), ("ray", "", "local"), ("ray", "auto", "auto"), ("ray", "head:6379", "head:6379"),
        ("ray", "ray://head:10001", "head:10001"), ("ray://auto", None, "auto"), ("ray://[::1]:6379", None, "[::1]:6379"),
    ],
)  # fmt: skip
def test_an_address_is_read(cluster: str, variable: str | None, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if variable is not None:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    assert cluster_address(cluster) == address


@pytest.mark.parametrize(
    "cluster", ["", "dask://head:1", "ray:head:1", "ray://", "ray://head", "ray://he ad:1", "rays"]
)
def test_what_is_no_address_is_refused_by_what_is_allowed(cluster: str) -> None:
    with pytest.raises(InputError, match="allowed: ray "):
        cluster_address(cluster)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "ray" else find(name, *more))
    with pytest.raises(InputError, match=r"pip install 'ripplestats\[ray\]'"):
        check_cluster("ray")


def test_nobody_there_is_one_line_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("grpc", reason="Ray is not installed: pip install 'ripplestats[ray]'")
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'ripplestats[ray]'")
    started = time.monotonic()
    assert main(["--cluster", f"ray://127.0.0.1:{free_port()}"]) == ClusterError.exit_code
    assert time.monotonic() - started < 10
    (line,) = capsys.readouterr().err.splitlines()
    assert "no Ray answers there" in line


@pytest.mark.parametrize("flags", [["--workers", "2"], ["--worker-cpus", "2"], ["--cluster", "ray", "--workers", "0"]])
def test_flags_that_do_not_go_together_are_refused(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(flags) == InputError.exit_code
    assert flags[-2] in capsys.readouterr().err


def test_a_model_that_no_worker_could_read_is_refused() -> None:
    model = tiny_model()
    grid = make_grid(model.n_layers, model.n_neurons)
    with pytest.raises(ModelError, match="save it first"):
        make_recipe(Sweep(model, tiny_prompts(8, 6), grid), "hooks", device="cpu", threads=1, batch_size=None)


@pytest.mark.parametrize(("aborted", "connects"), [(1, True), (2, True), (3, False)])
@pytest.mark.parametrize(("cluster_flag", "asked"), [("ray", "local"), ("ray://head:10001", "ray://head:10001")])
def test_a_connection_that_a_busy_cluster_aborts_is_tried_again(
    cluster_flag: str, asked: str, aborted: int, connects: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'ripplestats[ray]'")
    failures = [ConnectionAbortedError("Initialization failure from server:\nTraceback")] * aborted
    addresses = []

    def init(address: str, **_: object) -> None:
        addresses.append(address)
        if failures:
            raise failures.pop()

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(connection, "_port_kind", {"head:10001": "client"}.__getitem__)
    if connects:
        with connected(cluster_flag):
            assert addresses == [asked] * (aborted + 1)
        return
    message = rf"^--cluster {cluster_flag}: Initialization failure from server:$"
    with pytest.raises(ClusterError, match=message), connected(cluster_flag):
        pass
