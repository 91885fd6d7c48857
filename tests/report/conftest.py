"""One synthetic run for all reports, its estimates included."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from ripplestats.fits.run_estimates import estimate_run
from ripplestats.hypotheses.run_claims import claims
from ripplestats.store.run_directory import Run
from tests.store.synthetic_run import make_run

#: A dataset's name that is code to TeX, to a shell and to matplotlib.
EVIL = r"evil_% & # \input{x} $"


@dataclasses.dataclass(frozen=True)
class Finished:
    """A run, what was estimated from it, and what follows for the claims."""

    run: Run
    estimates: pd.DataFrame
    claims: pd.DataFrame


def finished(path: Path, **options: object) -> Finished:
    """Make a run and estimate it, with few resamples."""
    run = make_run(path, **options)
    return Finished(run, estimate_run(run, n_boot=50, seed=0), claims(run, n_boot=50, seed=0))


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Twelve prompts of twelve documents, arms top and random, three layers, ten rates."""
    return finished(tmp_path_factory.mktemp("report") / "run", dataset=EVIL)
