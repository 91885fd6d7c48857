"""Do the shards of a run that are missing on the workers of a cluster; this process hands them out and writes them.

Only it touches the run directory, so that lock, checksums and order of writes are those of a run on one machine, and
either may go on with what the other began.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ripplestats.errors import ClusterError
from ripplestats.execution.cluster.assignments import TRIES, Assignments
from ripplestats.execution.cluster.connection import connected
from ripplestats.execution.cluster.crew import Crew, Done, Event, Failed, Lost, Ready
from ripplestats.execution.cluster.room import ClusterRequest, make_room
from ripplestats.execution.cluster.worker import Computed, make_recipe
from ripplestats.execution.ledger import Ledger, working
from ripplestats.execution.local import Engine
from ripplestats.execution.shards import Shard, make_shards
from ripplestats.rendering.progress import progress

if TYPE_CHECKING:
    from ripplestats.store.run_directory import Run
    from ripplestats.sweeps.runner import Sweep

#: Seconds without any worker that is ready, after which the wait is spoken of, and after which it is given up.
_SPOKEN_OF, _GIVEN_UP = 20.0, 900.0
#: Where shards are written in their order: how many for each worker may be ahead of the first that is not written.
_AHEAD = 4
#: Shards named where some were set aside.
_SHOWN = 3


def run_shards_on_cluster(
    run: "Run",
    job: "Sweep",
    engine: Engine,
    request: ClusterRequest,
    *,
    stop: "Callable[[Run], bool] | None" = None,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Compute the shards that are missing on a cluster, and write them; otherwise as ``run_shards`` does.

    A shard whose worker dies goes to another one, and one that fails three times is set aside: it is reported, and
    fails the run, once the others are done. With a rule to stop by, shards are written in prompt order and it is asked
    after each, so that the run ends where it would have ended on one machine.

    Args:
        run: the run directory, which the caller has locked.
        job: the sweep.
        engine: as ``Sweep.checked`` chose it.
        request: the cluster, and what is asked of it.
        stop: as for ``run_shards``.
        say: is told in one line of the cluster, of workers that are lost and of shards that fail.

    Raises:
        ClusterError: it cannot be reached or has no room, its workers cannot begin, or shards were set aside.
        ModelError: workers could not read such a model.
        RunError: the directory holds shards of another run.
        StorageError: the disk is full or not writable; finished shards are kept.
    """
    with working(run, make_shards(job, run.manifest.get("grown_from", ())), say) as ledger:
        if (stop is not None and ledger.asks(stop)) or not ledger.missing():
            return
        with connected(request.address, say) as ray:
            machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            room = make_room(request, machines)
            recipe = make_recipe(
                job, engine, device="cuda" if room.gpus else "cpu", threads=None if room.gpus else room.cpus,
                batch_size=request.batch_size,
            )  # fmt: skip
            _say_room(say, room.workers, room.now, room.words, len(machines))
            crew = Crew(ray, recipe, room)
            try:
                hand_out(ledger, job, crew, stop, say)
            finally:
                crew.dismiss_all()


def hand_out(
    ledger: Ledger, job: "Sweep", crew: Crew, stop: "Callable[[Run], bool] | None", say: Callable[[str], None]
) -> None:
    """Have a crew do what is missing, and write it; progress begins with the first worker that is ready.

    Raises:
        ClusterError: there is no worker and none will come, or shards were set aside.
        StorageError: the disk is full or not writable; finished shards are kept.
    """
    foreman = _Foreman(ledger, job, crew, Assignments.of(ledger.missing()), stop, say)
    foreman.gather()
    with progress(ledger.n_prompts, "prompts", ledger.prompts_done) as tell:
        foreman.work(tell)


