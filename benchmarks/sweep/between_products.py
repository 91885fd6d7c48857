"""Ours between matrix products: its share of what the machine can do at the same time.

A machine that is shared with others is half as fast again at one minute as at another, so that a peak from some other minute
says little. Here products and whole sweeps take turns. Each sweep is held against the better peak before and after it, which
lasts for milliseconds and which products alone do not keep up either, and against what the fastest shape of product keeps
up on the mean of all turns.

python -m benchmarks.sweep.between_products JOB.json RESULT.json
"""

import json
import sys
import tempfile
from pathlib import Path
from statistics import mean, median
from typing import Any

import transformers

from benchmarks.sweep.job import read_job
from benchmarks.sweep.matrix_peak import matrix_peak, sustained_rates
from benchmarks.sweep.operations import benchmark_shape, sweep_operations
from benchmarks.sweep.precision import set_precision
from benchmarks.sweep.timing import clock


def shares(sweeps: list[float], products: list[float]) -> dict[str, Any]:
    """Return each sweep's share of the rate of products that it is held against, and their median and range.

    Args:
        sweeps: operations a second.
        products: operations a second, one of them for each sweep.
    """
    found = [sweep / against for sweep, against in zip(sweeps, products, strict=True)]
    return {
        "shares": found,
        "median_share": median(found),
        "lowest_share": min(found),
        "highest_share": max(found),
    }


def main() -> int:
    """Measure products, a sweep of the job's one case, products, …; a first sweep warms up and is not counted."""
    from benchmarks.sweep.whole_sweep import load, make_sweep, run_and_write

    job = read_job(Path(sys.argv[1]))
    transformers.utils.logging.set_verbosity_error()
    dtype = set_precision(job.precision)
    model = load(job.folder, job.device, dtype)
    (case,) = job.cases
    sweep, shape = make_sweep(model, case, job.rates, job.batch_size), benchmark_shape(model.network.config)
    n, branches = len(case.prompts), len(sweep.grid.branches())
    operations = sweep_operations(shape, n, case.context, branches).total

    def products() -> tuple[float, list[float]]:
        sizes = (job.device, dtype, shape.hidden, shape.neurons)
        return matrix_peak(*sizes), sustained_rates(*sizes)

    with tempfile.TemporaryDirectory() as folder:
        run_and_write(sweep, Path(folder) / "run")
        found, sweeps = [products()], []
        for _ in range(job.repeats):
            before = clock(job.device)
            run_and_write(sweep, Path(folder) / "run")
            sweeps.append(operations / (clock(job.device) - before))
            found.append(products())
    peaks, sustained = map(list, zip(*found, strict=True))
    kept_up = max(mean(turns) for turns in zip(*sustained, strict=True))
    result = {
        "context": case.context,
        "prompts": n,
        "batch_size": sweep.batch_size,
        "operations_per_second": sweeps,
        "peaks": peaks,
        "of_peak": shares(sweeps, list(map(max, peaks[:-1], peaks[1:]))),
        "sustained_rates": sustained,
        "of_sustained": shares(sweeps, [kept_up] * len(sweeps)),
    }
    Path(sys.argv[2]).write_text(json.dumps(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
