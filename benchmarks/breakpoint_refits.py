"""Refits of one break in a document bootstrap: ours in one batch, and R's lm + segmented one by one.

    python benchmarks/breakpoint_refits.py

Both refit bootstrap replicates of the same mean curve of 31 rates; R does the first 200 of them. Prints and returns the
mean seconds of a refit by the clock and of the processor, their ratios, and how often R ends at the global minimum that
ours is. On a busy machine the processor's time is the one to trust; each runs on one thread where the environment
(``OMP_NUM_THREADS=1``) says so.
"""

import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from ripplestats.fits.breakpoint import BreakDesign

REFITS, IN_R, REPEATS = 10_000, 200, 5
#: The rates of the grid ``seed``.
PERCENT = [
    0.2,
    0.4,
    0.6,
    0.8,
    1,
    1.2,
    1.4,
    1.6,
    1.8,
    2,
    2.5,
    3,
    3.5,
    4,
    4.5,
    5,
    6,
    7,
    8,
    9,
    10,
    12,
    15,
    *range(20, 91, 10),
]


def replicates(seed: int = 0, documents: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Return the rates, and mean curves of resampled documents whose break lies at 3.3 % on average."""
    rng = np.random.default_rng(seed)
    x = np.array(PERCENT) / 100
    at = 0.033 * rng.gamma(16, 1 / 16, (documents, 1))
    curves = rng.gamma(4, 1 / 4, (documents, 1)) * np.minimum(x / at, 1) + 0.3 * rng.standard_t(3, (documents, len(x)))
    counts = rng.multinomial(documents, np.full(documents, 1 / documents), size=REFITS)
    return x, counts @ curves / documents


def ours(x: np.ndarray, rows: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Return the mean seconds of a refit by the clock and of the processor, set-up included, and what is left."""
    BreakDesign(x, np.ones(len(x))).fit(rows[:10])
    clock, processor_clock = perf_counter(), process_time()
    for _ in range(REPEATS):
        fit = BreakDesign(x, np.ones(len(x))).fit(rows)
    refits = REPEATS * len(rows)
    return (perf_counter() - clock) / refits, (process_time() - processor_clock) / refits, fit.residual_ss


def theirs(x: np.ndarray, rows: np.ndarray) -> dict[str, Any] | None:
    """Return what R took, or None where there is no R with segmented."""
    script = Path(__file__).with_suffix(".R")
    rscript = shutil.which("Rscript")
    if rscript is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "curves.csv"
        np.savetxt(table, np.vstack([x, rows]), delimiter=",", fmt="%.17g")
        found = subprocess.run([rscript, str(script), str(table)], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        print(f"R failed: {found.stderr.strip()}")
        return None
    head, left = found.stdout.strip().splitlines()
    version, refits, failed, seconds, processor_seconds = head.split()
    residual_ss = np.array([float(word) for word in left.replace("NA", "nan").split()])
    return {
        "version": version,
        "refits": int(refits),
        "failed": int(failed),
        "seconds": float(seconds),
        "processor_seconds": float(processor_seconds),
        "residual_ss": residual_ss,
    }


def processor() -> str:
    """Return the processor's description."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> dict[str, Any]:
    """Measure, print and return the figures."""
    x, rows = replicates()
    seconds, processor_seconds, residual_ss = ours(x, rows)
    result: dict[str, Any] = {
        "processor": processor(),
        "processors": os.cpu_count(),
        "platform": platform.platform(),
        "numpy": np.__version__,
        "refits": len(rows),
        "seconds_per_refit": seconds,
        "processor_seconds_per_refit": processor_seconds,
    }
    in_r = theirs(x, rows[:IN_R])
    if in_r is None:
        print("Rscript or its package segmented is not there: ours only")
    else:
        ratio = in_r["residual_ss"] / residual_ss[:IN_R]
        result |= {
            "segmented": in_r["version"],
            "refits_in_r": in_r["refits"],
            "failed_in_r": in_r["failed"],
            "seconds_per_refit_in_r": in_r["seconds"],
            "processor_seconds_per_refit_in_r": in_r["processor_seconds"],
            "times_faster": in_r["seconds"] / seconds,
            "times_faster_by_processor_time": in_r["processor_seconds"] / processor_seconds,
            "r_at_the_global_minimum": float(np.mean(ratio < 1 + 1e-6)),
            "largest_excess_of_r": float(np.nanmax(ratio) - 1),
            "lowest_ratio_of_r": float(np.nanmin(ratio)),
        }
    for name, value in result.items():
        print(f"{name:34} {value:.4g}" if isinstance(value, float) else f"{name:34} {value}")
    return result


if __name__ == "__main__":
    main()
