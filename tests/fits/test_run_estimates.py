"""All estimates of a run, held against the single estimators on the same rows."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from ripplestats.fits.core import core_fraction
from ripplestats.fits.mixed import mixed
from ripplestats.fits.run_estimates import CURVE_METRICS, estimate_run, layer_curves
from ripplestats.fits.segmented import segmented
from ripplestats.store.run_directory import Run
from ripplestats.store.schema import ESTIMATES
from tests.store.synthetic_run import BREAK, make_run

N_BOOT = 40
PERCENTILE, BCA = "document bootstrap, percentile", "document bootstrap, BCa"
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
    assert len(cells) == 2 * len(CURVE_METRICS) * 4 * 2
    assert (cells == 1).all()
    assert set(cells.index.get_level_values("layer")) == {"all", "0", "1", "2"}


def test_the_shares_of_the_core_are_a_half_and_eight_and_nine_tenths(found: pd.DataFrame) -> None:
    assert sorted(rows(found, quantity="core_fraction")["share"].unique()) == [0.5, 0.8, 0.9]
    assert rows(found, quantity="plateau")["share"].isna().all()


def test_the_share_of_changed_predictions_has_a_plateau_and_nothing_else(found: pd.DataFrame) -> None:
    assert set(rows(found, metric="top1_changed")["quantity"]) == {"plateau"}


@pytest.mark.parametrize(("method", "interval"), [(PERCENTILE, "percentile"), (BCA, "bca")])
def test_a_layers_threshold_is_that_of_segmented(run: Run, found: pd.DataFrame, method: str, interval: str) -> None:
    frame = run.effects()
    frame = frame[(frame["arm"] == "top") & (frame["layer"] == 1)]
    alone = segmented(
        frame, y="kl", x="effective_rate", cluster="document_id", n_boot=N_BOOT, seed=3, interval=interval
    ).tidy()
    mine = rows(found, arm="top", layer="1", metric="kl", method=method)
    mine = mine[mine["quantity"].isin(alone["term"])]
    assert list(mine["quantity"]) == list(alone["term"])
    np.testing.assert_allclose(mine[LIMITS], alone[LIMITS], rtol=1e-9)


def test_a_layers_core_fractions_are_those_of_core_fraction(run: Run, found: pd.DataFrame) -> None:
    frame = run.effects()
    frame = frame[(frame["arm"] == "random") & (frame["layer"] == 2)]
    alone = core_fraction(
        frame, y="delta_logit", x="effective_rate", cluster="document_id", n_boot=N_BOOT, seed=3
    ).tidy()
    mine = rows(found, arm="random", layer="2", metric="delta_logit", method=PERCENTILE)
    mine = mine[mine["quantity"].isin(["plateau", "core_fraction"])]
    np.testing.assert_allclose(mine[LIMITS], alone[LIMITS], rtol=1e-9)


def test_all_is_the_mean_over_the_later_blocks(run: Run) -> None:
    frame = run.effects()
    frame = frame[frame["arm"] == "top"]
    curves = layer_curves(frame, "delta_logprob")
    expected = frame[frame["layer"] > 0].groupby("effective_rate")["delta_logprob"].mean()
    assert curves.groups == ("all", 0, 1, 2)
    np.testing.assert_allclose(curves.pooled()[0], expected, rtol=1e-5)


def test_the_break_that_was_put_in_is_found(found: pd.DataFrame) -> None:
    for layer in ("all", "0", "1", "2"):
        row = rows(found, quantity="threshold", arm="top", layer=layer, metric="delta_logprob", method=PERCENTILE)
        assert row["estimate"].item() == pytest.approx(BREAK, abs=0.003), layer


def test_a_layers_mixed_model_is_that_of_mixed(run: Run, found: pd.DataFrame) -> None:
    frame = run.effects()
    frame = frame[(frame["arm"] == "top") & (frame["layer"] == 2)]
    percent = 100 * frame["effective_rate"]
    frame = frame.assign(below=percent.clip(upper=10), above=(percent - 10).clip(lower=0))
    alone = mixed(
        frame,
        "delta_logprob ~ below + above",
        groups="document_id",
        re_formula="~ below",
        vc_formula={"prompt": "0 + C(prompt_id)"},
    ).tidy()
    mine = found[found["method"].str.startswith("MixedLM") & (found["layer"] == "2")]
    assert list(mine["quantity"]) == [
        "mixed_intercept",
        "mixed_slope_below",
        "mixed_slope_above",
        "mixed_sd_document_id",
        "mixed_sd_below",
        "mixed_sd_prompt",
        "mixed_sd_residual",
    ]
    # The optimiser sees other units here, so that only what is well determined agrees closely.
    np.testing.assert_allclose(mine["estimate"].iloc[:3], alone["estimate"].iloc[:3], rtol=1e-4)
    np.testing.assert_allclose(mine[LIMITS].iloc[:3], alone[LIMITS].iloc[:3], atol=0.02)


def test_standard_deviations_of_the_mixed_model_are_in_nats_and_per_percentage_point(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", arms=("top",), layers=(1,), prompts=30, noise=0.3)
    found = estimate_run(run, n_boot=N_BOOT)
    found = found[found["method"].str.startswith("MixedLM") & (found["layer"] == "1")].set_index("quantity")["estimate"]
    frame = run.effects()
    percent = 100 * frame["effective_rate"]
    frame = frame.assign(below=percent.clip(upper=10), above=(percent - 10).clip(lower=0))
    model = smf.mixedlm("delta_logprob ~ below + above", frame, groups="document_id", re_formula="~ below")
    # In these units gradients stop short of the optimum; without them statsmodels gets there.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a boundary, since these variances are below .01
        best = model.fit(reml=True, method="powell")
    expected = {"document_id": best.cov_re.iloc[0, 0], "below": best.cov_re.iloc[1, 1], "residual": best.scale}
    for name, variance in expected.items():
        assert found[f"mixed_sd_{name}"] == pytest.approx(np.sqrt(variance), rel=0.1), name


def test_only_the_top_arm_has_a_mixed_model(found: pd.DataFrame) -> None:
    models = found[found["method"].str.startswith("MixedLM")]
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
    assert set(found["quantity"]) == {"threshold", "intercept", "slope_below", "slope_above"}


def test_replacements_and_sites_are_kept_apart(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "run", arms=("random",), replacements=("median", "zero"), sites=("pre", "post"), layers=(1,)
    )
    found = estimate_run(run, n_boot=N_BOOT)
    cells = rows(found, quantity="threshold", metric="kl", layer="1", method=PERCENTILE)
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
