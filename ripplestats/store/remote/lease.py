"""One machine at a time works on a run in an object store: a lease there, renewed as long as its holder lives.

An object store has no locks. The holder of a lease writes it anew every so often; whoever else wants it watches it for
longer than that. A lease that changes meanwhile is held; one that does not is of a process that is gone. No clock of
another machine is asked. Should two take a stale lease in the same instant, or a free one where the store cannot refuse
the second, one sees the other's when it looks again, and stops; and if both were to write a shard, its checksums tell.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ripplestats.errors import StorageError
from ripplestats.store.remote.objects import Objects

LEASE = "lease.json"
#: Seconds between two renewals; how long a lease is watched before it counts as stale; and how long after taking one
#: that two may have taken it is looked at again.
RENEWED_EVERY, WATCHED_FOR, SETTLED_AFTER = 20.0, 70.0, 2.0


@dataclass
class Lease:
    """A lease that this process holds; ``lost`` says who took it, if somebody did."""

    objects: Objects
    owner: str
    lost: str = ""
    _number: int = 0
    _ends: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Refuse to go on where another one has taken the lease.

        Raises:
            StorageError: another process works on the run.
        """
        if self.lost:
            raise StorageError(f"--out {self.objects.address} was taken over by {self.lost}; this process stops here")
        if self._ends.is_set():
            raise StorageError(f"{self.objects.address} is not held any more, and so cannot be changed")

    def content(self) -> bytes:
        """Return what is written; no two are the same."""
        self._number += 1
        return json.dumps(
            {
                "owner": self.owner, "host": socket.gethostname(), "process": os.getpid(), "number": self._number,
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            }
        ).encode()  # fmt: skip

    def keep(self, also: Callable[[], None]) -> None:
        """Renew the lease, and do what else is done as often, until the end or until it is lost."""
        while not self._ends.wait(RENEWED_EVERY):
            try:
                there = _parsed(self.objects.get(LEASE))
                if there.get("owner") != self.owner:
                    self.lost = _holder(there)
                    return
                self.objects.put(LEASE, self.content())
                also()
            except StorageError as error:
                # The next shard that is written says it again, and ends the run.
                self.objects.say(f"the lease could not be renewed: {error}")

    def end(self) -> None:
        """Stop renewing."""
        self._ends.set()


@contextmanager
def leased(objects: Objects, owner: str, also: Callable[[], None]) -> Iterator[Lease]:
    """Hold the lease of a run.

    Args:
        objects: of the run.
        owner: who asks; a lease that it holds already, of a process that was killed, is its own.
        also: is called after each renewal, from another thread.

    Raises:
        StorageError: another process holds it, or the store fails.
    """
    lease = Lease(objects, owner)
    _take(lease)
    keeper = threading.Thread(target=lease.keep, args=(also,), daemon=True)
    keeper.start()
    try:
        yield lease
    finally:
        lease.end()
        keeper.join()
        # Where the store fails, the lease goes stale by itself.
        with suppress(StorageError):
            if _parsed(objects.get(LEASE)).get("owner") == owner:
                objects.remove(LEASE)


def holder(objects: Objects) -> str:
    """Say who holds the lease of a run, or held it when killed; empty where nobody does."""
    there = objects.get(LEASE)
    return "" if there is None else _holder(_parsed(there))


def _take(lease: Lease) -> None:
    objects, mine = lease.objects, lease.content()
    while True:
        # Looked at first: not every store minds that an object is only to be created.
        there = objects.get(LEASE)
        if there is None:
            if not objects.create(LEASE, mine):
                continue
            if objects.exclusive:
                return
        elif _parsed(there).get("owner") == lease.owner:
            objects.put(LEASE, mine)
            return
        elif _is_stale(objects, there):
            objects.put(LEASE, mine)
        else:
            continue
        time.sleep(SETTLED_AFTER)
        if objects.get(LEASE) != mine:
            raise _in_use(objects)
        return


def _is_stale(objects: Objects, there: bytes) -> bool:
    """Watch a lease: True where nobody renews it, False where it is given back."""
    who = _holder(_parsed(there))
    objects.say(f"{objects.address} is held by {who}; watching for {WATCHED_FOR:g} s whether it still is")
    until = time.monotonic() + WATCHED_FOR
    while time.monotonic() < until:
        time.sleep(min(RENEWED_EVERY, WATCHED_FOR) / 4)
        now = objects.get(LEASE)
        if now is None:
            return False
        if now != there:
            raise _in_use(objects)
    objects.say(f"the lease of {who} is stale, and taken over")
    return True


def _in_use(objects: Objects) -> StorageError:
    return StorageError(
        f"--out {objects.address} is being worked on by {holder(objects) or 'another process'}; wait for it, or choose "
        "another --out"
    )


def _parsed(content: bytes | None) -> dict[str, Any]:
    try:
        found = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _holder(lease: dict[str, Any]) -> str:
    said = f"process {lease.get('process')} on {lease.get('host')} (renewed {lease.get('time')})"
    return "".join(one for one in said if one.isprintable())[:200]
