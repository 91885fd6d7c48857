"""sweep() from Python: every cell once, in order, at the exact dose; taken up where it stopped; analysed from files."""

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ripplestats as rs
from ripplestats.errors import InputError
from ripplestats.store.run_directory import Run
from ripplestats.sweeps.runner import Sweep
from tests.conftest import a_mistake_from, tiny_model, tiny_prompts

ARMS = ("top", "bottom", "magnitude", "random", "keep_top")
REPLACEMENTS = ("median", "mean", "zero", "resample")
SITES = ("pre", "post")
#: In percent; of 64 neurons 1.5625 % are one and 7.8125 % are five exactly, and 0.5 % are none.
RATES = "0.5,1.5625,7.8125,29,57,100"
NEURONS = 64
SHARES = [Fraction(rate) / 100 for rate in RATES.split(",")]
METRICS = ["delta_logit", "delta_logprob", "kl"]
PROMPTS = 10


def swept(out: Path, **options) -> Run:
    """Sweep everything over ten prompts of five documents."""
    everything = {"rates": RATES, "arms": ARMS, "replacement": REPLACEMENTS, "site": SITES, "layers": "0,2", "seed": 3}
    prompts = options.pop("prompts", tiny_prompts(PROMPTS, 6, n_documents=5))
    return rs.sweep(tiny_model(options.pop("family", "llama")), prompts, out=out, **{**everything, **options})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return swept(tmp_path_factory.mktemp("runs") / "run")


def test_every_cell_is_there_once_and_in_order(run: Run) -> None:
    frame = run.effects()
    names = ["prompt_id", "arm", "replacement", "site", "layer", "rate"]
    rates = [float(share) for share in SHARES]
    expected = itertools.product(range(PROMPTS), ARMS, REPLACEMENTS, SITES, (0, 2), rates)
    assert list(frame[names].itertuples(index=False, name=None)) == list(expected)
    assert (frame["document_id"] == frame["prompt_id"] % 5).all()


def test_doses_are_exact_whole_neurons(run: Run) -> None:
    frame = run.effects()
    doses = {float(share): int(share * NEURONS) for share in SHARES}
    assert list(doses.values()) == [0, 1, 5, 18, 36, 64]
    assert (frame["k"] == frame["rate"].map(doses)).all()
    assert (frame["effective_rate"] == frame["k"] / NEURONS).all()


def test_effects_are_finite_and_differ_between_all_ways_of_intervening(run: Run) -> None:
    frame = run.effects()
    assert np.isfinite(frame[METRICS]).all().all()
    middle = frame[(frame["k"] == 18) & (frame["layer"] == 2)]
    curves = {
        names: group["delta_logprob"].to_numpy()
        for names, group in middle.groupby(["arm", "replacement", "site"], observed=True)
    }
    assert len(curves) == 5 * 4 * 2
    # The nonlinearity is zero at zero, so the same random neurons are zero after it as well.
    np.testing.assert_allclose(
        curves["random", "zero", "pre"], curves.pop(("random", "zero", "post")), rtol=0, atol=1e-5
    )
    for (one, values), (other, others) in itertools.combinations(curves.items(), 2):
        assert np.abs(values - others).max() > 1e-3, f"{one} and {other}"


def test_no_neuron_replaced_changes_nothing(run: Run) -> None:
    frame = run.effects()
    idle = np.where(frame["arm"] == "keep_top", frame["k"] == NEURONS, frame["k"] == 0)
    assert np.abs(frame.loc[idle, METRICS].to_numpy()).max() < 1e-5
    assert not frame.loc[idle, "top1_changed"].any()
    assert idle.sum() == PROMPTS * 5 * 4 * 2 * 2


def test_all_neurons_replaced_is_the_same_whatever_the_arm(run: Run) -> None:
    frame = run.effects()
    whole = frame[np.where(frame["arm"] == "keep_top", frame["k"] == 0, frame["k"] == NEURONS)]
    by_arm = [group[METRICS].to_numpy() for _, group in whole.groupby("arm", observed=True)]
    assert len(by_arm) == 5
    assert np.abs(by_arm[0]).max() > 0.1
    for other in by_arm[1:]:
        np.testing.assert_allclose(other, by_arm[0], rtol=0, atol=1e-5)


def test_donors_and_random_orders_do_not_depend_on_the_batch_size(run: Run, tmp_path: Path) -> None:
    expected = run.effects()
    for size in (1, 3):
        frame = swept(tmp_path / str(size), batch_size=size).effects()
        np.testing.assert_allclose(frame[METRICS], expected[METRICS], rtol=0, atol=1e-5)


