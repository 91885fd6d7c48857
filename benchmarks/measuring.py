"""What every benchmark needs: the machine in words, a clock for short work, and R as a process."""

import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import scipy


def machine() -> dict[str, Any]:
    """Return processor, number of processors, threads allowed, system and library versions."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "processors": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "not limited"),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }


def timed(work: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Return mean seconds of a call by the clock and of the processor; the first call is not counted."""
    work()
    clock, processor = perf_counter(), process_time()
    for _ in range(repeats):
        work()
    return (perf_counter() - clock) / repeats, (process_time() - processor) / repeats


def timed_once(work: Callable[[], Any]) -> tuple[float, float]:
    """Return seconds of the only call, of work too long to repeat, by the clock and of the processor."""
    clock, processor = perf_counter(), process_time()
    work()
    return perf_counter() - clock, process_time() - processor


def report(title: str, figures: dict[str, Any]) -> None:
    """Print figures, one a line."""
    for name, value in figures.items():
        print(f"{title:10} {name:46} {value:.4g}" if isinstance(value, float) else f"{title:10} {name:46} {value}")


def in_r(script: Path, *arguments: str) -> list[list[str]] | None:
    """Run an R script and return the words of its lines, or None, and say why, where it cannot be run."""
    rscript = shutil.which("Rscript")
    if rscript is None:
        print("Rscript is not there: ours only")
        return None
    found = subprocess.run([rscript, str(script), *arguments], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        print(f"R failed: {found.stderr.strip().splitlines()[-1:]}")
        return None
    return [line.split() for line in found.stdout.strip().splitlines()]
