"""Keep freed memory in the process while a sweep runs on the CPU.

Each matrix product of the sweep allocates some megabytes and frees them a moment later. glibc hands such blocks back
to the system each time, and the page faults of getting them again cost up to half of the sweep (measured on a virtual
machine). PyTorch has no caching allocator on the CPU.
"""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_KEEP = 2**30


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed blocks of up to 1 GiB; returns whether it did (False on other C libraries).

    All threads share one arena: the others have 64 MiB each, and what does not fit is asked of the system every time.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    options = {_M_ARENA_MAX: 1, _M_MMAP_THRESHOLD: _KEEP, _M_TRIM_THRESHOLD: _KEEP}
    taken = [mallopt(option, value) for option, value in options.items()]
    return all(taken)
