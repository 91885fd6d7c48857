"""Write what is computed while the next is being computed."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any


class BackgroundWriter:
    """A thread that does one write at a time; what fails there is raised where the work goes on."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._pending: Future[None] | None = None

    def write(self, task: Callable[..., None], *arguments: Any) -> None:
        """Hand over a write, after waiting for the one before: never more than one shard is without its files."""
        self.wait()
        self._pending = self._pool.submit(task, *arguments)

    def wait(self) -> None:
        """Wait until all is written, and raise what went wrong."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()


@contextmanager
def background_writer() -> Iterator[BackgroundWriter]:
    """Give a writer; whatever happens, what was handed to it is written before this returns."""
    with ThreadPoolExecutor(1, thread_name_prefix="writer") as pool:
        writer = BackgroundWriter(pool)
        yield writer
        writer.wait()
