"""How many workers a cluster has room for, and what each of them gets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ripplestats.errors import ClusterError, InputError

#: Processors of a worker without a GPU, at most: a shard of eight prompts keeps no more than eight busy, and the last
#: groups of a shard leave some of them idle.
_USUAL_CPUS = 4
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class ClusterRequest:
    """What is asked of a cluster.

    Attributes:
        address: as ``--cluster`` has it.
        workers: how many; None for as many as there is room for.
        worker_cpus: processors of each; None for 1 beside a GPU, otherwise 4, or as many as the machines have.
        worker_gpus: GPUs of each, where it has any.
        device: ``cuda``, ``cpu``, or ``auto``: GPUs where the cluster has them.
        batch_size: prompts run together by a worker; None leaves it to the worker.
    """

    address: str
    workers: int | None = None
    worker_cpus: int | None = None
    worker_gpus: int = 1
    device: str = "auto"
    batch_size: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no cluster could do.

        Raises:
            InputError: one line with the flag, its value and what is allowed.
        """
        if self.device not in DEVICES:
            raise InputError(f"--device {self.device!r} does not go with --cluster; allowed: {', '.join(DEVICES)}")
        for name in ("workers", "worker_cpus", "worker_gpus"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"--{name.replace('_', '-')} {value} must be at least 1")


@dataclass(frozen=True)
class Room:
    """Workers to start, how many of them there is room for now, and what each of them gets."""

    workers: int
    now: int
    cpus: int
    gpus: int

    @property
    def words(self) -> str:
        """What a worker gets, in words."""
        gpus = f"{self.gpus} GPU{'s' * (self.gpus > 1)} and " if self.gpus else ""
        return f"{gpus}{self.cpus} CPU{'s' * (self.cpus > 1)}"


def make_room(request: ClusterRequest, machines: Sequence[Mapping[str, float]]) -> Room:
    """Divide a cluster's machines among workers.

    Args:
        request: what is asked for.
        machines: ``CPU`` and ``GPU`` of each machine, as Ray counts them.

    Raises:
        ClusterError: no machine has what a worker needs.
    """
    gpu = request.device == "cuda" or (request.device == "auto" and any(one.get("GPU", 0) >= 1 for one in machines))
    gpus = request.worker_gpus if gpu else 0
    cpus = request.worker_cpus or (1 if gpu else _cpus(request.workers, machines))
    now = sum(_fit(one, cpus, gpus) for one in machines)
    room = Room(now if request.workers is None else request.workers, now, cpus, gpus)
    if not now:
        there = ", ".join(f"{one.get('CPU', 0):g} CPUs {one.get('GPU', 0):g} GPUs" for one in machines) or "none"
        raise ClusterError(f"--cluster {request.address}: no machine has {room.words} for a worker; machines: {there}")
    return room


def _cpus(workers: int | None, machines: Sequence[Mapping[str, float]]) -> int:
    """Return the processors of a worker: so few that the smallest machine, and all workers asked for, have room."""
    there = [int(one.get("CPU", 0)) for one in machines if one.get("CPU", 0) >= 1]
    shares = [_USUAL_CPUS, *there] if workers is None else [_USUAL_CPUS, max(there, default=1), sum(there) // workers]
    return max(min(shares), 1)


def _fit(machine: Mapping[str, float], cpus: int, gpus: int) -> int:
    most = int(machine.get("CPU", 0) // cpus)
    return min(most, int(machine.get("GPU", 0) // gpus)) if gpus else most
