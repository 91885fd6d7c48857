"""Progress of a long loop: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Seconds between plain lines.
_EVERY = 15.0


@contextmanager
def progress(total: int, unit: str, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Show the progress of ``total`` units on stderr; yields what to call with the number just finished.

    Args:
        total: how many units there are.
        unit: their name, in the plural.
        done: how many were finished by an earlier start.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, initial=done, unit=f" {unit}", dynamic_ncols=True, smoothing=0.1) as bar:
            yield bar.update
        return
    started = last = time.monotonic()
    finished = done

    def tell(count: int) -> None:
        nonlocal finished, last
        finished += count
        now = time.monotonic()
        if now - last >= _EVERY or finished == total:
            last = now
            rate = (finished - done) / max(now - started, 1e-3)
            left = duration((total - finished) / rate)
            print(f"{finished}/{total} {unit}, {rate:.2f} a second, {left} left", file=sys.stderr, flush=True)  # noqa: T201

    yield tell


def duration(seconds: float) -> str:
    """Return a time in words: ``45 s``, ``2 min 05 s``, ``3 h 20 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
