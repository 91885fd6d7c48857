"""Workers of one processor each on a Ray cluster of this machine: how much faster are two than one?

python -m benchmarks.cluster [--prompts 56] [--runs NAME ...]

Each run is a process of its own (the command line's, without the estimates) on the embedded model and passages, all 30
blocks × 9 rates, in shards of 8 prompts. What is compared is prompts a second between the first shard that is done with
all workers at work, and the last, read from the run's log: starting Ray, and loading the model, take the same time whatever
is computed after. The run on one processor without Ray is beside them. Writes benchmarks/results/cluster.json.
"""

import argparse
import json
import os
import sys
import tempfile
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from subprocess import run as run_process
from typing import Any

from benchmarks.measuring import machine, report
from ripplestats.store.run_directory import Run

RESULTS = Path(__file__).parent / "results" / "cluster.json"
_SWEEP_ONLY = "import sys; from ripplestats import run; run._finish = lambda *_: None; sys.exit(run.main(sys.argv[1:]))"
_ON_RAY = ["--cluster", "ray", "--worker-cpus", "1", "--workers"]
RUNS: dict[str, list[str]] = {"without Ray": [], "one worker": [*_ON_RAY, "1"], "two workers": [*_ON_RAY, "2"]}
PAIRS = (("two workers", "one worker"), ("one worker", "without Ray"))
_FLAGS = ("--dataset", "passages", "--arms", "top", "--rates", "coarse", "--engine", "onepass", "--device", "cpu")


def measured(name: str, prompts: int, more: list[str]) -> dict[str, Any]:
    """Sweep in a process of its own, and read from its log how fast it was."""
    with tempfile.TemporaryDirectory(prefix="cluster-benchmark-") as folder:
        command = [
            sys.executable,
            "-c",
            _SWEEP_ONLY,
            *_FLAGS,
            "--prompts",
            str(prompts),
            "--out",
            f"{folder}/run",
            *more,
        ]
        run_process(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        events = list(Run(Path(folder) / "run").events())
    ready = [_seconds(event) for event in events if event["event"] == "worker"]
    started = _seconds(next(event for event in events if event["event"] == "start"))
    # From the first shard that is done when all workers are at work; the last ones to end have less company.
    first, *others = (
        event for event in events if event["event"] == "shard" and _seconds(event) > max([started, *ready])
    )
    spent = _seconds(others[-1]) - _seconds(first)
    prompts_done = sum(event["prompts"] for event in others)
    figures = {
        "seconds": spent,
        "prompts": prompts_done,
        "prompts_a_second": prompts_done / spent,
        "seconds_to_first_worker": min(ready) - started if ready else 0.0,
    }
    report(name, figures)
    return figures


def _seconds(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["time"]).timestamp()


def main() -> int:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=56)
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS), help="the others are kept as they were")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    before = json.loads(RESULTS.read_text(encoding="utf-8"))["runs"] if RESULTS.exists() else {}
    new = {name: {**measured(name, given.prompts, RUNS[name]), "load_before": load} for name in given.runs}
    runs = {name: run for name, run in (before | new).items() if name in RUNS}
    speeds = {name: run["prompts_a_second"] for name, run in runs.items()}
    ratios = {f"{one} / {other}": speeds[one] / speeds[other] for one, other in PAIRS if {one, other} <= speeds.keys()}
    report("cluster", ratios)
    figures = {"machine": {**machine(), "ray": version("ray")}, "runs": runs, **ratios}
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
