"""Matrix products on one thread, while many small ones are computed: more threads would wait for each other."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from threadpoolctl import threadpool_limits

Given = ParamSpec("Given")
Found = TypeVar("Found")


def one_blas_thread(work: Callable[Given, Found]) -> Callable[Given, Found]:
    """Let a function's matrix products use one thread; with two, reading 10⁸ rows took nearly twice the time on two processors."""

    @wraps(work)
    def limited(*args: Given.args, **named: Given.kwargs) -> Found:
        with threadpool_limits(1, "blas"):
            return work(*args, **named)

    return limited
