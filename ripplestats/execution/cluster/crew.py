"""The workers of a run on Ray: hired, given shards, and replaced when they are lost."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from ripplestats.errors import RippleStatsError, first_line
from ripplestats.execution.cluster.room import Room
from ripplestats.execution.cluster.worker import Computed, Recipe, ShardWorker
from ripplestats.execution.shards import Shard

#: Seconds after which the wait for a result is interrupted to look around.
_LOOK_AROUND = 1.0
#: Workers in a row that may be lost before they are ready, for each that is wanted.
_STILLBORN = 3


@dataclass(frozen=True)
class Ready:
    """A worker has its model; ``where`` it is."""

    worker: int
    where: str


@dataclass(frozen=True)
class Done:
    """A shard is computed."""

    worker: int
    shard: Shard
    computed: Computed


@dataclass(frozen=True)
class Failed:
    """A worker is there, and could not compute a shard; ``fresh`` says that a new process should try the next."""

    worker: int
    shard: Shard
    why: str
    fresh: bool


@dataclass(frozen=True)
class Lost:
    """A worker is gone, or could not begin: ``why``; ``where`` it was, if it had come so far."""

    worker: int
    where: str
    why: str


Event = Ready | Done | Failed | Lost


@dataclass
class Crew:
    """Actors of Ray, by number, and what they are at; nothing here knows which shards there are."""

    ray: Any
    recipe: Recipe
    room: Room
    ready: dict[int, str] = field(default_factory=dict)
    _actors: dict[int, Any] = field(default_factory=dict)
    _calls: dict[Any, tuple[int, Shard | None]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)
    _stillborn: int = 0

    def hire(self) -> None:
        """Start as many workers as are wanting; those for which there is no room begin when there is."""
        wanted = self.room.workers if self._stillborn < _STILLBORN * self.room.workers else 0
        options = {"num_cpus": self.room.cpus, "num_gpus": self.room.gpus, "max_restarts": 0}
        while len(self._actors) < wanted:
            number = next(self._numbers)
            actor = self.ray.remote(ShardWorker).options(**options).remote(self.recipe)
            self._actors[number] = actor
            self._calls[actor.prepare.remote()] = (number, None)

    @property
    def deserted(self) -> bool:
        """Whether there is no worker, and none to come."""
        return not self._actors

    def give(self, worker: int, shard: Shard, prompts: Any, rows: slice) -> None:
        """Send a shard to a worker that is ready."""
        self._calls[self._actors[worker].compute.remote(shard, prompts, rows)] = (worker, shard)

    def events(self) -> Iterator[Event]:
        """Yield what has happened, after waiting a second at most for anything."""
        if not self._calls:
            return
        calls, _ = self.ray.wait(list(self._calls), num_returns=1, timeout=_LOOK_AROUND)
        for call in calls:
            # One that is gone is of a worker that was dismissed.
            if call in self._calls:
                yield self._event(call)

    def dismiss(self, worker: int) -> None:
        """Let a worker go; what it was at is forgotten."""
        self.ready.pop(worker, None)
        self._calls = {call: (who, shard) for call, (who, shard) in self._calls.items() if who != worker}
        actor = self._actors.pop(worker, None)
        if actor is not None:
            self.ray.kill(actor)

    def dismiss_all(self) -> None:
        """Let all workers go."""
        for worker in list(self._actors):
            self.dismiss(worker)

    def _event(self, call: Any) -> Event:
        worker, shard = self._calls.pop(call)
        try:
            found = self.ray.get(call)
        except self.ray.exceptions.RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            if shard is None:
                # It says itself on which machine it could not begin; another process there could not either.
                self._stillborn = _STILLBORN * self.room.workers
                return self._lost(worker, first_line(cause))
            fresh = not isinstance(cause, RippleStatsError)
            return Failed(worker, shard, f"{type(cause).__name__}: {first_line(cause)}", fresh)
        except self.ray.exceptions.RayError as error:
            self._stillborn += worker not in self.ready
            return self._lost(worker, f"{type(error).__name__}: {first_line(error)}")
        if shard is not None:
            return Done(worker, shard, found)
        self._stillborn = 0
        self.ready[worker] = found
        return Ready(worker, found)

    def _lost(self, worker: int, why: str) -> Lost:
        where = self.ready.get(worker, "")
        self.dismiss(worker)
        return Lost(worker, where, why)
