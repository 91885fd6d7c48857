"""Plateau and core fractions of tidy frames."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import resample_documents
from ripplestats.fits.core import core_fraction, core_terms
from ripplestats.fits.curves import DocumentCurves
from ripplestats.fits.result import FitResult
from ripplestats.fits.sign_flips import sign_flips
from tests.fits.frames import (
    CHECKED,
    DOSES,
    estimates,
    frame_of,
    noisy_frame,
    two_phase,
)

SEEDS = st.integers(0, 2**32 - 1)
FRACTIONS = ["core_fraction_0.5", "core_fraction_0.8", "core_fraction_0.9"]
NUMBERS = ["estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high"]


def fitted(frame: pd.DataFrame, **options: Any) -> FitResult:
    return core_fraction(frame, y="effect", x="rate", cluster="document_id", **{"n_boot": 20, **options})


def test_a_curve_that_saturates_at_five_percent_by_hand() -> None:
    # Through (0, 0) to 2 at .05, flat from there: plateau 2, and q of it at q · .05.
    curves = np.tile(two_phase(DOSES, 0.0, 40.0, 0.0, 0.05), (6, 1))
    terms = fitted(frame_of(curves, DOSES)).tidy().set_index("term")
    expected = {"plateau": 2.0, "core_fraction_0.5": 0.025, "core_fraction_0.8": 0.04, "core_fraction_0.9": 0.045}
    assert list(terms.index) == list(expected)
    for term, value in expected.items():
        np.testing.assert_allclose(
            terms.loc[term, ["estimate", "conf_low", "conf_high"]].astype(float), value, rtol=1e-9
        )


def test_a_dip_is_levelled_before_the_fraction_is_read_off() -> None:
    # 2 at .2 and 0 at .4 become 1 and 1: (0, 0), (.2, 1), (.4, 1), (.6, 3), (.9, 3).
    x = np.array([0.2, 0.4, 0.6, 0.9])
    frame = frame_of(np.tile([2.0, 0.0, 3.0, 3.0], (5, 1)), x)
    found = estimates(fitted(frame, share=(0.25, 0.75)).tidy())
    # The plateau is that of the curve before levelling: (.2 · 1 + .2 · 1.5 + .3 · 3) / .7.
    expected = {"plateau": 2.0, "core_fraction_0.25": 0.1, "core_fraction_0.75": 0.45}
    assert found == pytest.approx(expected, rel=1e-9)


def test_a_dose_of_two_rows_weighs_twice_when_a_dip_is_levelled() -> None:
    x = np.array([0.2, 0.2, 0.4, 0.6, 0.9])
    frame = frame_of(np.tile([2.0, 2.0, 0.0, 3.0, 3.0], (5, 1)), x)
    found = estimates(fitted(frame, share=(0.25, 0.75)).tidy())
    # Levelled: (.2, 4/3), (.4, 4/3), (.6, 3); the plateau is still 2.
    expected = {"plateau": 2.0, "core_fraction_0.25": 0.2 * 0.5 / (4 / 3), "core_fraction_0.75": 0.42}
    assert found == pytest.approx(expected, rel=1e-9)


@CHECKED
@given(SEEDS)
def test_larger_shares_need_no_fewer_neurons(seed: int) -> None:
    found = estimates(fitted(noisy_frame(seed)).tidy())
    assert 0 < found[FRACTIONS[0]] <= found[FRACTIONS[1]] <= found[FRACTIONS[2]] <= 0.9


def test_each_group_is_fitted_as_if_it_were_alone() -> None:
    layers = {0: noisy_frame(1, at=0.02), 4: noisy_frame(2, at=0.06)}
    frame = pd.concat([one.assign(layer=layer) for layer, one in layers.items()])
    terms = fitted(frame, by="layer").tidy()
    assert list(terms.columns) == ["layer", "term", *NUMBERS, "note"]
    for layer, one in layers.items():
        alone = terms[terms["layer"] == layer].drop(columns="layer").reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, fitted(one).tidy(), rtol=1e-9)


def test_the_seed_fixes_the_intervals() -> None:
    frame = noisy_frame(3)
    pd.testing.assert_frame_equal(fitted(frame, seed=4).tidy(), fitted(frame, seed=4).tidy())
    assert fitted(frame, seed=4).tidy()["std_error"].iloc[0] != fitted(frame, seed=5).tidy()["std_error"].iloc[0]


@pytest.mark.parametrize("interval", ["percentile", "bca", "inversion"])
def test_intervals_hold_the_estimate(interval: str) -> None:
    terms = fitted(noisy_frame(6, n_documents=30), n_boot=400, interval=interval).tidy()
    assert (terms["conf_low"] < terms["estimate"]).all()
    assert (terms["estimate"] < terms["conf_high"]).all()


def test_the_plateau_is_tested_by_t_on_documents_and_the_fractions_are_not() -> None:
    terms = fitted(noisy_frame(7, n_documents=12)).tidy().set_index("term")
    statistic = terms.loc["plateau", "estimate"] / terms.loc["plateau", "std_error"]
    assert terms.loc["plateau", "statistic"] == pytest.approx(statistic)
    assert terms.loc["plateau", "p_value"] == pytest.approx(2 * stats.t.sf(statistic, 11))
    assert terms.loc[FRACTIONS, ["statistic", "p_value"]].isna().all(axis=None)


def test_where_the_plateau_may_be_zero_fractions_are_nan_with_the_reason() -> None:
    rng = np.random.default_rng(5)
    terms = fitted(frame_of(rng.standard_normal((10, len(DOSES))), DOSES), n_boot=200).tidy().set_index("term")
    assert terms.loc["plateau", "conf_low"] < 0 < terms.loc["plateau", "conf_high"]
    assert terms.loc[FRACTIONS, NUMBERS].isna().all(axis=None)
    assert (terms.loc[FRACTIONS, "note"] == "undefined: the plateau's interval holds zero").all()


def test_whether_the_plateau_may_be_zero_is_asked_of_the_kind_of_interval_asked_for() -> None:
    # Three documents of twelve carry the mean: BCa takes its side, sign flips reach below zero.
    curves = np.outer([-0.19] * 2 + [0.1] * 7 + [1.0] * 3, two_phase(DOSES, 0.0, 20.0, 0.0, 0.05))
    frame = frame_of(curves, DOSES)
    bca = fitted(frame, interval="bca", n_boot=2000).tidy()
    flips = fitted(frame, interval="inversion", n_boot=2000).tidy()
    assert bca["conf_low"].iloc[0] > 0
    assert bca["estimate"].notna().all()
    assert flips["conf_low"].iloc[0] < 0
    assert (flips["note"].iloc[1:] == "undefined: the plateau's interval holds zero").all()


def plateaus_of(frame: pd.DataFrame) -> np.ndarray:
    means = frame.groupby(["document_id", "rate"])["effect"].mean().unstack()
    inside = (DOSES >= 0.1) & (DOSES <= 0.9)
    return np.asarray(np.trapezoid(means.to_numpy()[:, inside], DOSES[inside], axis=1) / 0.8)


def test_the_interval_of_the_plateau_beside_inversion_is_what_sign_flips_do_not_refuse() -> None:
    frame = noisy_frame(4, n_documents=12)
    level = plateaus_of(frame)
    row = fitted(frame, interval="inversion", n_boot=999, seed=3).tidy().iloc[0]
    assert row["estimate"] == pytest.approx(level.mean())
    low, high = row["conf_low"], row["conf_high"]
    trials = np.array([low, low, high, high]) + 0.02 * (high - low) * np.array([-1, 1, -1, 1])
    signs = resample_documents(12, 999, np.random.default_rng(3)).signs
    found = sign_flips(level[:, None] - trials, np.ones(12), signs)
    assert ((found.above_zero().p_value > 0.025) == [False, True, True, True]).all()
    assert ((found.below_zero().p_value > 0.025) == [True, True, True, False]).all()


def test_with_few_documents_the_interval_of_the_plateau_is_students() -> None:
    frame = noisy_frame(4, n_documents=5)
    level = plateaus_of(frame)
    row = fitted(frame, interval="inversion").tidy().iloc[0]
    expected = stats.t.interval(0.95, 4, level.mean(), stats.sem(level))
    np.testing.assert_allclose([row["conf_low"], row["conf_high"]], expected)


@pytest.mark.parametrize(("curve", "shape"), [("exponential", lambda x: 1 - np.exp(-x / 0.02)), ("hill", None)])
def test_a_parametric_curve_finds_its_own_fractions(curve: str, shape: Any) -> None:
    rise = shape(DOSES) if shape else DOSES**1.5 / (DOSES**1.5 + 0.03**1.5)
    frame = frame_of(np.linspace(0.5, 1.5, 8)[:, None] * rise, DOSES)
    result = fitted(frame, curve=curve)
    grid = np.linspace(0.1, 0.9, 100_001)
    level = np.trapezoid(shape(grid) if shape else grid**1.5 / (grid**1.5 + 0.03**1.5), grid) / 0.8
    half = level / 2
    expected = -0.02 * np.log(1 - half) if shape else 0.03 * (half / (1 - half)) ** (1 / 1.5)
    found = estimates(result.tidy())
    assert found["plateau"] == pytest.approx(level, rel=1e-6)
    assert found["core_fraction_0.5"] == pytest.approx(expected, rel=1e-6)
    assert f"{curve.capitalize()} curve" in result.notes[0]


def test_a_spread_that_is_rounding_makes_no_test() -> None:
    row = fitted(frame_of(np.tile(0.1 + 0 * DOSES, (7, 1)), DOSES)).tidy().iloc[0]
    assert row["estimate"] == pytest.approx(0.1)
    assert row[["statistic", "p_value"]].isna().all()


def test_a_flat_curve_has_a_plateau_of_zero_and_no_fractions() -> None:
    terms = fitted(frame_of(np.zeros((6, len(DOSES))), DOSES)).tidy().set_index("term")
    assert terms.loc["plateau", "estimate"] == 0
    assert terms.loc[FRACTIONS, "estimate"].isna().all()
    assert terms.loc[FRACTIONS, "note"].str.startswith("undefined").all()


def test_a_plateau_below_zero_is_not_said_to_hold_zero() -> None:
    frame = noisy_frame(8, n_documents=20)
    terms = fitted(frame.assign(effect=-frame["effect"]), n_boot=200).tidy().set_index("term")
    assert terms.loc["plateau", "conf_high"] < 0
    assert terms.loc[FRACTIONS, "estimate"].isna().all()
    assert terms.loc[FRACTIONS, "note"].str.startswith("undefined").all()
    assert not terms.loc[FRACTIONS, "note"].str.contains("holds zero").any()


def test_a_grid_that_does_not_cover_the_plateau_leaves_all_undefined() -> None:
    fine = DOSES[DOSES < 0.1]
    terms = fitted(noisy_frame(9, x=fine)).tidy()
    assert terms[NUMBERS].isna().all(axis=None)
    assert (terms["note"] == "undefined: the doses do not cover 10% to 90%").all()


@pytest.mark.parametrize("n_documents", [1, 3])
def test_fewer_than_four_documents_give_estimates_without_intervals_and_say_so(n_documents: int) -> None:
    terms = fitted(noisy_frame(10, n_documents=n_documents, sizes=(4,))).tidy()
    assert terms["estimate"].notna().all()
    assert terms[NUMBERS[1:]].isna().all(axis=None)
    assert (terms["note"] == "no interval from fewer than 4 documents").all()


def test_an_effect_without_any_neuron_replaced_never_makes_a_fraction_negative() -> None:
    x = np.concatenate([[0.0], DOSES])
    terms = fitted(noisy_frame(11, x=x).assign(effect=lambda f: f["effect"] + 5)).tidy().set_index("term")
    limits = terms.loc[FRACTIONS, ["estimate", "conf_low", "conf_high"]].astype(float).fillna(0.0)
    assert (limits >= 0).all(axis=None)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"share": (0.5, 1.0)}, "share=1.0"),
        ({"share": (0.0,)}, "share=0.0"),
        ({"share": (50,)}, "share=50"),
        ({"interval": "wald"}, "interval='wald'"),
        ({"n_boot": 0}, "n_boot"),
        ({"conf_level": 95}, "conf_level"),
        ({"plateau": (0.9, 0.1)}, "plateau"),
    ],
)
def test_an_argument_that_is_not_allowed_is_named(options: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        fitted(noisy_frame(0), **options)


def test_no_shares_leave_the_plateau_alone() -> None:
    assert list(fitted(noisy_frame(0), share=()).tidy()["term"]) == ["plateau"]


def test_the_result_says_what_was_done_and_draws_the_first_share() -> None:
    from matplotlib.figure import Figure

    result = fitted(noisy_frame(12, n_documents=5, sizes=(1, 2)), n_boot=30, seed=9)
    assert (result.n_documents, result.n_prompts) == (5, 7)
    assert result.notes[0].startswith("Plateau: mean effect over 10% to 90%.")
    assert result.notes[1] == "95% intervals by inverting t tests over documents."
    ax = Figure().subplots()
    result.plot(ax)
    np.testing.assert_allclose(ax.lines[1].get_xdata(), estimates(result.tidy())[FRACTIONS[0]])


def test_nominal_95_percent_intervals_of_plateau_and_core_fraction_cover_89_to_99_percent() -> None:
    # 200 data sets of 60 documents; the truth is that of the mean curve, linear between the doses.
    rng = np.random.default_rng(1)
    n = 60
    mean = two_phase(DOSES, 0.1, 20.0, 0.1, 0.03)
    plateau = float(np.interp(0.5, DOSES, mean))  # a line from .1 to .9
    half = float(np.interp(plateau / 2, mean, DOSES))
    covered: dict[tuple[str, str], list[bool]] = {}
    for _ in range(200):
        level = rng.gamma(4, 1 / 4, (n, 1))
        y = level * mean + rng.normal(0, 0.1, (n, len(DOSES))) + rng.normal(0, 0.2, (n, 1))
        curves = DocumentCurves(DOSES, np.ones(len(DOSES)), y[:, None], np.ones(n), ("all",))
        for row in core_terms(curves, resample_documents(n, 200, rng), shares=(0.5,)).itertuples():
            truth = plateau if row.term == "plateau" else half
            covered.setdefault((row.term, row.method), []).append(row.conf_low <= truth <= row.conf_high)
    shares = {name: float(np.mean(hits)) for name, hits in covered.items()}
    assert len(shares) == 4
    assert all(0.89 <= share <= 0.99 for share in shares.values()), shares
