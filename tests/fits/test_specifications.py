"""Specification curve: every choice in its row, the same numbers as the estimators by themselves, shared resamples."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import resample_documents
from ripplestats.fits.breakpoint import BreakDesign
from ripplestats.fits.core import core_terms
from ripplestats.fits.curves import DocumentCurves
from ripplestats.fits.run_estimates import layer_curves
from ripplestats.fits.segmented import segmented_terms
from ripplestats.fits.specification_result import SpecificationCurve
from ripplestats.fits.specifications import (
    ALL_BUT_FIRST,
    CHOICES,
    layer_sets,
    specification_curve,
    specifications,
    with_layer_sets,
)
from tests.fits.frames import document_twice, relabelled
from tests.store.synthetic_run import BREAK, make_run, synthetic_effects

CELL = ("top", "median", "pre", "delta_logprob")


def effects(**options: object) -> pd.DataFrame:
    return pd.DataFrame(synthetic_effects(range(12), layers=(0, 1, 2, 3), **options))


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return effects()


@pytest.fixture(scope="module")
def curve(frame: pd.DataFrame) -> SpecificationCurve:
    return specification_curve(frame, n_boot=100)


def one(curve: SpecificationCurve, **choices: str) -> pd.Series:
    main = {"quantity": "threshold", "metric": "delta_logprob", "arm": "top", "dose_scale": "linear",
            "layer_set": ALL_BUT_FIRST}  # fmt: skip
    rows = curve.where(**(main | choices)).rows
    assert len(rows) == 1
    return rows.iloc[0]


def test_every_choice_that_the_run_holds_has_one_row(curve: SpecificationCurve) -> None:
    assert len(curve.rows) == 2 * 3 * 2 * 2 * 5
    assert not curve.rows.duplicated(["quantity", *CHOICES]).any()
    assert curve.rows["main"].sum() == 2
    assert curve.replicates.shape == (100, len(curve.rows))
    assert set(curve.rows["layer_set"]) == {ALL_BUT_FIRST, "all blocks", "first third", "middle third", "last third"}


def test_the_main_specification_is_what_the_estimators_give(frame: pd.DataFrame, curve: SpecificationCurve) -> None:
    curves = layer_curves(frame[frame["arm"] == "top"], "delta_logprob")
    resamples = resample_documents(12, 100, np.random.default_rng(0))
    threshold = segmented_terms(curves, resamples, intervals=("expanded",)).iloc[0]
    core = core_terms(curves, resamples, shares=(0.5,), intervals=("expanded",)).iloc[1]
    for quantity, expected in (("threshold", threshold), ("core_fraction", core)):
        row = one(curve, quantity=quantity)
        assert row["main"]
        for name in ("estimate", "conf_low", "conf_high"):
            assert row[name] == pytest.approx(expected[name], rel=1e-9), (quantity, name)


def test_a_break_in_the_logarithm_is_given_back_as_a_dose() -> None:
    x = np.geomspace(0.002, 0.9, 15)
    values = np.stack([1 + s * np.minimum(np.log(x / 0.05), 0) for s in (0.1, 0.2, 0.3, 0.4, 0.5)])[:, None]
    curves = DocumentCurves(x, np.ones(15), values, np.ones(5), (1,))
    found = specifications({CELL: curves}, resample_documents(5, 50, np.random.default_rng(0)))
    row = found.where(quantity="threshold", dose_scale="log").rows.iloc[0]
    assert row["estimate"] == pytest.approx(0.05, rel=1e-9)
    linear = found.where(quantity="threshold", dose_scale="linear").rows.iloc[0]
    assert linear["estimate"] == pytest.approx(BreakDesign(x, np.ones(15)).fit(curves.pooled()).breakpoint[0])


def test_on_the_log_scale_the_core_is_read_between_the_same_doses() -> None:
    x = np.array([0.01, 0.1, 0.3, 0.9])
    values = np.tile([0.2, 0.8, 1.0, 1.0], (5, 1, 1)) * np.array([1, 1.1, 0.9, 1.05, 0.95])[:, None, None]
    curves = DocumentCurves(x, np.ones(4), values, np.ones(5), (1,))
    found = specifications({CELL: curves}, resample_documents(5, 50, np.random.default_rng(0)))
    plateau = (0.9 * 0.2 + 1.0 * 0.6) / 0.8
    rows = found.where(quantity="core_fraction").rows.set_index("dose_scale")["estimate"]
    step = (plateau / 2 - 0.2) / 0.6
    assert rows["linear"] == pytest.approx(0.01 + step * 0.09)
    assert rows["log"] == pytest.approx(np.exp(np.log(0.01) + step * np.log(10)))
    early = specifications({CELL: curves}, resample_documents(5, 50, np.random.default_rng(0)), share=0.1)
    early_rows = early.where(quantity="core_fraction").rows["estimate"]
    assert early_rows.to_numpy() == pytest.approx(0.01 * plateau * 0.1 / 0.2)  # below the first dose both are linear


def test_thirds_leave_out_the_first_block_and_hold_all_others() -> None:
    sets = layer_sets(["all", *range(8)])
    thirds = [sets[f"{name} third"] for name in ("first", "middle", "last")]
    assert [layer for third in thirds for layer in third] == sets[ALL_BUT_FIRST] == list(range(1, 8))
    assert sets["all blocks"] == list(range(8))
    assert set(layer_sets([5, 6])) == {ALL_BUT_FIRST}
    assert set(layer_sets([0])) == {"all blocks"}


def test_a_layer_set_is_the_plain_mean_of_its_blocks(frame: pd.DataFrame) -> None:
    curves = layer_curves(frame[frame["arm"] == "top"], "kl")
    sets = with_layer_sets(curves)
    by_hand = curves.values[:, [curves.groups.index(layer) for layer in (0, 1, 2, 3)]].mean(axis=1)
    assert sets.values[:, sets.groups.index("all blocks")] == pytest.approx(by_hand)


def test_keep_top_has_thresholds_and_no_core() -> None:
    found = specification_curve(effects(arms=("top", "keep_top")), n_boot=50)
    assert set(found.where(arm="keep_top").rows["quantity"]) == {"threshold"}


def test_choices_that_do_not_matter_give_the_same_rows() -> None:
    found = specification_curve(effects(replacements=("median", "zero"), sites=("pre", "post"), noise=0.0), n_boot=50)
    main = found.where(metric="delta_logprob", arm="top", dose_scale="linear", layer_set=ALL_BUT_FIRST)
    threshold = main.where(quantity="threshold").rows
    assert len(threshold) == 4
    assert threshold["estimate"].to_numpy() == pytest.approx(BREAK)


def test_the_summary_counts_and_its_interval_is_that_of_the_median(curve: SpecificationCurve) -> None:
    summary = curve.summary().set_index("quantity")
    row, rows = summary.loc["threshold"], curve.where(quantity="threshold")
    assert (row["specifications"], row["defined"]) == (60, rows.rows["estimate"].notna().sum())
    assert row["median"] == pytest.approx(rows.rows["estimate"].median())
    known = rows.rows["estimate"].notna().to_numpy()
    medians = np.median(rows.replicates[:, known], axis=1)
    assert [row["conf_low"], row["conf_high"]] == pytest.approx(np.quantile(medians, [curve.tail, 1 - curve.tail]))
    assert row["lowest"] <= row["median"] <= row["highest"]
    bounded = rows.rows["conf_high"].dropna()
    assert row["below_limit"] == pytest.approx((bounded < 0.1).mean())
    by = curve.summary("arm")
    assert by["specifications"].tolist() == [30, 30, 30, 30]


def test_a_specification_without_a_plateau_is_undefined_with_a_reason() -> None:
    flat = effects(curve=lambda rate: 0 * rate, noise=0.1, arms=("top",))
    found = specification_curve(flat.assign(delta_logit=0.0), n_boot=50)
    zero = found.where(metric="delta_logit").rows
    assert zero["estimate"].isna().all()
    assert zero.loc[zero["quantity"] == "threshold", "note"].str.contains("flat").all()
    assert zero.loc[zero["quantity"] == "core_fraction", "note"].str.contains("plateau").all()
    assert np.isnan(found.where(metric="delta_logit").summary()["median"]).all()


def test_few_documents_have_estimates_without_intervals(frame: pd.DataFrame) -> None:
    found = specification_curve(frame[frame["document_id"] < 3], n_boot=50)
    known = found.rows[found.rows["estimate"].notna()]
    assert len(known)
    assert known["conf_low"].isna().all()
    assert known["note"].str.contains("fewer than 4").all()
    assert found.summary()["conf_low"].isna().all()


def test_percentile_intervals_are_narrower_than_expanded_ones(frame: pd.DataFrame, curve: SpecificationCurve) -> None:
    plain = specification_curve(frame, n_boot=100, interval="percentile")
    assert (plain.tail, curve.tail) == (pytest.approx(0.025), pytest.approx(0.0108, abs=1e-4))
    widths = [(one.rows["conf_high"] - one.rows["conf_low"]).sum() for one in (plain, curve)]
    assert widths[0] < widths[1]
    with pytest.raises(InputError, match="interval='bca'"):
        specification_curve(frame, n_boot=100, interval="bca")


def test_a_run_gives_what_its_frame_gives(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    by_frame = specification_curve(run.effects(), n_boot=50)
    pd.testing.assert_frame_equal(specification_curve(run, n_boot=50).rows, by_frame.rows, rtol=1e-6)


def test_neither_order_nor_names_nor_copies_nor_units_change_an_estimate(
    frame: pd.DataFrame, curve: SpecificationCurve
) -> None:
    columns = [*CHOICES, "quantity", "estimate", "conf_low", "conf_high"]
    shuffled = specification_curve(frame.sample(frac=1, random_state=1), n_boot=100).rows
    louder = frame.assign(**{name: 7 * frame[name].astype(float) for name in ("delta_logit", "delta_logprob", "kl")})
    for same in (shuffled, specification_curve(louder, n_boot=100).rows):
        pd.testing.assert_frame_equal(same[columns], curve.rows[columns], rtol=1e-6)
    for changed in (relabelled(frame, 3), document_twice(frame)):
        rows = specification_curve(changed, n_boot=20).rows
        np.testing.assert_allclose(rows["estimate"], curve.rows["estimate"], rtol=1e-6)
    constants = np.random.default_rng(2).normal(0, 0.01, frame["prompt_id"].nunique())
    moved = specification_curve(
        frame.assign(delta_logprob=frame["delta_logprob"] + constants[frame["prompt_id"]]), n_boot=20
    )
    thresholds = (curve.rows["quantity"] == "threshold") & (curve.rows["metric"] == "delta_logprob")
    assert thresholds.sum() == 20
    np.testing.assert_allclose(
        moved.rows.loc[thresholds, "estimate"], curve.rows.loc[thresholds, "estimate"], rtol=1e-6
    )


def test_an_unbalanced_frame_is_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="balanced"):
        specification_curve(frame.drop(index=3), n_boot=50)


def test_the_same_seed_gives_the_same_rows(frame: pd.DataFrame, curve: SpecificationCurve) -> None:
    pd.testing.assert_frame_equal(specification_curve(frame, n_boot=100).rows, curve.rows)


def test_wrong_arguments_are_refused(frame: pd.DataFrame) -> None:
    curves = layer_curves(frame[frame["arm"] == "top"], "kl")
    resamples = resample_documents(12, 50, np.random.default_rng(0))
    with pytest.raises(InputError, match="share=1"):
        specifications({CELL: curves}, resamples, share=1)
    with pytest.raises(InputError, match="at least one cell"):
        specifications({}, resamples)
    with pytest.raises(InputError, match="other documents"):
        specifications({CELL: curves}, resample_documents(5, 50, np.random.default_rng(0)))
    with pytest.raises(InputError, match="n_boot=3"):
        specification_curve(frame, n_boot=3)
