"""Which shards of a run are done, and what manifest and log say of it."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ripplestats.errors import RunError
from ripplestats.execution.shards import Shard
from ripplestats.store.shards import EncodedShard, check_content, read_record, remove_shard, shard_names

if TYPE_CHECKING:
    from ripplestats.store.run_directory import Run


@dataclass
class Ledger:
    """The shards of a run and which of them are done; commits the others."""

    run: "Run"
    shards: Sequence[Shard]
    done: set[str]
    stopped: bool = False
    _started: float = field(default_factory=time.monotonic)
    _seconds_before: float = 0.0

    @property
    def n_prompts(self) -> int:
        """Prompts of the run."""
        return sum(shard.n_prompts for shard in self.shards)

    @property
    def prompts_done(self) -> int:
        """Prompts of the shards that are done."""
        return sum(shard.n_prompts for shard in self.shards if shard.name in self.done)

    def missing(self) -> list[Shard]:
        """Return the shards to do, in prompt order."""
        return [shard for shard in self.shards if shard.name not in self.done]

    def asks(self, stop: "Callable[[Run], bool]") -> bool:
        """Ask whether the run may stop; not while there is nothing, or a shard is missing between others."""
        first = next((number for number, shard in enumerate(self.shards) if shard.name not in self.done), None)
        if first != 0 and (first is None or first == len(self.done)):
            self.stopped = stop(self.run)
        return self.stopped

    def commit(self, shard: Shard, effects: Mapping[str, Any], prompts: Mapping[str, Any], seconds: float) -> None:
        """Write a shard.

        Raises:
            StorageError: the disk is full or not writable.
        """
        began = time.monotonic()
        self.run.write_part(shard.number, effects, prompts, key=shard.key)
        self._committed(shard, seconds, time.monotonic() - began)

    def commit_encoded(self, shard: Shard, encoded: EncodedShard, seconds: float) -> None:
        """Write a shard that another process has computed and encoded.

        Raises:
            StorageError: the disk is full or not writable.
        """
        began = time.monotonic()
        self.run.write_encoded(shard.number, encoded, key=shard.key)
        self._committed(shard, seconds, time.monotonic() - began)

    def _committed(self, shard: Shard, seconds: float, writing: float) -> None:
        self.done.add(shard.name)
        took = {"seconds": round(seconds, 3), "writing_seconds": round(writing, 3)}
        self.run.log("shard", name=shard.name, prompts=shard.n_prompts, **took)

    def interrupted(self, error: BaseException) -> None:
        """Say what is there when the work ended early."""
        why = (str(error).splitlines() or [""])[0]
        self.run.log("interrupted", why=f"{type(error).__name__}: {why}".rstrip(": "), prompts_done=self.prompts_done)
        self._close()

    def finished(self) -> None:
        """Say that all is there, or as much as was needed."""
        self._close()
        spent = round(time.monotonic() - self._started, 2)
        self.run.log("finished", prompts_done=self.prompts_done, stopped=self.stopped, seconds=spent)

    def _close(self) -> None:
        self.run.write_prompts()
        self.run.update(**self.state())

    def state(self) -> dict[str, Any]:
        """Return the manifest's entries on completeness and time."""
        complete = self.stopped or not self.missing()
        spent = round(self._seconds_before + time.monotonic() - self._started, 2)
        timings = {**self.run.manifest.get("timings", {}), "sweep_s": spent}
        return {
            "completeness": {"complete": complete, "prompts_done": self.prompts_done, "prompts": self.n_prompts},
            "timings": timings,
        }


def take_stock(run: "Run", shards: Sequence[Shard], say: Callable[[str], None]) -> Ledger:
    """Find out which shards are done and whole; damaged ones are said and removed, to be done anew.

    Raises:
        RunError: the directory holds shards of another run.
    """
    planned = {shard.name: shard for shard in shards}
    done = set()
    for name in shard_names(run.path):
        if name not in planned:
            raise RunError(
                f"{run.path} holds a shard that is not of this run: {name}; remove its files, or that folder"
            )
        try:
            _check(run, planned[name])
        except RunError as error:
            say(f"done anew: {error}")
            run.log("damaged", name=name, why=str(error))
            remove_shard(run.path, name)
        else:
            done.add(name)
    timings = run.manifest.get("timings", {})
    return Ledger(run, shards, done, _seconds_before=timings.get("sweep_s", 0.0))


@contextmanager
def working(run: "Run", shards: Sequence[Shard], say: Callable[[str], None]) -> Iterator[Ledger]:
    """Give the ledger of a run for the time of the work; however that ends, manifest and log say what is there.

    Raises:
        RunError: the directory holds shards of another run.
    """
    ledger = take_stock(run, shards, say)
    try:
        yield ledger
    except BaseException as error:
        ledger.interrupted(error)
        raise
    ledger.finished()


def _check(run: "Run", shard: Shard) -> None:
    """Refuse a shard whose record is of another one, or any bit of whose files has changed."""
    record = read_record(run.path, shard.name)
    if (record.key, record.n_prompts) != (shard.key, shard.n_prompts):
        raise RunError(f"{run.path / 'shards' / shard.name}.json is the record of another shard")
    check_content(run.path, record)