def test_another_seed_changes_random_neurons_and_donors_only(run: Run, tmp_path: Path) -> None:
    frame, before = swept(tmp_path / "run", seed=4).effects(), run.effects()
    drawn = (before["arm"] == "random") | (before["replacement"] == "resample")
    moved = np.abs(frame["delta_logprob"] - before["delta_logprob"])
    assert moved[~drawn].max() == 0
    assert moved[drawn & (before["arm"] == "random") & (before["replacement"] == "zero")].max() > 0.01
    assert moved[drawn & (before["arm"] == "top")].max() > 0.01


def test_names_in_any_order_and_twice_give_the_same_run(tmp_path: Path) -> None:
    usual = {"replacement": ("median",), "site": ("pre",), "layers": "1"}
    one = swept(tmp_path / "one", arms=("random", "top", "top"), rates="50,10,10.0", **usual)
    two = swept(tmp_path / "two", arms=("top", "random"), rates="10,50", **usual)
    pd.testing.assert_frame_equal(one.effects(), two.effects())
    assert one.manifest["definition"] == two.manifest["definition"]


def test_numbers_are_shares_and_strings_are_percent(tmp_path: Path) -> None:
    usual = {"arms": ("top",), "replacement": ("median",), "site": ("pre",), "layers": "1"}
    one = swept(tmp_path / "one", rates=[0.1, Fraction(1, 2)], **usual)
    two = swept(tmp_path / "two", rates="10,50", **usual)
    pd.testing.assert_frame_equal(one.effects(), two.effects())


@pytest.mark.parametrize("replacement", [("median",), ("resample",)])
def test_a_slice_of_the_prompts_can_be_swept(tmp_path: Path, replacement: tuple[str, ...]) -> None:
    prompts = tiny_prompts(20, 6)
    usual = {"arms": ("top", "random"), "replacement": replacement, "site": ("pre",), "layers": "1"}
    frame = swept(tmp_path / "run", prompts=prompts[9:19], **usual).effects()
    assert frame["prompt_id"].unique().tolist() == list(range(9, 19))
    if replacement == ("median",):
        whole = swept(tmp_path / "whole", prompts=prompts, **usual).effects()
        whole = whole[whole["prompt_id"].between(9, 18)]
        np.testing.assert_allclose(frame[METRICS], whole[METRICS], rtol=0, atol=1e-5)


def test_no_prompts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        swept(tmp_path / "run", prompts=tiny_prompts(8, 6)[:0])


def test_wrong_arguments_make_no_folder(tmp_path: Path) -> None:
    for wrong in ({"arms": ("middle",)}, {"rates": [1.5]}, {"layers": "7"}, {"engine": "turbo"}):
        with pytest.raises(InputError):
            swept(tmp_path / "run", **wrong)
    assert not (tmp_path / "run").exists()


def test_a_finished_sweep_is_read_and_not_computed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a part was computed again")

    monkeypatch.setattr(Sweep, "run", refuse)
    said: list[str] = []
    again = swept(run.path, say=said.append)
    assert again.complete
    assert f"taking up the run in {run.path}: 2 parts are there" in said


def test_an_error_on_the_way_keeps_the_parts_and_says_so(tmp_path: Path, run: Run) -> None:
    with a_mistake_from(prompt=1):
        swept(tmp_path / "run")
    stopped = rs.open_run(tmp_path / "run")
    assert not stopped.complete
    assert stopped.manifest["completeness"]["prompts_done"] == 8
    assert stopped.prompts()["prompt_id"].tolist() == list(range(8))
    swept(tmp_path / "run")
    pd.testing.assert_frame_equal(stopped.effects(), run.effects())


def test_the_analysis_needs_the_files_alone_and_returns_the_summary(tmp_path: Path, tables_only: None) -> None:
    few = {"arms": ("top", "keep_top"), "replacement": ("zero",), "site": ("pre", "post"), "layers": "1"}
    swept(tmp_path / "run", rates="0,0.5,10,30,60,90", **few)
    run = rs.open_run(tmp_path / "run")
    text = rs.analyse(run, n_boot=100, seed=1)
    assert "10 prompts from 5 documents" in text
    estimates = run.estimates()
    assert set(estimates["arm"]) == {"top", "keep_top"}
    assert set(estimates["site"]) == {"pre", "post"}
    assert set(estimates["n_documents"]) == {5}
    assert run.manifest["analysis"] == {"n_boot": 100, "seed": 1}
