"""Thresholds of tidy frames: what must not move them, where they are undefined, and how often intervals cover."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import resample_documents
from ripplestats.fits.curves import DocumentCurves
from ripplestats.fits.result import FitResult
from ripplestats.fits.segmented import segmented, segmented_terms
from tests.fits.frames import (
    CHECKED,
    DOSES,
    estimates,
    frame_of,
    least_squares_of_break,
    noisy_frame,
    two_phase,
)

SEEDS = st.integers(0, 2**32 - 1)
NUMBERS = ["estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high"]


def fitted(frame: pd.DataFrame, **options: Any) -> FitResult:
    return segmented(frame, y="effect", x="rate", cluster="document_id", **{"n_boot": 20, **options})


def threshold(frame: pd.DataFrame) -> float:
    return estimates(fitted(frame).tidy())["threshold"]


def test_a_line_without_noise_is_recovered_with_an_interval_of_no_width() -> None:
    curves = np.tile(two_phase(DOSES, 0.2, 30.0, -0.5, 0.033), (6, 1))
    terms = fitted(frame_of(curves, DOSES)).tidy().set_index("term")
    for term, value in {"threshold": 0.033, "intercept": 0.2, "slope_below": 30.0, "slope_above": -0.5}.items():
        np.testing.assert_allclose(
            terms.loc[term, ["estimate", "conf_low", "conf_high"]].astype(float), value, rtol=1e-7
        )
        assert terms.loc[term, "std_error"] == pytest.approx(0, abs=1e-7)
        assert terms.loc[term, "note"] == ""


@CHECKED
@given(SEEDS)
def test_no_break_fits_the_rows_better(seed: int) -> None:
    frame = noisy_frame(seed, n_documents=5, sizes=(1, 2, 3))
    x, y = frame["rate"].to_numpy(), frame["effect"].to_numpy()
    reached = least_squares_of_break(x, y, threshold(frame))
    grid = np.geomspace(DOSES[0], DOSES[-1], 60)
    assert reached <= min(least_squares_of_break(x, y, at) for at in grid) * (1 + 1e-9)


def test_each_group_is_fitted_as_if_it_were_alone() -> None:
    layers = {3: noisy_frame(1, at=0.02), 1: noisy_frame(2, at=0.06)}
    frame = pd.concat([one.assign(layer=layer) for layer, one in layers.items()])
    terms = fitted(frame, by="layer").tidy()
    assert list(terms.columns) == ["layer", "term", *NUMBERS, "note"]
    assert list(terms["layer"].unique()) == [1, 3]
    for layer, one in layers.items():
        alone = terms[terms["layer"] == layer].drop(columns="layer").reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, fitted(one).tidy(), rtol=1e-9)


def test_the_seed_fixes_the_intervals() -> None:
    frame = noisy_frame(3)
    pd.testing.assert_frame_equal(fitted(frame, seed=4).tidy(), fitted(frame, seed=4).tidy())
    assert fitted(frame, seed=4).tidy()["std_error"].iloc[0] != fitted(frame, seed=5).tidy()["std_error"].iloc[0]


@pytest.mark.parametrize("interval", ["percentile", "bca"])
def test_intervals_hold_the_estimate_and_grow_with_the_level(interval: str) -> None:
    frame = noisy_frame(6, n_documents=30)
    narrow, wide = (fitted(frame, n_boot=400, interval=interval, conf_level=level).tidy() for level in (0.8, 0.99))
    for terms in (narrow, wide):
        assert (terms["conf_low"] < terms["estimate"]).all()
        assert (terms["estimate"] < terms["conf_high"]).all()
    assert (wide["conf_low"] < narrow["conf_low"]).all()
    assert (wide["conf_high"] > narrow["conf_high"]).all()


def test_slopes_are_tested_by_t_on_documents_and_the_break_is_not() -> None:
    terms = fitted(noisy_frame(7, n_documents=12)).tidy().set_index("term")
    statistic = terms.loc["slope_below", "estimate"] / terms.loc["slope_below", "std_error"]
    assert terms.loc["slope_below", "statistic"] == pytest.approx(statistic)
    assert terms.loc["slope_below", "p_value"] == pytest.approx(2 * stats.t.sf(statistic, 11))
    assert terms.loc["threshold", ["statistic", "p_value"]].isna().all()


STEPS = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])


@pytest.mark.parametrize(
    ("x", "curve", "why"),
    [
        (DOSES, np.zeros(len(DOSES)), "the curve is flat"),
        (DOSES, np.full(len(DOSES), 0.3), "the curve is flat"),
        (DOSES, 0.3 + 2 * DOSES, "the curve is a straight line"),
        (DOSES, (0.3 + 2 * DOSES).astype(np.float32), "the curve is a straight line"),
        (np.array([0.1, 0.9]), np.array([0.0, 1.0]), "2 doses, at least 5 are needed"),
        (STEPS[:4], np.array([0.0, 1.0, 1.0, 1.0]), "4 doses, at least 5 are needed"),
        # All of the change happens before the second dose, or after the last but one.
        (STEPS, np.array([0.0, 1.0, 1.0, 1.0, 1.0, 1.0]), r"edge of the grid \(0\.1\)"),
        (STEPS, np.array([0.0, 0.0, 0.0, 0.0, 0.0, 1.0]), r"edge of the grid \(0\.4\)"),
    ],
    ids=["zero", "constant", "line", "line in float32", "two doses", "four doses", "first edge", "last edge"],
)
def test_a_break_that_cannot_be_told_is_nan_with_the_reason(x: np.ndarray, curve: np.ndarray, why: str) -> None:
    rng = np.random.default_rng(0)
    levels = rng.gamma(9, 1 / 9, (8, 1))
    terms = fitted(frame_of(levels * curve / levels.mean(), x)).tidy()
    assert terms[NUMBERS].isna().all(axis=None)
    assert terms["note"].str.match("undefined: .*" + why).all()


def test_an_undefined_group_leaves_the_others_alone() -> None:
    frame = pd.concat([noisy_frame(8).assign(layer=0), noisy_frame(9).assign(layer=1, effect=0.0)])
    terms = fitted(frame, by="layer").tidy().set_index(["layer", "term"])
    assert terms.loc[0, NUMBERS[:2]].notna().all(axis=None)
    assert terms.loc[1, NUMBERS].isna().all(axis=None)


@pytest.mark.parametrize("n_documents", [1, 2, 3])
def test_fewer_than_four_documents_give_estimates_without_intervals_and_say_so(n_documents: int) -> None:
    terms = fitted(noisy_frame(10, n_documents=n_documents, sizes=(4,))).tidy()
    assert terms["estimate"].notna().all()
    assert terms[NUMBERS[1:]].isna().all(axis=None)
    assert (terms["note"] == "no interval from fewer than 4 documents").all()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"breaks": 4}, "breaks=4"),
        ({"breaks": "many"}, "breaks='many'"),
        ({"breaks": 2, "interval": "wald"}, "breaks=2 goes neither .* allowed: expanded, percentile, bca"),
        ({"breaks": "bic", "level_above": True}, "breaks='bic' goes neither with level_above"),
        ({"interval": "basic"}, "interval='basic' is not known; allowed: expanded, percentile, bca, inversion, wald"),
        ({"scale": "root"}, "scale='root' is not known; allowed: linear, log"),
        ({"n_boot": 0}, "n_boot"),
        ({"n_boot": 1}, "n_boot"),
        ({"conf_level": 95}, "conf_level"),
        ({"conf_level": 0.0}, "conf_level"),
        ({"seed": -1}, "seed"),
    ],
)
def test_an_argument_that_is_not_allowed_is_named(options: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        fitted(noisy_frame(0), **options)


@pytest.mark.parametrize("interval", ["expanded", "percentile", "bca", "inversion", "wald"])
def test_every_kind_of_interval_holds_the_estimates_and_says_what_it_is(interval: str) -> None:
    result = fitted(noisy_frame(4, n_documents=40), interval=interval, n_boot=200)
    terms = result.tidy()
    assert (terms["conf_low"] < terms["estimate"]).all()
    assert (terms["estimate"] < terms["conf_high"]).all()
    said = {"inversion": "inverting", "wald": "delta method"}.get(interval, f"95% {interval} ")
    assert said in result.notes[0]


@pytest.mark.parametrize("interval", ["percentile", "inversion", "wald"])
def test_on_a_log_scale_the_break_is_that_of_the_line_on_the_logarithm(interval: str) -> None:
    frame = noisy_frame(5, n_documents=30)
    expected = fitted(frame.assign(rate=np.log(frame["rate"])), interval=interval, n_boot=200).tidy()
    found = fitted(frame, scale="log", interval=interval, n_boot=200).tidy()
    limits = ["estimate", "conf_low", "conf_high"]
    np.testing.assert_allclose(found.loc[0, limits].astype(float), np.exp(expected.loc[0, limits].astype(float)))
    np.testing.assert_allclose(found.loc[1:, NUMBERS].astype(float), expected.loc[1:, NUMBERS].astype(float))
    assert found.loc[0, "std_error"] == pytest.approx(expected.loc[0, "std_error"] * found.loc[0, "estimate"])


@pytest.mark.parametrize("breaks", [1, 2])
def test_on_a_log_scale_the_edge_is_named_as_a_dose(breaks: int) -> None:
    levels = np.random.default_rng(0).gamma(9, 1 / 9, (8, 1))
    steps = levels * np.array([0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    terms = fitted(frame_of(steps, np.geomspace(0.1, 0.8, 8)), scale="log", breaks=breaks).tidy()
    assert terms["note"].str.contains(r"edge of the grid \(0\.13\d\)|fewer breaks").all()


def test_a_dose_of_zero_has_no_logarithm() -> None:
    with pytest.raises(InputError, match="scale='log' needs positive doses; the smallest is 0"):
        fitted(frame_of(np.ones((5, 6)), STEPS), scale="log")


def test_a_line_level_above_its_break_is_recovered() -> None:
    curves = np.tile(two_phase(DOSES, 0.2, 30.0, 0.0, 0.033), (6, 1))
    found = estimates(fitted(frame_of(curves, DOSES), level_above=True).tidy())
    assert found == pytest.approx({"threshold": 0.033, "intercept": 0.2, "slope_below": 30, "slope_above": 0}, abs=1e-9)


@CHECKED
@given(SEEDS)
def test_no_level_line_fits_better(seed: int) -> None:
    frame = noisy_frame(seed, n_documents=5)
    x, y = frame["rate"].to_numpy(), frame["effect"].to_numpy()
    found = estimates(fitted(frame, level_above=True).tidy())

    def residual(at: float) -> float:
        design = np.column_stack([np.ones_like(x), np.minimum(x, at)])
        return float(((y - design @ np.linalg.lstsq(design, y, rcond=None)[0]) ** 2).sum())

    if np.isfinite(found["threshold"]):
        grid = np.geomspace(DOSES[1], DOSES[-2], 80)
        assert residual(found["threshold"]) <= min(map(residual, grid)) * (1 + 1e-9)


def test_several_breaks_and_how_their_number_was_chosen() -> None:
    curves = np.interp(DOSES, [0, 0.014, 0.1, 1], [0, 1, 1.5, 1.6]) * np.linspace(0.5, 1.5, 12)[:, None]
    curves += 0.02 * np.random.default_rng(1).standard_normal(curves.shape)
    two = fitted(frame_of(curves, DOSES), breaks=2)
    assert list(two.tidy()["term"]) == ["threshold_1", "threshold_2", "intercept", "slope_1", "slope_2", "slope_3"]
    np.testing.assert_allclose(two.tidy()["estimate"].iloc[:2], [0.014, 0.1], rtol=0.15)
    for criterion in ("bic", "cv"):
        chosen = fitted(frame_of(curves, DOSES), breaks=criterion)
        number = int(chosen.tidy()["term"].str.startswith("threshold").sum())
        assert number >= 2
        assert (
            chosen.notes[1] == f"Number of breaks by {criterion.upper()} (all: {number}); intervals take it for given."
        )
        pd.testing.assert_frame_equal(chosen.tidy(), fitted(frame_of(curves, DOSES), breaks=number).tidy())


def test_the_result_says_what_was_done_and_draws_the_break() -> None:
    from matplotlib.figure import Figure

    result = fitted(noisy_frame(12, n_documents=5, sizes=(1, 2)), n_boot=30, seed=9)
    assert (result.n_documents, result.n_prompts) == (5, 7)
    assert result.notes == (
        "95% interval of the break by inverting its t tests over documents, the others expanded percentile intervals from "
        "30 resamples (seed 9).",
    )
    ax = Figure().subplots()
    result.plot(ax)
    curve, line, mark, named = ax.lines
    assert named.get_label() == "threshold"
    np.testing.assert_array_equal(curve.get_xdata(), DOSES)
    np.testing.assert_allclose(mark.get_xdata(), result.tidy()["estimate"].iloc[0])
    (band,) = ax.patches
    ends = result.tidy()[["conf_low", "conf_high"]].iloc[0]
    np.testing.assert_allclose([band.get_x(), band.get_x() + band.get_width()], ends)
    terms = result.tidy().set_index("term")["estimate"]
    assert line.get_ydata()[-1] == pytest.approx(
        terms["intercept"] + terms["slope_below"] * terms["threshold"]
        + terms["slope_above"] * (DOSES[-1] - terms["threshold"])
    )  # fmt: skip


def test_nominal_95_percent_intervals_of_the_break_cover_89_to_99_percent() -> None:
    # 200 data sets of 60 documents that differ in level and offset but not in their break.
    rng = np.random.default_rng(0)
    at, n = 0.033, 60
    truth = {"threshold": at, "slope_below": 20.0, "slope_above": 0.1}
    covered: dict[tuple[str, str], list[bool]] = {}
    for _ in range(200):
        level = rng.gamma(4, 1 / 4, (n, 1))
        y = level * two_phase(DOSES, 0.1, 20.0, 0.1, at)
        y += rng.normal(0, 0.1, y.shape) + rng.normal(0, 0.2, (n, 1))
        curves = DocumentCurves(DOSES, np.ones(len(DOSES)), y[:, None], np.ones(n), ("all",))
        for row in segmented_terms(curves, resample_documents(n, 200, rng)).itertuples():
            if row.term in truth:
                covered.setdefault((row.term, row.method), []).append(row.conf_low <= truth[row.term] <= row.conf_high)
    shares = {name: float(np.mean(hits)) for name, hits in covered.items()}
    assert len(shares) == 6  # two kinds of interval
    assert all(0.89 <= share <= 0.99 for share in shares.values()), shares
