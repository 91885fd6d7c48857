"""Rates in two stages: a pilot on its own documents chooses them, once; a run that is taken up keeps them."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ripplestats as rs
from ripplestats import staged_rates
from ripplestats.errors import InputError, RunError
from ripplestats.fits.grid_refinement import Refinement
from ripplestats.prompts.sampling import PILOT_DOCUMENTS, split_pilot
from ripplestats.store.run_directory import Run
from ripplestats.sweeps.grid import NAMED_RATES, parse_rates
from tests.conftest import a_mistake_from, tiny_model, tiny_prompts

N = 34
COARSE = parse_rates(NAMED_RATES["staged"])
METRICS = ["delta_logit", "delta_logprob", "kl"]


def swept(out: Path, **options) -> Run:
    prompts = options.pop("prompts", tiny_prompts(N, 6))
    usual = {"rates": "staged", "arms": ("top", "random"), "layers": "0,2", "seed": 3}
    return rs.sweep(tiny_model(), prompts, out=out, **{**usual, **options})


def record(run: Run) -> dict:
    return run.manifest["options"]["staged_rates"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return swept(tmp_path_factory.mktemp("runs") / "run")


def test_the_pilots_documents_are_not_in_the_run(run: Run) -> None:
    pilot = record(run)["pilot"]
    assert pilot["prompt_ids"] == list(range(PILOT_DOCUMENTS))
    assert run.effects()["prompt_id"].unique().tolist() == list(range(PILOT_DOCUMENTS, N))
    assert run.prompts()["prompt_id"].tolist() == list(range(PILOT_DOCUMENTS, N))
    assert run.manifest["completeness"] == {
        "complete": True, "prompts_done": N - PILOT_DOCUMENTS, "prompts": N - PILOT_DOCUMENTS
    }  # fmt: skip


def test_the_run_has_the_coarse_rates_and_those_that_were_added(run: Run) -> None:
    rates = [Fraction(rate) for rate in record(run)["rates"]]
    assert set(COARSE) < set(rates)
    assert run.manifest["definition"]["rates"] == record(run)["rates"]
    assert run.effects()["rate"].unique().tolist() == [float(rate) for rate in rates]
    assert [float(rate) for rate in rates if rate not in COARSE] == record(run)["added"]


def test_the_pilots_table_is_what_a_run_of_its_prompts_over_the_coarse_rates_gives(run: Run, tmp_path: Path) -> None:
    pilot = record(run)["pilot"]
    alone = swept(tmp_path / "pilot", rates=NAMED_RATES["staged"], arms=("top",), prompts=tiny_prompts(N, 6)[:16])
    frame = alone.effects()
    later = frame[frame["layer"] == 2].groupby("effective_rate")["delta_logprob"]
    assert pilot["effective_rate"] == later.mean().index.tolist()
    np.testing.assert_allclose(pilot["effect"], later.mean(), rtol=0, atol=1e-5)
    np.testing.assert_allclose(pilot["std_error"], later.std() / 4, rtol=1e-4, atol=1e-6)


def test_a_run_that_is_taken_up_never_chooses_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    with a_mistake_from(prompt=1):
        swept(tmp_path / "run")
    half = rs.open_run(tmp_path / "run")
    assert not half.complete
    assert record(half) == record(run)

    def other(*_: object) -> Refinement:
        raise AssertionError("chosen again")

    monkeypatch.setattr(staged_rates, "refine", other)
    done = swept(tmp_path / "run")
    pd.testing.assert_frame_equal(done.effects(), run.effects())
    assert record(done) == record(run)


@pytest.mark.parametrize("size", [1, 5])
def test_the_batch_size_changes_nothing(run: Run, tmp_path: Path, size: int) -> None:
    other = swept(tmp_path / "run", batch_size=size)
    assert record(other)["rates"] == record(run)["rates"]
    np.testing.assert_allclose(other.effects()[METRICS], run.effects()[METRICS], rtol=0, atol=1e-5)


def test_a_grown_run_keeps_its_pilot_and_its_rates(run: Run, tmp_path: Path) -> None:
    few = tiny_prompts(N, 6)[:26]
    swept(tmp_path / "run", prompts=few)
    grown = swept(tmp_path / "run")
    assert grown.complete
    assert record(grown)["rates"] == record(run)["rates"]
    np.testing.assert_allclose(grown.effects()[METRICS], run.effects()[METRICS], rtol=0, atol=1e-5)


def test_a_run_with_a_grid_of_its_own_is_not_taken_up(tmp_path: Path) -> None:
    swept(tmp_path / "run", rates="5,10,50", prompts=tiny_prompts(N, 6)[16:])
    with pytest.raises(RunError, match="holds a run whose rates were not staged"):
        swept(tmp_path / "run")


def test_too_few_documents_are_refused_before_anything_is_run(tmp_path: Path) -> None:
    for prompts in (tiny_prompts(23, 6), tiny_prompts(60, 6, n_documents=16)):
        with pytest.raises(InputError, match="need 16 documents for the pilot and at least 8 prompts of others"):
            swept(tmp_path / "run", prompts=prompts)
    assert not (tmp_path / "run").exists()


def test_the_pilot_takes_one_prompt_of_each_of_the_first_documents() -> None:
    prompts = tiny_prompts(80, 6, n_documents=20)
    pilot, rest = split_pilot(prompts)
    assert [row.prompt_id for row in pilot] == list(range(16))
    assert {row.document_id for row in rest} == {16, 17, 18, 19}
    assert len(rest) == 16
