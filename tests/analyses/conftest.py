"""The scripts of analyses/ as modules, and what they make of two finished synthetic runs."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ripplestats as rs
from ripplestats.errors import InputError
from ripplestats.fits import run_estimates
from ripplestats.fits.curve_layout import Cell
from ripplestats.fits.run_estimates import MAIN_METRIC
from ripplestats.fits.run_moderators import run_moderators
from ripplestats.report.tables import write_moderators
from ripplestats.store.run_directory import Run
from tests.store.synthetic_run import make_run

ROOT = Path(__file__).parents[2]
ANALYSES = ROOT / "analyses"
sys.path.insert(0, str(ANALYSES))

from from_run import FinishedRun  # noqa: E402


@dataclasses.dataclass(frozen=True)
class Built:
    """A finished run, and the folder of all that the scripts made of it."""

    run: Run
    out: Path

    @property
    def texts(self) -> dict[str, str]:
        return {path.stem: path.read_text(encoding="utf-8") for path in sorted(self.out.glob("*.tex"))}


def later_and_weaker(rate: np.ndarray) -> np.ndarray:
    """Another law than that of the first run: a break at 10 %, and a slope above it."""
    return 0.37 * np.minimum(rate, 0.1) / 0.1 + 0.21 * np.maximum(rate - 0.1, 0)


def estimate(run: Run, n_boot: int = 60) -> None:
    """Write the tables that the scripts read, without the run's own figures and page.

    The segmented mixed model, which takes most of it, is fitted only where the paper shows it: with the median.
    """
    fit = run_estimates.population_rows
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            run_estimates,
            "population_rows",
            lambda run, cell, level: fit(run, cell, level) if cell.replacement == "median" else pd.DataFrame(),
        )
        rs.estimate_run(run, n_boot=n_boot).to_csv(run.path / "estimates.csv", index=False)
    rs.claims(run, n_boot=n_boot).to_csv(run.path / "claims.csv", index=False)
    rs.specification_curve(run, n_boot=n_boot).rows.to_csv(run.path / "specifications.csv", index=False)
    try:
        write_moderators(run, run_moderators(run, Cell("top", "median", "pre", MAIN_METRIC)))
    except InputError as error:
        write_moderators(run, str(error))
    run.update(analysis={"n_boot": n_boot, "seed": 0})


def built(folder: Path, **options: object) -> Built:
    import paper_parts

    run = make_run(folder / "run", layers=(0, 1), **options)
    estimate(run)
    paper_parts.write(FinishedRun(run, folder / "generated"))
    return Built(run, folder / "generated")


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Twelve prompts of as many documents; arms top and random, the median."""
    return built(tmp_path_factory.mktemp("first"), dataset="first-corpus")


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Fourteen prompts of seven documents, every kind of arm and replacement, another law."""
    return built(
        tmp_path_factory.mktemp("second"),
        dataset="second-corpus",
        prompts=14,
        per_document=2,
        arms=("top", "random", "keep_top"),
        replacements=("median", "zero"),
        curve=later_and_weaker,
        noise=0.17,
    )
