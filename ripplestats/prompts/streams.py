"""Rows of a streamed corpus: a connection that breaks is waited for, and reading goes on at the row where it broke.

Three layers try again, and each does what it can do best. The hub's client repeats a request that fails (five times, with
pauses from 1 to 8 s, or as long as the hub asks by Retry-After); the layer above it in ``datasets`` waits for minutes in
silence and is switched off; what is left is waited for here, for the stream as a whole, and said.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from ripplestats import hub
from ripplestats.errors import first_line

if TYPE_CHECKING:
    from datasets import IterableDataset

#: How often in a row a stream may break without a row between, and the first pause after it, seconds; each is twice the last.
MOST_BREAKS = 5
FIRST_PAUSE = 2.0

Found = TypeVar("Found")
Say = Callable[[str], None]


def no_silent_retries() -> None:
    """Let ``datasets`` hand on at once what the hub's client could not mend by its own retries."""
    import datasets

    for what in ("READ", "OPEN"):
        setattr(datasets.config, f"STREAMING_{what}_MAX_RETRIES", 1)
    # It pauses once more even before it gives up.
    for what in ("READ_RETRY", "READ_SERVER_UNAVAILABLE_RETRY", "READ_RATE_LIMIT_RETRY", "OPEN_RETRY"):
        setattr(datasets.config, f"STREAMING_{what}_INTERVAL", 0)


def patiently(name: str, work: Callable[[], Found], say: Say) -> Found:
    """Return what ``work`` returns, tried again after each failure of the connection that may pass."""
    patience = _Patience(name, say)
    with hub.retries_told(say):
        while True:
            try:
                return work()
            except hub.reading_errors() as error:
                if not patience.waits(error, "could not be opened; trying again"):
                    raise


def unbroken(name: str, rows: "IterableDataset", say: Say) -> Iterator[dict[str, Any]]:
    """Yield the rows of a stream, each once and in their order, however often the connection breaks on the way.

    Args:
        name: of the corpus.
        rows: a streamed dataset, whose state says at which row it is.
        say: is told in one line of each break.

    Raises:
        Exception: what the hub's client or ``datasets`` raises, once it has happened too often in a row or will not pass.
    """
    patience, n_rows = _Patience(name, say), 0
    with hub.retries_told(say):
        while True:
            try:
                for row in rows:
                    patience.breaks = 0
                    n_rows += 1
                    yield row
            except hub.reading_errors() as error:
                if not patience.waits(error, f"broke off after {n_rows} rows; going on there"):
                    raise
                if n_rows:
                    rows.load_state_dict(rows.state_dict())
            else:
                return


@dataclass
class _Patience:
    name: str
    say: Say
    breaks: int = field(default=0)

    def waits(self, error: BaseException, what: str) -> bool:
        """Wait before the next try, and say so; return False where the error will not pass, or came too often."""
        cause = hub.passing(error)
        if cause is None or self.breaks == MOST_BREAKS:
            return False
        pause = max(FIRST_PAUSE * 2**self.breaks, hub.retry_after(cause))
        self.breaks += 1
        why = first_line(cause)[:200]
        self.say(f"{self.name} {what} in {pause:.0f} s, try {self.breaks} of {MOST_BREAKS} ({why})")
        time.sleep(pause)
        return True