@dataclass
class _Foreman:
    """Brings together who is there (crew), what is to be done (assignments) and what is written (ledger)."""

    ledger: Ledger
    job: "Sweep"
    crew: Crew
    assignments: Assignments
    stop: "Callable[[Run], bool] | None"
    say: Callable[[str], None]
    _computed: dict[str, tuple[Shard, Computed]] = field(default_factory=dict)
    _all_prompts: Any = None
    _idle_since: float = field(default_factory=time.monotonic)
    _waiting_said: bool = False

    def gather(self) -> None:
        """Hire workers, and wait for the first.

        Raises:
            ClusterError: there is no worker and none will come.
        """
        self.crew.hire()
        while not self.crew.ready:
            self._look_around()

    def work(self, tell: Callable[[int], None]) -> None:
        """Go on until every shard is written or set aside, or until ``stop`` says that it is enough.

        Args:
            tell: is called with the number of prompts of each shard that is written.

        Raises:
            ClusterError: there is no worker and none will come, or shards were set aside.
        """
        while self.assignments.open and not self.ledger.stopped:
            self._hand_out()
            self._look_around()
            self._write(tell)
        if self.assignments.set_aside and not self.ledger.stopped:
            raise ClusterError(self._what_is_missing())

    def _hand_out(self) -> None:
        """Give every worker that is ready its few shards, each in turn, so that none is left without."""
        before = self._first_missing() + _AHEAD * self.crew.room.workers if self.stop is not None else None
        ready = list(self.crew.ready)
        given = True
        while given:
            given = False
            for worker in ready:
                shard = self.assignments.hand_out(worker, ready, before)
                if shard is not None:
                    self.crew.give(worker, shard, *self._prompts(shard))
                    given = True

    def _prompts(self, shard: Shard) -> tuple[Any, slice]:
        """Return the prompts that go with a shard: its own, or where donors are drawn from all, a reference to all."""
        if "resample" not in self.job.grid.replacements:
            return self.job.prompts[shard.rows], slice(0, shard.n_prompts)
        if self._all_prompts is None:
            self._all_prompts = self.crew.ray.put(self.job.prompts)
        return self._all_prompts, shard.rows

    def _take(self, event: Event) -> None:
        match event:
            case Ready(_, where):
                self.ledger.run.log("worker", state="ready", where=where)
            case Done(worker, shard, computed):
                self.assignments.done(worker, shard)
                self._computed[shard.name] = (shard, computed)
            case Failed(worker, shard, why, fresh):
                self._failed(worker, shard, why)
                if fresh:
                    # What broke may be its process, and would break the next shard.
                    self.crew.dismiss(worker)
                    self.assignments.take_back(worker)
                    self.crew.hire()
            case Lost(worker, where, why):
                self.ledger.run.log("worker", state="lost", where=where, why=why)
                self.say(f"a worker is lost: {where + ': ' if where else ''}{why}")
                at = self.assignments.at(worker)
                if at is not None:
                    self._failed(worker, at, f"its worker was lost: {why}")
                self.assignments.take_back(worker)
                self.crew.hire()
                if self.crew.deserted:
                    raise ClusterError(f"--cluster: no worker could begin: {why}")

    def _failed(self, worker: int, shard: Shard, why: str) -> None:
        tries = self.assignments.failed(worker, shard, why)
        last = shard.name in self.assignments.set_aside
        self.ledger.run.log("set_aside" if last else "failed", name=shard.name, tries=tries, why=why)
        self.say(f"{_numbers(shard)} failed ({tries} of {TRIES} tries): {why}")

    def _write(self, tell: Callable[[int], None]) -> None:
        """Write what is computed: at once, or with a rule to stop by in prompt order."""
        for name in list(self._computed) if self.stop is None else self._in_order():
            shard, computed = self._computed.pop(name)
            for together in computed.backed_off:
                self.ledger.run.log("backed_off", prompts_together=together)
            self.ledger.commit_encoded(shard, computed.encoded, computed.seconds)
            tell(shard.n_prompts)
            if self.stop is not None and self.ledger.asks(self.stop):
                return

    def _in_order(self) -> list[str]:
        """Return what can be written without leaving out a shard that is still to come."""
        names = []
        for shard in self.ledger.missing():
            if shard.name in self._computed:
                names.append(shard.name)
            elif shard.name not in self.assignments.set_aside:
                break
        return names

    def _first_missing(self) -> int:
        return next(
            (one.number for one in self.ledger.missing() if one.name not in self.assignments.set_aside),
            len(self.ledger.shards),
        )

    def _look_around(self) -> None:
        """Take in what happens, and do not wait for ever where nothing does."""
        for event in self.crew.events():
            self._take(event)
        now = time.monotonic()
        if self.crew.ready:
            self._idle_since, self._waiting_said = now, False
        elif now - self._idle_since > _GIVEN_UP:
            raise ClusterError(
                f"--cluster: no worker was ready for {_GIVEN_UP / 60:.0f} minutes; the same command goes on"
            )
        elif now - self._idle_since > _SPOKEN_OF and not self._waiting_said:
            self._waiting_said = True
            self.say(f"waiting for a worker of {self.crew.room.words} to begin")

    def _what_is_missing(self) -> str:
        aside = list(self.assignments.set_aside.values())
        listed = "; ".join(f"{_numbers(one.shard)}: {one.why}" for one in aside[:_SHOWN])
        more = f"; {len(aside) - _SHOWN} more are in log.jsonl" * (len(aside) > _SHOWN)
        return (
            f"{len(aside)} of {len(self.ledger.shards)} shards failed {TRIES} times and were set aside ({listed}{more}); the "
            f"others are in {self.ledger.run.path}, and the same command tries these again"
        )


def _numbers(shard: Shard) -> str:
    return f"prompts {shard.rows.start} to {shard.rows.stop - 1}"


def _say_room(say: Callable[[str], None], workers: int, now: int, words: str, machines: int) -> None:
    where = "a machine" if machines == 1 else f"{machines} machines"
    later = f"; there is room for {now} now, the others begin when there is more" * (workers > now)
    say(f"{workers} worker{'s' * (workers > 1)} of {words} on {where}{later}")
