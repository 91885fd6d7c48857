"""A run of 10^8 rows of effects, read and fitted, beside DuckDB's plain scan of the same files.

python -m benchmarks.out_of_core [--documents 3000] [--folder /tmp/…] [--keep] [--analyse]

Writes the run (about 1.1 GB, synthetic values in the sweep's schema, row order and shards) and measures, each step in a
process of its own, all with the files in the page cache: DuckDB's plain scan, sums of every column and row, on two
threads; the statistics of all cells; these and the fits of the main cell (thresholds, plateaus and core fractions
of all blocks with 2,000 resamples of documents, and the mixed models). Steps are interleaved, so that another load on the
machine meets all of them alike; ``running`` is what else was running between them. Writes benchmarks/results/out_of_core.json.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measuring import machine, report, timed_once
from ripplestats.fits.blas import one_blas_thread

RESULTS = Path(__file__).parent / "results" / "out_of_core.json"
ROUNDS = 2
_NUMBERS = (
    "prompt_id", "document_id", "layer", "rate", "k", "effective_rate", "delta_logprob", "delta_logit", "kl",
)  # fmt: skip
_NAMES = ("arm", "replacement", "site")


def scan(folder: Path) -> None:
    """Sum every column (of names: count the values) over all rows, in DuckDB on two threads."""
    import duckdb

    sums = [f"sum({name})" for name in (*_NUMBERS, "top1_changed::int")] + [f"count({name})" for name in _NAMES]
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute(f"select {', '.join(sums)} from read_parquet('{folder}/effects/*.parquet')").fetchall()


def statistics(folder: Path) -> None:
    """Reduce the effects to the statistics of every cell."""
    from ripplestats.fits.run_statistics import run_statistics
    from ripplestats.store.run_directory import open_run

    run_statistics(open_run(folder), products=["delta_logprob"])


@one_blas_thread
def fits(folder: Path) -> None:
    """Reduce the effects, and fit the main cell."""
    import numpy as np

    from ripplestats.fits.bootstrap import resample_documents
    from ripplestats.fits.core import core_terms
    from ripplestats.fits.curve_layout import Cell
    from ripplestats.fits.run_models import mixed_rows
    from ripplestats.fits.run_statistics import run_statistics
    from ripplestats.fits.segmented import segmented_terms
    from ripplestats.store.run_directory import open_run

    found = run_statistics(open_run(folder), products=["delta_logprob"])
    main = Cell("top", "median", "pre", "delta_logprob")
    curves = found.curves[main]
    resamples = resample_documents(curves.n_documents, 2000, np.random.default_rng(0))
    segmented_terms(curves, resamples, 0.95, ("inversion", "expanded"))
    core_terms(curves, resamples, 0.95, (0.5, 0.8, 0.9), intervals=("inversion", "expanded"))
    mixed_rows(curves, found.products[main], 0.95)


def analyse(folder: Path) -> None:
    """Write everything that a run's analysis writes."""
    import ripplestats

    ripplestats.analyse(ripplestats.open_run(folder))


STEPS: dict[str, Callable[[Path], None]] = {"scan": scan, "statistics": statistics, "fits": fits, "analyse": analyse}


def measured(step: str, folder: Path) -> dict[str, float]:
    """Run a step in a process of its own: seconds by the clock and of the processors, and peak memory in GB."""
    command = [sys.executable, "-m", "benchmarks.out_of_core", "--step", step, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> int:
    """Write the run, measure, write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=3000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--keep", action="store_true", help="take the run that is in FOLDER, or leave it there")
    parser.add_argument("--analyse", action="store_true", help="also time the whole analysis, which is long")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        clock, processor = timed_once(lambda: STEPS[given.step](given.folder))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps({"seconds": clock, "processor_seconds": processor, "peak_gb": peak}))
        return 0
    folder = given.folder or Path(tempfile.mkdtemp(prefix="out-of-core-"))
    try:
        figures = _figures(folder, given.documents, [*("scan", "statistics", "fits"), *["analyse"][: given.analyse]])
    finally:
        if not given.keep:
            shutil.rmtree(folder, ignore_errors=True)
    report("out of core", {name: value for name, value in figures.items() if not isinstance(value, dict)})
    RESULTS.write_text(json.dumps({"machine": machine(), **figures}, indent=2) + "\n", encoding="utf-8")
    return 0


def _figures(folder: Path, documents: int, steps: list[str]) -> dict[str, Any]:
    from benchmarks.out_of_core_run import LAYERS, PER_DOCUMENT, RATES, write_run
    from ripplestats.store.run_directory import MANIFEST, open_run

    if not (folder / MANIFEST).exists():
        write_run(folder, documents)
    parts = open_run(folder).parts()
    measured("scan", folder)  # fills the page cache
    kept = ("seconds", "processor_seconds", "peak_gb")
    running, rounds = [_running()], []
    for number in range(ROUNDS):
        rounds.append({step: measured(step, folder) for step in steps if step != "analyse" or not number})
        running.append(_running())
    best = {step: {name: min(one[step][name] for one in rounds if step in one) for name in kept} for step in steps}
    ratios = {
        f"{step} / scan, {name}": best[step][name] / best["scan"][name]
        for step in steps[1:]
        for name in kept
        if name != "peak_gb"
    }
    return {
        "rows": documents * PER_DOCUMENT * LAYERS * RATES,
        "files": len(parts),
        "running": max(running),
        "gb": sum(part.stat().st_size for part in parts) / 1e9,
        "steps": best,
        **ratios,
        "largest peak_gb": max(best[step]["peak_gb"] for step in steps),
    }


def _running() -> int:
    """Return how many other processes are running at this moment."""
    return int(Path("/proc/loadavg").read_text(encoding="utf-8").split()[3].partition("/")[0]) - 1


if __name__ == "__main__":
    sys.exit(main())
