"""All estimates of a run, held against the single estimators on the same rows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ripplestats.fits import run_models
from ripplestats.fits.core import core_fraction
from ripplestats.fits.curve_layout import Cell
from ripplestats.fits.mixed import mixed
from ripplestats.fits.random_breaks.law_choice import fit_by_law
from ripplestats.fits.random_breaks.layout import GENERAL, SIMPLE
from ripplestats.fits.random_breaks.model import BreakModel
from ripplestats.fits.run_estimates import CURVE_METRICS, INVERTED, RESAMPLED, estimate_run, layer_curves
from ripplestats.fits.run_models import CROSSED, MIXED, POPULATION_GENERAL, POPULATION_SIMPLE
from ripplestats.fits.segmented import segmented
from ripplestats.fits.segmented_mixed import segmented_mixed
from ripplestats.store.run_directory import Run
from ripplestats.store.schema import ESTIMATES
from tests.pictures import leave_out_random_breaks
from tests.store.synthetic_run import BREAK, make_run

N_BOOT = 40
BCA = "document bootstrap, BCa"
LIMITS = ["estimate", "std_error", "conf_low", "conf_high"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("estimates") / "run", prompts=20, per_document=2)


@pytest.fixture(scope="module")
def found(run: Run) -> pd.DataFrame:
    return estimate_run(run, n_boot=N_BOOT, seed=3)


def rows(found: pd.DataFrame, **chosen: object) -> pd.DataFrame:
    for column, value in chosen.items():
        found = found[found[column] == value]
    return found.reset_index(drop=True)


def test_the_columns_are_those_of_the_contract(found: pd.DataFrame) -> None:
    assert tuple(found.columns) == ESTIMATES
    assert (found["conf_level"] == 0.95).all()
    assert (found["n_prompts"] == 20).all()
    assert (found["n_documents"] == 10).all()


def test_every_arm_metric_layer_and_interval_has_a_threshold(found: pd.DataFrame) -> None:
    cells = rows(found, quantity="threshold").groupby(["arm", "metric", "layer", "method"]).size()
    assert len(cells) == 2 * len(CURVE_METRICS) * 4 * 4
    assert (cells == 1).all()
    assert set(cells.index.get_level_values("layer")) == {"all", "0", "1", "2"}


def test_the_shares_of_the_core_are_a_half_and_eight_and_nine_tenths(found: pd.DataFrame) -> None:
    assert sorted(rows(found, quantity="core_fraction")["share"].unique()) == [0.5, 0.8, 0.9]
    assert rows(found, quantity="plateau")["share"].isna().all()


def test_the_share_of_changed_predictions_has_a_plateau_and_nothing_else(found: pd.DataFrame) -> None:
    assert set(rows(found, metric="top1_changed")["quantity"]) == {"plateau"}


@pytest.mark.parametrize(
    ("method", "interval"), [(RESAMPLED, "expanded"), (BCA, "bca"), (INVERTED, "inversion"), ("delta method", "wald")]
)
def test_a_layers_threshold_is_that_of_segmented(run: Run, found: pd.DataFrame, method: str, interval: str) -> None:
    frame = run.effects()
    frame = frame[(frame["arm"] == "top") & (frame["layer"] == 1)]
    alone = segmented(
        frame, y="kl", x="effective_rate", cluster="document_id", n_boot=N_BOOT, seed=3, interval=interval
    ).tidy()
    mine = rows(found, arm="top", layer="1", metric="kl", method=method)
    mine = mine[mine["quantity"].isin(alone["term"])]
    alone = alone[:1] if interval == "inversion" else alone  # slopes have no test of their own to invert
    assert list(mine["quantity"]) == list(alone["term"])
    # The streaming pass adds in another order.
    np.testing.assert_allclose(mine[LIMITS], alone[LIMITS], rtol=1e-6)


def test_a_layers_core_fractions_are_those_of_core_fraction(run: Run, found: pd.DataFrame) -> None:
    frame = run.effects()
    frame = frame[(frame["arm"] == "random") & (frame["layer"] == 2)]
    alone = core_fraction(
        frame, y="delta_logit", x="effective_rate", cluster="document_id", n_boot=N_BOOT, seed=3, interval="expanded"
    ).tidy()
    mine = rows(found, arm="random", layer="2", metric="delta_logit", method=RESAMPLED)
    mine = mine[mine["quantity"].isin(["plateau", "core_fraction"])]
    np.testing.assert_allclose(mine[LIMITS], alone[LIMITS], rtol=1e-6)


def test_all_is_the_mean_over_the_later_blocks(run: Run) -> None:
    frame = run.effects()
    frame = frame[frame["arm"] == "top"]
    curves = layer_curves(frame, "delta_logprob")
    expected = frame[frame["layer"] > 0].groupby("effective_rate")["delta_logprob"].mean()
    assert curves.groups == ("all", 0, 1, 2)
    np.testing.assert_allclose(curves.pooled()[0], expected, rtol=1e-5)


def test_the_break_that_was_put_in_is_found(found: pd.DataFrame) -> None:
    for layer in ("all", "0", "1", "2"):
        row = rows(found, quantity="threshold", arm="top", layer=layer, metric="delta_logprob", method=INVERTED)
        assert row["estimate"].item() == pytest.approx(BREAK, abs=0.003), layer


def with_knot(frame: pd.DataFrame) -> pd.DataFrame:
    percent = 100 * frame["effective_rate"]
    return frame.assign(below=percent.clip(upper=10), above=(percent - 10).clip(lower=0))


def test_a_layers_mixed_model_is_that_of_mixed(run: Run, found: pd.DataFrame) -> None:
    frame = run.effects()
    frame = with_knot(frame[(frame["arm"] == "top") & (frame["layer"] == 2)])
    groups = ("document_id", "prompt_id")
    alone = mixed(frame, "delta_logprob ~ below + above", groups=groups, re_formula="~ below").tidy()
    mine = rows(found, method=MIXED, layer="2")
    names = {
        "sd document_id Intercept": "mixed_sd_document_intercept",
        "sd document_id below": "mixed_sd_document_slope_below",
        "sd prompt_id Intercept": "mixed_sd_prompt_intercept",
        "sd prompt_id below": "mixed_sd_prompt_slope_below",
        "sd residual": "mixed_sd_residual",
        "Intercept": "mixed_intercept",
        "below": "mixed_slope_below",
        "above": "mixed_slope_above",
    }
    alone = alone[alone["term"].isin(list(names))]
    assert list(mine["quantity"]) == [names[term] for term in alone["term"]]
    np.testing.assert_allclose(mine[LIMITS].iloc[:3], alone[LIMITS].iloc[:3], rtol=1e-5)
    np.testing.assert_allclose(mine["estimate"], alone["estimate"], rtol=1e-4, atol=1e-5)


def test_the_model_of_all_layers_is_that_of_mixed_with_layers_crossed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_random_breaks(monkeypatch.setattr)
    run = make_run(tmp_path / "run", arms=("top",), layers=(0, 1, 2, 3, 4, 5), prompts=12, noise=0.3)
    frame = run.effects()
    frame = with_knot(frame[frame["layer"] > 0])
    alone = mixed(
        frame, "delta_logprob ~ below + above", groups="prompt_id", crossed="layer",
        re_formula={"prompt_id": "~ below", "layer": "~ below", "prompt_id:layer": "~ below"},
    ).tidy()  # fmt: skip
    mine = rows(estimate_run(run, n_boot=N_BOOT), method=CROSSED)
    assert list(mine["layer"].unique()) == ["all"]
    np.testing.assert_allclose(mine[LIMITS].iloc[:3], alone[LIMITS].iloc[:3], rtol=1e-4)
    assert "mixed_sd_layer_intercept" in set(mine["quantity"])
    assert "mixed_sd_interaction_slope_below" in set(mine["quantity"])


def test_population_thresholds_are_those_of_segmented_mixed(run: Run, found: pd.DataFrame) -> None:
    frame = run.effects()
    frame = frame[(frame["arm"] == "top") & (frame["layer"] == 1)]
    alone = segmented_mixed(
        frame, y="delta_logprob", x="effective_rate", group="prompt_id", cluster="document_id"
    ).tidy()
    mine = rows(found, method=POPULATION_SIMPLE, layer="1")
    assert list(mine["quantity"].iloc[:2]) == ["population_threshold", "threshold_sd"]
    np.testing.assert_allclose(mine[LIMITS], alone[LIMITS], rtol=1e-5)
    overall = rows(found, quantity="population_threshold", layer="all")
    assert list(overall["method"]) == [POPULATION_SIMPLE]
    assert overall["note"].str.contains("the general one is chosen from 30 prompts on").all()


def test_the_mean_over_layers_is_by_the_general_law_where_it_tells_and_blocks_are_by_the_simple_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = []

    def fit(values: np.ndarray, x: np.ndarray, *rest: object, law: str, **options: object) -> BreakModel:
        asked.append(law)
        model = fit_by_law(values, x, law="simple", random=("break",), method="ml")
        return replace(model, law=GENERAL if law == "auto" else SIMPLE)

    monkeypatch.setattr(run_models, "fit_by_law", fit)
    run = make_run(tmp_path / "run", arms=("top",), layers=(0, 1, 2), prompts=6)
    made = run_models.population_rows(run, Cell("top", "median", "pre", "delta_logprob"), 0.95)
    assert asked == ["auto", "simple", "simple", "simple"]
    methods = made.groupby("layer", sort=False)["method"].unique().map(list).to_dict()
    assert methods == {"all": [POPULATION_GENERAL], **{block: [POPULATION_SIMPLE] for block in ("0", "1", "2")}}


def test_what_keeping_the_top_restores_is_estimated_beside_what_replacing_it_destroys(tmp_path: Path) -> None:
    def falling(rate: np.ndarray) -> np.ndarray:
        return 1 - np.minimum(rate, 0.02) / 0.02

    run = make_run(tmp_path / "run", arms=("keep_top",), curve=falling, noise=0.02)
    found = estimate_run(run, n_boot=N_BOOT)
    kept = rows(found, quantity="core_fraction_kept", metric="delta_logprob", layer="all")
    np.testing.assert_allclose(kept["share"], [0.5, 0.8, 0.9])
    # The fewest kept, .2 %, lose .9 of all: half of that is won back where .45 is left.
    np.testing.assert_allclose(kept["estimate"], [0.011, 0.0164, 0.0182], atol=0.001)
    assert "core_fraction" not in set(found["quantity"])


@pytest.mark.parametrize("shape", ["exponential", "Hill"])
def test_a_parametric_curve_checks_the_core_fraction_of_the_top_arm(found: pd.DataFrame, shape: str) -> None:
    mine = rows(found, method=shape)
    assert set(mine["arm"]) == {"top"}
    assert set(mine["metric"]) == {"delta_logprob"}
    assert set(mine["quantity"]) == {"plateau", "core_fraction"}


def test_only_the_top_arm_has_a_mixed_model(found: pd.DataFrame) -> None:
    models = found[found["method"].isin([MIXED, CROSSED, POPULATION_SIMPLE])]
    assert set(models["arm"]) == {"top"}
    assert list(models["layer"].unique()) == ["all", "0", "1", "2"]


def test_the_seed_fixes_every_estimate(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", layers=(1,), arms=("random",))
    first, again, other = (estimate_run(run, n_boot=N_BOOT, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert (first["conf_low"] != other["conf_low"]).any()


def test_a_run_of_the_first_block_has_no_mean_over_others(tmp_path: Path) -> None:
    found = estimate_run(make_run(tmp_path / "run", layers=(0,)), n_boot=N_BOOT)
    assert set(found["layer"]) == {"0"}


def test_the_arm_that_keeps_the_top_has_no_core(tmp_path: Path) -> None:
    found = estimate_run(make_run(tmp_path / "run", arms=("keep_top",)), n_boot=N_BOOT)
    line = {"threshold", "intercept", "slope_below", "slope_above"}
    assert set(found["quantity"]) == {*line, "loss_least_kept", "core_fraction_kept", "design_effect"}


def test_replacements_and_sites_are_kept_apart(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "run", arms=("random",), replacements=("median", "zero"), sites=("pre", "post"), layers=(1,)
    )
    found = estimate_run(run, n_boot=N_BOOT)
    cells = rows(found, quantity="threshold", metric="kl", layer="1", method=INVERTED)
    assert sorted(zip(cells["replacement"], cells["site"], strict=True)) == [
        ("median", "post"),
        ("median", "pre"),
        ("zero", "post"),
        ("zero", "pre"),
    ]
    assert cells["estimate"].nunique() == 4


def test_two_rates_of_the_same_neurons_count_once_as_prompts(tmp_path: Path) -> None:
    rates = (0.002, 0.0055, 0.0058, 0.01, 0.02, 0.03, 0.1, 0.3, 0.6, 0.9)  # .55 and .58 % are 5 neurons of 1000
    found = estimate_run(make_run(tmp_path / "run", rates=rates, arms=("random",), layers=(1,)), n_boot=N_BOOT)
    assert (found["n_prompts"] == 12).all()


def test_a_run_without_any_effect_has_estimates_without_numbers_and_no_warning(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", layers=(1,), curve=np.zeros_like, noise=0.0)
    found = estimate_run(run, n_boot=N_BOOT)
    thresholds = rows(found, quantity="threshold")
    assert set(thresholds["arm"]) == {"top", "random"}
    assert thresholds["estimate"].isna().all()
    assert (thresholds["note"] == "undefined: the curve is flat").all()
