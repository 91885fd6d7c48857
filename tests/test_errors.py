import subprocess
import sys
from textwrap import dedent

import pytest

from ripplestats.errors import is_out_of_memory

#: What CPython raises where C code returns an error and has not said which, as some does that could not allocate.
WORDLESS = "error return without exception set"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
        RuntimeError("can't start new thread"),
        ImportError("lib.so: failed to map segment from shared object"),
        OSError(12, "Cannot allocate memory"),
    ],
    ids=repr,
)
def test_errors_of_memory_are_known_by_their_words(error: Exception) -> None:
    assert is_out_of_memory(error)


def test_an_error_that_memory_caused_is_one_of_memory() -> None:
    error = RuntimeError("Failed to import a module")
    assert not is_out_of_memory(error)
    error.__cause__ = MemoryError()
    assert is_out_of_memory(error)


def test_a_failure_without_words_is_one_of_memory_only_where_memory_is_short() -> None:
    assert not is_out_of_memory(SystemError(WORDLESS))
    script = f"""
        import resource
        from pathlib import Path
        from ripplestats.errors import is_out_of_memory

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 24), used + (1 << 24)))
        print(is_out_of_memory(SystemError({WORDLESS!r})), is_out_of_memory(ValueError({WORDLESS!r})))
    """
    done = subprocess.run([sys.executable, "-c", dedent(script)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
