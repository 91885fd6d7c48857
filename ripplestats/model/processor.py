"""What the fastest arithmetic depends on: who made the processor, and how large the caches of its cores are."""

import platform
from functools import cache
from pathlib import Path

_INFORMATION = Path("/proc/cpuinfo")
_SECOND_LEVEL = Path("/sys/devices/system/cpu/cpu0/cache/index2/size")
#: Where the system does not say: what processors for servers have had since 2021.
_USUAL_CACHE = 2 * 2**20


@cache
def made_by_intel() -> bool:
    """Tell whether this machine's processor is of Intel's make."""
    if _INFORMATION.exists():
        return "GenuineIntel" in _INFORMATION.read_text(encoding="utf-8")
    return "Intel" in platform.processor()


@cache
def cache_of_core() -> int:
    """Return the bytes of the second-level cache, which a core has to itself."""
    said = _SECOND_LEVEL.read_text(encoding="ascii").strip() if _SECOND_LEVEL.exists() else ""
    return int(said[:-1]) * 1024 if said.endswith("K") else _USUAL_CACHE
