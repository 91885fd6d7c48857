"""Do the shards of a run that are missing, one after the other, in this process."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from ripplestats.execution.ledger import Ledger, working
from ripplestats.execution.shards import Shard, make_shards
from ripplestats.rendering.progress import progress

if TYPE_CHECKING:
    from ripplestats.store.run_directory import Run
    from ripplestats.sweeps.memory import Columns
    from ripplestats.sweeps.runner import Sweep

Engine = Literal["onepass", "hooks"]


def run_shards(
    run: "Run",
    job: "Sweep",
    engine: Engine,
    *,
    stop: "Callable[[Run], bool] | None" = None,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Compute and write the shards that are missing, in prompt order; whatever happens, the manifest says what is there.

    A shard is written before the next is begun, so that a kill loses the work of one shard at most. Writing it beside the
    next would save less than a hundredth of the time on a CPU, and a kill could cost both.

    Args:
        run: the run directory, which the caller has locked.
        job: the sweep.
        engine: as ``Sweep.checked`` chose it.
        stop: is asked after each shard, once it and all before it are written, whether that is enough. It must look
            at nothing but the run's finished prompts, so that a run that is taken up stops where it would have.
        say: is told in one line of a damaged shard.

    Raises:
        RunError: the directory holds shards of another run.
        StorageError: the disk is full or not writable; finished shards are kept.
    """

    def backed_off(together: int) -> None:
        say(f"memory does not suffice: going on with {together} prompts at a time")
        run.log("backed_off", prompts_together=together)

    with working(run, make_shards(job, run.manifest.get("grown_from", ())), say) as ledger:
        _run_missing(ledger, job, engine, stop, backed_off)


def compute_shard(
    job: "Sweep",
    shard: Shard,
    engine: Engine,
    tell: Callable[[int], None] = lambda _: None,
    backed_off: Callable[[int], None] = lambda _: None,
) -> "tuple[Columns, dict[str, Any]]":
    """Compute a shard: the columns of its effects and of its prompts, as ``Run.write_part`` takes them."""
    effects, clean = job.run(shard.rows, engine, tell, backed_off)
    frame = job.prompts[shard.rows].to_frame()
    return effects, {**{name: frame[name] for name in frame.columns}, **clean}


def _run_missing(
    ledger: Ledger,
    job: "Sweep",
    engine: Engine,
    stop: "Callable[[Run], bool] | None",
    backed_off: Callable[[int], None],
) -> None:
    """Compute what is missing until nothing is, or until ``stop`` says that it is enough."""
    with progress(ledger.n_prompts, "prompts", ledger.prompts_done) as tell:
        if stop is not None and ledger.asks(stop):
            return
        for shard in ledger.missing():
            started = time.monotonic()
            effects, prompts = compute_shard(job, shard, engine, tell, backed_off)
            ledger.commit(shard, effects, prompts, time.monotonic() - started)
            if stop is not None and ledger.asks(stop):
                return
