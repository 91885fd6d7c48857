"""What the cost grows with, and how long it takes until the first prompt.

python -m benchmarks.sweep.scaling JOB.json RESULT.json
"""

import json
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import transformers

from benchmarks.sweep.job import first_prompts, read_job
from benchmarks.sweep.precision import set_precision
from benchmarks.sweep.processes import last_line, run_module


def linear_fit(n_prompts: list[int], seconds: list[float]) -> dict[str, float]:
    """Return the line seconds = a + b·prompts, how much of the variance it leaves, and the ratio of costs a prompt."""
    slope, intercept = np.polyfit(n_prompts, seconds, 1)
    residual = np.asarray(seconds) - (intercept + slope * np.asarray(n_prompts))
    per_prompt = np.asarray(seconds) / np.asarray(n_prompts)
    return {
        "seconds_per_prompt": float(slope),
        "constant_seconds": float(intercept),
        "unexplained_share": float((residual**2).sum() / np.var(seconds) / len(seconds)),
        "dearest_to_cheapest_prompt": float(per_prompt.max() / per_prompt.min()),
    }


def prefix_once(short: dict[str, Any], long: dict[str, Any]) -> float:
    """Return seconds of a long prompt over (a short prompt + one plain forward pass of the long one)."""
    return float(long["seconds_per_prompt"] / (short["seconds_per_prompt"] + long["plain_forward_seconds"]))


def start_seconds(folder: str, device: str, repeats: int) -> dict[str, Any]:
    """Return seconds from starting a process to its first prompt, and of ``--help``: medians.

    Raises:
        RuntimeError: a process failed; the message is its last line.
    """
    stages: list[dict[str, float]] = []
    helps = []
    for _ in range(repeats):
        before = perf_counter()
        done = run_module("benchmarks.sweep.first_prompt", folder, device)
        whole = perf_counter() - before
        if done.returncode != 0:
            raise RuntimeError(last_line(done.stderr))
        found = json.loads(done.stdout.splitlines()[-1])
        # The process knows how long it worked, not how long the interpreter took to start and end.
        outside = whole - found["first_prompt_done"]
        stages.append({name: seconds + outside for name, seconds in found.items()})
        before = perf_counter()
        run_module("ripplestats.run", "--help").check_returncode()
        helps.append(perf_counter() - before)
    return {
        **{f"{name}_seconds": median(stage[name] for stage in stages) for name in stages[0]},
        "help_seconds": median(helps),
    }


def main() -> int:
    """Time sweeps of a batch, two, four … : the job's one case holds the prompts of the largest."""
    from benchmarks.sweep.whole_sweep import load, time_sweeps

    job = read_job(Path(sys.argv[1]))
    transformers.utils.logging.set_verbosity_error()
    model = load(job.folder, job.device, set_precision(job.precision))
    (case,) = job.cases
    n = len(case.prompts)
    sizes = [size for size in (n // 8, n // 4, n // 2, n) if size and size % job.batch_size == 0]
    seconds = [
        time_sweeps(model, first_prompts(case, size), job.rates, job.batch_size, check=False).seconds for size in sizes
    ]
    result = {"n_prompts": sizes, "seconds": seconds, **linear_fit(sizes, seconds)}
    Path(sys.argv[2]).write_text(json.dumps(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
