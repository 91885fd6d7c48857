"""Workers that misbehave or take their time; they run in processes of Ray."""

import os
import signal
import threading
import time
from pathlib import Path

from ripplestats.errors import NonFiniteError
from ripplestats.execution.cluster import crew
from ripplestats.execution.cluster.worker import Computed, ShardWorker
from ripplestats.execution.shards import Shard
from ripplestats.prompts.table import PromptTable

#: A folder in which processes leave marks for each other; a test begins with an empty one.
MARKS = "RIPPLESTATS_TEST_MARKS"
#: The shard that something happens to.
UNLUCKY = 2


class Slow(ShardWorker):
    """Takes a tenth of a second more for each shard."""

    def compute(self, shard: Shard, prompts: PromptTable, rows: slice) -> Computed:
        time.sleep(0.1)
        return super().compute(shard, prompts, rows)


class Together(ShardWorker):
    """Begins to compute when two are ready."""

    def prepare(self) -> str:
        where = super().prepare()
        (Path(os.environ[MARKS]) / f"ready {os.getpid()}").touch()
        return where

    def compute(self, shard: Shard, prompts: PromptTable, rows: slice) -> Computed:
        deadline = time.monotonic() + 120
        while len(list(Path(os.environ[MARKS]).glob("ready *"))) < 2:
            if time.monotonic() > deadline:
                raise RuntimeError("there is no second worker")
            time.sleep(0.01)
        time.sleep(0.1)
        return super().compute(shard, prompts, rows)


class Dying(ShardWorker):
    """The first of them that comes to the unlucky shard is killed in the midst of it, before it can hand it in."""

    def compute(self, shard: Shard, prompts: PromptTable, rows: slice) -> Computed:
        mark = Path(os.environ[MARKS]) / f"dead at {shard.name}"
        if shard.number != UNLUCKY or mark.exists():
            return super().compute(shard, prompts, rows)
        mark.touch()
        threading.Timer(0.003, os.kill, (os.getpid(), signal.SIGKILL)).start()
        super().compute(shard, prompts, rows)
        time.sleep(60)
        raise AssertionError("this worker should be dead")


class Poisoned(ShardWorker):
    """None of them can compute the unlucky shard."""

    def compute(self, shard: Shard, prompts: PromptTable, rows: slice) -> Computed:
        if shard.number == UNLUCKY:
            raise NonFiniteError("the model's logits are not finite on prompt 17")
        return super().compute(shard, prompts, rows)


def slow_workers() -> None:
    """Let the command line of this process use workers that take their time."""
    crew.ShardWorker = Slow  # type: ignore[misc]
