"""``log.jsonl`` of a run directory: one JSON line an event, only ever appended to.

Each line has ``time`` (UTC) and ``event``; the others depend on the event:

    start, resume   process, host, version, command, prompts, shards_there
    fallback        what, requested, used, why
    warning         text
    shard           name, prompts, seconds (to compute it), writing_seconds
    damaged         name, why
    backed_off      prompts_together
    worker          state (ready, lost), where, and why it was lost: of a cluster
    failed          name, tries, why: a shard that a worker could not compute, and that another one tries
    set_aside       name, tries, why: a shard that no worker could compute
    interrupted     why, prompts_done
    finished        prompts_done, stopped, seconds
    analysis        seconds
"""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LOG = "log.jsonl"


def log_event(path: Path, event: str, /, **fields: Any) -> None:
    """Append an event; a log that cannot be written is never the reason for a run to fail.

    Args:
        path: the run directory.
        event: its kind.
        fields: what is to be said of it; values that JSON does not know are written as text.
    """
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"time": now, "event": event, **fields}, ensure_ascii=False, default=str)
    # A disk that is full or read-only shows where results are written, and is an error there.
    with suppress(OSError):
        descriptor = os.open(path / LOG, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            # One call, so that lines of several processes never mix.
            os.write(descriptor, f"{_line_end(descriptor)}{line}\n".encode("utf-8", "replace"))
        finally:
            os.close(descriptor)


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a run, oldest first; a line that a power cut has torn is passed over."""
    try:
        stream = (path / LOG).open(encoding="utf-8", errors="replace")
    except OSError:
        return
    with stream:
        for line in stream:
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict) and isinstance(event.get("event"), str):
                yield event


def last_start(path: Path) -> dict[str, Any] | None:
    """Return the event of the last start, if it says of which process and host."""
    starts = [event for event in read_log(path) if event["event"] in ("start", "resume")]
    return starts[-1] if starts and {"process", "host"} <= set(starts[-1]) else None


def _line_end(descriptor: int) -> str:
    """Return what ends a torn last line, so that the next one is whole."""
    size = os.lseek(descriptor, 0, os.SEEK_END)
    return "\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else ""
