"""Ours between matrix products: its share of what the machine can do at the same time.

A machine that is shared with others is half as fast again at one minute as at another, so that a peak from some other minute
says little. Here products and whole sweeps take turns, and each sweep is held against the better of the products before and
after it: against their peak, which lasts for milliseconds, and against the rate that they keep up for seconds.

python -m benchmarks.sweep.between_products JOB.json RESULT.json
"""

import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import transformers

from benchmarks.sweep.job import read_job
from benchmarks.sweep.matrix_peak import matrix_peak, sustained_rate
from benchmarks.sweep.operations import benchmark_shape, sweep_operations
from benchmarks.sweep.precision import set_precision
from benchmarks.sweep.timing import clock


def shares(products: list[float], sweeps: list[float]) -> dict[str, Any]:
    """Return each sweep's share of the better of the two rates of products around it, and their median and range.

    Args:
        products: operations a second of products, one more than sweeps.
        sweeps: operations a second of the sweeps between them.
    """
    found = [sweep / max(around) for sweep, *around in zip(sweeps, products[:-1], products[1:], strict=True)]
    return {
        "operations_per_second": products,
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

    def products() -> tuple[float, float]:
        sizes = (job.device, dtype, shape.hidden, shape.neurons)
        return matrix_peak(*sizes), sustained_rate(*sizes)

    with tempfile.TemporaryDirectory() as folder:
        run_and_write(sweep, Path(folder) / "run")
        found, sweeps = [products()], []
        for _ in range(job.repeats):
            before = clock(job.device)
            run_and_write(sweep, Path(folder) / "run")
            sweeps.append(operations / (clock(job.device) - before))
            found.append(products())
    peaks, sustained = map(list, zip(*found, strict=True))
    result = {
        "context": case.context,
        "prompts": n,
        "batch_size": sweep.batch_size,
        "operations_per_second": sweeps,
        "peak": shares(peaks, sweeps),
        "sustained": shares(sustained, sweeps),
    }
    Path(sys.argv[2]).write_text(json.dumps(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
