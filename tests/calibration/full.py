"""The full tier: ``python -m tests.calibration.full [--only NAME] [--scale 0.1] [--workers 2]``.

Prints the tables of coverage, unbalanced (the same where cells are missing), size, power, mixed_model (the population
threshold), sequential (stopping at a width) and scores (how the sign flips' correction was chosen). At full scale the rows take the place of those of the same names in
``results/``, and a table of which all jobs were run replaces its file. ``--only`` takes a part of a job's name: "size",
"clear psi=5%", "n=30 " (with the space, for "n=300" holds it, too), "sequential".
"""

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

# Before numpy is loaded: two workers on two cores, one thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pandas as pd

from tests.calibration import tally
from tests.calibration.methods import SIMPLE_MODEL, SLOW_METHODS
from tests.calibration.nulls import NULLS
from tests.calibration.scenarios import (
    CLEAR,
    DOCUMENTS,
    OWN,
    coverage_scenarios,
    mixed_model_scenarios,
    power_scenarios,
    sequential_scenarios,
    usual_scenarios,
)
from tests.calibration.scores import DOCUMENTS as DOCUMENTS_OF_SCORES
from tests.calibration.scores import SKEWED, SYMMETRIC, scores
from tests.calibration.sequential import MOST_DOCUMENTS, sequential_coverage
from tests.calibration.simulate import Scenario
from tests.calibration.unbalanced import unbalanced_coverage

RESULTS = Path(__file__).parent / "results"
#: Data sets of each table, before ``--scale``.
SETS = {"coverage": 1000, "unbalanced": 200, "power": 1000, "sequential": 1000, "scores": 4000}
#: Of the sizes, by documents: most where they are hardest to keep.
SETS_OF_SIZE = {30: 10000, 100: 4000, 300: 4000}
#: Of the segmented mixed model by its law and the design, by documents; without a number it is not run.
SETS_OF_MIXED_MODEL = {
    ("general", CLEAR): {30: 300, 100: 150, 300: 75},
    ("general", OWN): {30: 100, 100: 50},
    ("simple", CLEAR): {30: 200, 100: 50},
    ("simple", OWN): {30: 200, 100: 50},
}
RESAMPLES = {"coverage": 1000, "size": 999, "break": 399, "scores": 499}


@dataclass(frozen=True)
class Job:
    """One scenario's share of a table."""

    table: str
    name: str
    rows: Callable[[], pd.DataFrame]


def jobs(scale: float) -> list[Job]:
    """Return all jobs, the longest first."""

    def sets(number: int) -> int:
        return max(round(number * scale), 5)

    found = [
        Job("mixed_model", f"mixed_model {law} {one.name}",
            partial(_population_coverage, one, sets(number[one.n_documents]), law))
        for (law, kind), number in SETS_OF_MIXED_MODEL.items()
        for one in mixed_model_scenarios() if one.kind == kind and one.n_documents in number
    ]  # fmt: skip
    found += [
        Job("coverage", f"coverage {one.name}", partial(tally.coverage, one, sets(SETS["coverage"]), RESAMPLES["coverage"]))
        for one in coverage_scenarios()
    ]  # fmt: skip
    found += [
        Job("unbalanced", f"unbalanced {one.name}", partial(unbalanced_coverage, one, sets(SETS["unbalanced"])))
        for one in usual_scenarios()
    ]
    found += [
        Job("size", f"size {name} n={n}",
            partial(tally.size, name, n, sets(SETS_OF_SIZE[n]), RESAMPLES["break" if "break" in name else "size"]))
        for name in NULLS for n in DOCUMENTS
    ]  # fmt: skip
    found += [
        Job("power", f"power {one.name} kink={one.slope_change}",
            partial(tally.power, one, sets(SETS["power"]), RESAMPLES["break"]))
        for one in power_scenarios()
    ]  # fmt: skip
    found += [
        Job("sequential", f"sequential {one.name}", partial(sequential_coverage, one, sets(SETS["sequential"])))
        for one in sequential_scenarios(MOST_DOCUMENTS)
    ]
    found += [
        Job("scores", f"scores {population} n={n}",
            partial(scores, population, n, sets(SETS["scores"]), RESAMPLES["scores"]))
        for population in (*SKEWED, *SYMMETRIC) for n in DOCUMENTS_OF_SCORES
    ]  # fmt: skip
    return sorted(found, key=lambda job: -int("n=300" in job.name) - 2 * int("mixed" in job.table))


def _population_coverage(scenario: Scenario, n_sets: int, law: str) -> pd.DataFrame:
    # Methods are looked up here, for functions without a name cannot be sent to another process.
    return tally.coverage(scenario, n_sets, 50, SLOW_METHODS if law == "general" else SIMPLE_MODEL)


def run(job: Job) -> tuple[str, str, float, pd.DataFrame]:
    """Run a job: its table, name, seconds and rows."""
    start = time.perf_counter()
    rows = job.rows()
    return job.table, job.name, time.perf_counter() - start, rows


def write(rows: pd.DataFrame, path: Path, *, whole: bool) -> None:
    """Write a table, or put its rows in the place of those of the same names in ``path``."""
    # The first columns name a row; sorted, so that the file does not depend on the order of jobs.
    keys = [name for name in rows.columns[: rows.columns.get_loc("sets")] if name != "truth"]
    if path.is_file() and not whole:
        rows = pd.concat([pd.read_csv(path), rows]).drop_duplicates(keys, keep="last")
    rows.sort_values(keys).to_csv(path, index=False, float_format="%.5g")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="a part of a job's name")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the data sets")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    start = time.perf_counter()
    possible = jobs(arguments.scale)
    chosen = [job for job in possible if arguments.only in f"{job.name} "]
    if not chosen:
        parser.error(f"--only {arguments.only!r} is in no job's name")
    tables: dict[str, list[pd.DataFrame]] = {}
    with get_context("spawn").Pool(arguments.workers) as pool:
        for done, (table, name, seconds, rows) in enumerate(pool.imap_unordered(run, chosen), 1):
            print(f"[{done}/{len(chosen)}] {name}: {seconds:.0f} s", flush=True)
            tables.setdefault(table, []).append(rows)
    RESULTS.mkdir(exist_ok=True)
    for table, parts in sorted(tables.items()):
        rows = pd.concat(parts)
        if arguments.scale == 1:
            write(rows, RESULTS / f"{table}.csv", whole=len(parts) == sum(job.table == table for job in possible))
        print(f"\n{table}\n{rows.to_string(index=False, float_format=lambda number: f'{number:.4g}')}")
    print(f"\n{len(chosen)} jobs, {(time.perf_counter() - start) / 60:.1f} min")


if __name__ == "__main__":
    main()
