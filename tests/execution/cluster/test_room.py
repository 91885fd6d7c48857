"""How machines are divided among workers."""

import pytest

from ripplestats.errors import ClusterError, InputError
from ripplestats.execution.cluster.room import ClusterRequest, make_room


def cpus(*numbers: float) -> list[dict[str, float]]:
    return [{"CPU": number} for number in numbers]


@pytest.mark.parametrize(
    ("request_", "machines", "workers", "now", "each"),
    [
        ({}, cpus(2), 1, 1, (2, 0)),
        ({}, cpus(0, 16, 10), 6, 6, (4, 0)),  # a head without processors of its own counts for nothing
        ({}, cpus(16, 2), 9, 9, (2, 0)),
        ({"workers": 2}, cpus(2), 2, 2, (1, 0)),
        ({"workers": 3}, cpus(2), 3, 2, (1, 0)),
        ({"worker_cpus": 3}, cpus(8, 4), 3, 3, (3, 0)),
        ({}, [{"CPU": 8, "GPU": 4}, {"CPU": 8}], 4, 4, (1, 1)),
        ({"device": "cpu"}, [{"CPU": 8, "GPU": 4}], 2, 2, (4, 0)),
        ({"worker_gpus": 2, "worker_cpus": 4}, [{"CPU": 9, "GPU": 8}], 2, 2, (4, 2)),
    ],
)
def test_workers_and_what_each_gets(
    request_: dict[str, object], machines: list[dict[str, float]], workers: int, now: int, each: tuple[int, int]
) -> None:
    room = make_room(ClusterRequest("ray", **request_), machines)  # type: ignore[arg-type]
    assert (room.workers, room.now, (room.cpus, room.gpus)) == (workers, now, each)


@pytest.mark.parametrize(
    ("request_", "machines", "said"),
    [
        ({"device": "cuda"}, cpus(4), "no machine has 1 GPU and 1 CPU for a worker; machines: 4 CPUs 0 GPUs"),
        ({"worker_cpus": 8}, cpus(4, 6), "no machine has 8 CPUs for a worker; machines: 4 CPUs 0 GPUs, 6 CPUs 0 GPUs"),
        ({}, cpus(0), "no machine has 4 CPUs for a worker; machines: 0 CPUs 0 GPUs"),
        ({}, [], "machines: none"),
    ],
)
def test_a_cluster_without_room_is_refused_in_one_line(
    request_: dict[str, object], machines: list[dict[str, float]], said: str
) -> None:
    with pytest.raises(ClusterError, match=said) as found:
        make_room(ClusterRequest("ray", **request_), machines)  # type: ignore[arg-type]
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("request_", "said"),
    [({"device": "cuda:1"}, "--device 'cuda:1' does not go"), ({"workers": 0}, "--workers 0 must be at least 1")],
)
def test_what_no_cluster_could_do_is_refused(request_: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        ClusterRequest("ray", **request_)  # type: ignore[arg-type]
