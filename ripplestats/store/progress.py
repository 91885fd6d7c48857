"""How far a run is, read from its files alone: manifest, records of its shards and log."""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

from ripplestats.errors import RunError
from ripplestats.store.lock import is_locked
from ripplestats.store.shards import check_content, check_sizes, read_record, shard_names

if TYPE_CHECKING:
    from pathlib import Path

    from ripplestats.store.run_directory import Run

#: Failures shown; the log has them all.
_SHOWN = 5
#: Shards whose time gives the rate.
_RECENT = 10


@dataclass(frozen=True)
class RunProgress:
    """Where a run is; ``rate`` is in prompts a second, 0 where it is not known yet."""

    path: "Path | str"
    state: str
    prompts_done: int
    prompts: int
    shards_done: int
    rate: float
    seconds_left: float
    model: str
    dataset: str
    worker: str
    last: str
    failures: tuple[str, ...]


def run_progress(run: "Run", *, held: bool = False) -> RunProgress:
    """Find out how far a run is.

    Args:
        run: a run directory.
        held: whether it is known that a process works on it, as of a run in an object store.

    Raises:
        RunError: the manifest is damaged.
    """
    manifest, events = run.manifest, list(run.events())
    records, unreadable = _records(run)
    prompts = manifest["completeness"]["prompts"]
    done = sum(record.n_prompts for record in records) if records else manifest["completeness"]["prompts_done"]
    working = held or is_locked(run.path)
    complete = not working and manifest["completeness"]["complete"]
    state = _state(working=working, complete=complete, done=done, prompts=prompts)
    rate = _rate(events)
    return RunProgress(
        path=run.path, state=state, prompts_done=done, prompts=prompts, shards_done=len(records), rate=rate,
        seconds_left=(prompts - done) / rate if rate and not complete else 0.0,
        model=str(manifest["definition"].get("model", "")), dataset=str(manifest["definition"].get("dataset", "")),
        worker=_worker(events, working=working), last=_last(events), failures=(*unreadable, *_failures(events)),
    )  # fmt: skip


def find_damage(run: "Run", *, verify: bool) -> list[str]:
    """Return a line for each damaged shard: by sizes and footers, or by reading all (``verify``)."""
    check = check_content if verify else check_sizes
    found = []
    for name in shard_names(run.path):
        try:
            check(run.path, read_record(run.path, name))
        except RunError as error:
            found.append(str(error))
    return found


def _records(run: "Run") -> tuple[list[Any], list[str]]:
    records, unreadable = [], []
    for name in shard_names(run.path):
        try:
            records.append(read_record(run.path, name))
        except RunError as error:
            unreadable.append(str(error))
    return records, unreadable


def _state(*, working: bool, complete: bool, done: int, prompts: int) -> str:
    if working:
        return "running"
    if complete and done < prompts:
        return "complete (stopped by its rule)"
    if complete:
        return "complete"
    return "not complete; the command that made it goes on"


def _rate(events: list[dict[str, Any]]) -> float:
    """Return prompts a second over the last shards of the last start.

    Several workers finish shards side by side, so the rate is of the time between events, not of a shard's own; a
    clock that was set back gives no negative times: such a gap is replaced by a usual one.
    """
    begin = max((i for i, event in enumerate(events) if event["event"] in ("start", "resume")), default=None)
    if begin is None:
        return 0.0
    marks = [events[begin], *(event for event in events[begin:] if event["event"] == "shard")][-_RECENT - 1 :]
    gaps = [_seconds(later) - _seconds(earlier) for earlier, later in pairwise(marks)]
    usual = median([gap for gap in gaps if gap > 0] or [0.0])
    spent = sum(gap if gap > 0 else usual for gap in gaps)
    counts = [event.get("prompts") for event in marks[1:]]
    return sum(count for count in counts if isinstance(count, int)) / spent if spent > 0 else 0.0


def _seconds(event: dict[str, Any]) -> float:
    try:
        return datetime.fromisoformat(str(event.get("time"))).timestamp()
    except ValueError:
        return 0.0


def _worker(events: list[dict[str, Any]], *, working: bool) -> str:
    starts = [event for event in events if event["event"] in ("start", "resume")]
    if not starts:
        return ""
    tense = "works" if working else "worked"
    event = starts[-1]
    return f"process {event.get('process')} on {event.get('host')} {tense}, started {event.get('time')} ({len(starts)} starts)"


def _last(events: list[dict[str, Any]]) -> str:
    if not events:
        return ""
    event = events[-1]
    ago = max(datetime.now(UTC).timestamp() - _seconds(event), 0)
    return f"{event['event']} {event.get('name', '')}".strip() + f" at {event.get('time')} ({ago:.0f} s ago)"


def _failures(events: list[dict[str, Any]]) -> list[str]:
    """Return the last things that went wrong, one line each."""
    kinds = {
        "damaged": "why", "interrupted": "why", "fallback": "why", "warning": "text", "failed": "why", "set_aside": "why",
    }  # fmt: skip
    lines = [
        f"{event.get('time')} {event['event']}: {str(event.get(kinds[event['event']], ''))[:200]}"
        for event in events
        if event["event"] in kinds
    ]
    return [f"{len(lines) - _SHOWN} earlier ones are in log.jsonl"] * (len(lines) > _SHOWN) + lines[-_SHOWN:]
