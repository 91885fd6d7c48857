"""Moderators: the mixed model's fixed effects, plain least squares, clustered errors, and what is refused.

Tolerances: 1e-4 against MixedLM (its optimiser stops at about 1e-6 of the variances, and the fixed effects do not
depend on them in a balanced design); 1e-9 against least squares and the sandwich written out.
"""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ripplestats.errors import InputError
from ripplestats.fits.core import core_fraction
from ripplestats.fits.curves import DocumentCurves, document_curves
from ripplestats.fits.moderators import UNBALANCED_PROMPTS, moderators
from ripplestats.fits.saturation import plateau_weights
from tests.fits.frames import CHECKED, DOSES, frame_of, two_phase

LIMIT = 0.03
NAMES = {"y": "effect", "x": "rate"}


def data(seed: int = 0, n: int = 40, n_documents: int = 20) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Prompts whose height grows with ``entropy`` and whose steepness with ``length``."""
    rng = np.random.default_rng(seed)
    prompts = pd.DataFrame(
        {
            "prompt_id": np.arange(n),
            "entropy": rng.normal(3, 2, n),
            "length": rng.integers(5, 50, n),
            "kind": rng.choice(["noun", "verb", "name"], n, p=[0.5, 0.25, 0.25]),
        }
    )
    documents = np.arange(n) % n_documents
    height = 1 + 0.3 * (prompts["entropy"] - 3) / 2 + 0.2 * rng.standard_normal(n_documents)[documents]
    at = np.exp(rng.normal(np.log(0.03), 0.1, n))
    curves = np.stack([two_phase(DOSES, 0, h / a, 0.05, a) for h, a in zip(height, at, strict=True)])
    curves += 0.05 * rng.standard_normal(curves.shape)
    return frame_of(curves, DOSES, documents), prompts


def found(frame: pd.DataFrame, prompts: pd.DataFrame, covariates: list[str], **options: object) -> pd.DataFrame:
    fit = moderators(frame, prompts, **NAMES, covariates=covariates, slope_up_to=LIMIT, **options)
    return fit.tidy().set_index("term")


def test_coefficients_are_those_of_the_mixed_model() -> None:
    frame, prompts = data()
    terms = found(frame, prompts, ["entropy", "length"])
    standard = prompts[["entropy", "length"]]
    merged = frame.merge(((standard - standard.mean()) / standard.std()).assign(prompt_id=prompts["prompt_id"]))
    below = merged[merged["rate"] <= LIMIT].assign(rate=lambda one: 100 * one["rate"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = smf.mixedlm("effect ~ rate * (entropy + length)", below, groups="prompt_id", re_formula="~ rate").fit()
    for name in ("entropy", "length"):
        assert terms.loc[f"slope: {name}", "estimate"] / 100 == pytest.approx(model.fe_params[f"rate:{name}"], rel=1e-4)


def test_coefficients_and_errors_are_least_squares_and_the_clustered_sandwich() -> None:
    frame, prompts = data(1)
    terms = found(frame, prompts, ["entropy", "length"])
    level = frame["effect"].to_numpy().reshape(-1, len(DOSES)) @ plateau_weights(DOSES)
    numbers = prompts[["entropy", "length"]].to_numpy(float)
    x = np.column_stack([np.ones(40), (numbers - numbers.mean(0)) / numbers.std(0, ddof=1)])
    beta = np.linalg.solve(x.T @ x, x.T @ level)
    scores = np.stack([x[k::20].T @ (level - x @ beta)[k::20] for k in range(20)])
    bread = np.linalg.inv(x.T @ x)
    variance = bread @ (scores.T @ scores) @ bread * 20 / 19 * 39 / 37
    for place, name in enumerate(("entropy", "length"), start=1):
        row = terms.loc[f"plateau: {name}"]
        error = np.sqrt(variance[place, place])
        assert row["estimate"] == pytest.approx(beta[place], rel=1e-9)
        assert row["std_error"] == pytest.approx(error, rel=1e-9)
        assert row["p_value"] == pytest.approx(2 * stats.t.sf(abs(beta[place] / error), 19), rel=1e-9)
        assert row["conf_high"] == pytest.approx(beta[place] + stats.t.isf(0.025, 19) * error, rel=1e-9)


def test_what_moderates_is_found_and_what_does_not_is_not() -> None:
    terms = found(*data(2, n=200, n_documents=100), ["entropy", "length", "kind"])
    assert terms.loc["plateau: entropy", "conf_low"] < 0.3 < terms.loc["plateau: entropy", "conf_high"]
    assert terms.loc["plateau: entropy", "p_adjusted"] < 1e-6
    assert terms.loc["plateau: length", "p_adjusted"] > 0.05
    # Height moves the curve up everywhere: it is no earlier for it.
    assert terms.loc["core: entropy", "p_adjusted"] > 0.05
    assert set(terms.index) >= {"plateau: kind[verb]", "plateau: kind[name]", "plateau: kind (any)"}
    family = terms.loc[["plateau: entropy", "plateau: length", "plateau: kind (any)"]]
    ordered = np.sort(family["p_value"])
    assert np.sort(family["p_adjusted"]) == pytest.approx(np.maximum.accumulate(np.minimum(ordered * [3, 2, 1], 1)))
    assert terms["p_adjusted"].notna().sum() == 9


def test_core_is_moved_by_what_moves_the_curve_sideways() -> None:
    n = 120
    late = np.arange(n) % 2
    curves = np.stack([two_phase(DOSES, 0, 1 / a, 0, a) for a in np.where(late, 0.04, 0.02)])
    frame = frame_of(curves + 0.02 * np.random.default_rng(0).standard_normal(curves.shape), DOSES)
    terms = found(frame, pd.DataFrame({"prompt_id": np.arange(n), "late": late.astype(bool)}), ["late"])
    assert terms.loc["core: late[True]", "estimate"] == pytest.approx(0.01, rel=0.35)
    assert terms.loc["core: late[True]", "p_value"] < 1e-6


@CHECKED
@given(st.floats(0.1, 10), st.floats(-5, 5), st.floats(0.1, 10))
def test_units_change_nothing(scale: float, shift: float, unit: float) -> None:
    frame, prompts = data(3)
    plain = found(frame, prompts, ["entropy"])
    other = found(frame.assign(effect=scale * frame["effect"]), prompts.assign(entropy=unit * prompts["entropy"] + shift),
                  ["entropy"])  # fmt: skip
    terms = ["plateau: entropy", "slope: entropy"]
    assert other.loc[terms, "estimate"].to_numpy() == pytest.approx(scale * plain.loc[terms, "estimate"].to_numpy())
    assert other["p_value"].to_numpy() == pytest.approx(plain["p_value"].to_numpy(), rel=1e-5)


def test_groups_are_fitted_by_themselves() -> None:
    frame, prompts = data(6)
    both = pd.concat([frame.assign(layer=0), frame.assign(layer=1, effect=2 * frame["effect"])])
    terms = moderators(both, prompts, **NAMES, covariates=["entropy"], by="layer", slope_up_to=LIMIT).tidy()
    plateau = terms[terms["term"] == "plateau: entropy"].set_index("layer")["estimate"]
    assert plateau[1] == pytest.approx(2 * plateau[0])
    assert list(terms.columns[:2]) == ["layer", "term"]


def test_constant_and_scarce_covariates_have_a_reason() -> None:
    frame, prompts = data(7)
    rare = prompts.assign(same=1.0, kind=["rare"] * 2 + ["a", "b"] * 19)
    terms = found(frame, rare, ["entropy", "same", "kind"])
    assert terms.loc["plateau: same", "note"] == "undefined: the covariate is constant"
    assert np.isnan(terms.loc["plateau: kind[rare]", "estimate"])
    assert "fewer than 4 documents" in terms.loc["plateau: kind[rare]", "note"]
    assert terms.loc["plateau: kind (any)", "note"] == "F test of 1 coefficients"
    flat = found(frame.assign(effect=0.0), prompts, ["entropy"])
    assert flat["estimate"].isna().all()
    assert flat["note"].str.startswith("undefined").all()
    few = found(frame.assign(document_id=frame["prompt_id"] % 3), prompts, ["entropy"])
    assert few["note"].str.contains("3 documents are too few").all()
    narrow = found(frame[frame["rate"] < 0.2], prompts, ["entropy"])
    assert narrow.loc[["plateau: entropy", "core: entropy"], "note"].str.contains("do not cover").all()
    assert np.isfinite(narrow.loc["slope: entropy", "estimate"])


def test_correlated_covariates_are_named() -> None:
    frame, prompts = data(8)
    near = prompts.assign(near=prompts["entropy"] + 0.1 * prompts["length"] / 50)
    fit = moderators(frame, near, **NAMES, covariates=["entropy", "near"])
    assert any("Hard to tell apart" in note and "near" in note for note in fit.notes)
    assert "up to the threshold" in fit.summary()


def test_a_logarithm_is_taken_of_positive_numbers() -> None:
    frame, prompts = data(9)
    by_hand = found(frame, prompts.assign(log_length=np.log(prompts["length"])), ["log_length"])
    assert found(frame, prompts, ["log(length)"])["estimate"].tolist() == by_hand["estimate"].tolist()
    with pytest.raises(InputError, match="positive"):
        found(frame, prompts.assign(length=prompts["length"] - 5 - prompts["length"].min()), ["log(length)"])


@pytest.mark.parametrize(
    ("change", "covariates", "message"),
    [
        ({}, ["nothing"], "no column 'nothing'"),
        ({}, [], "at least one"),
        ({}, ["entropy", "entropy"], "each once"),
        ({"entropy": np.r_[np.nan, np.ones(39)]}, ["entropy"], "missing for 1 of 40"),
        ({"entropy": np.r_[np.inf, np.ones(39)]}, ["entropy"], "not finite"),
        ({"entropy": np.arange(40.0), "length": 3 - 2 * np.arange(40.0)}, ["entropy", "length"], "linear combination"),
        ({"prompt_id": np.arange(40) + 1}, ["entropy"], "one row for each prompt_id"),
        ({"kind": [str(i) for i in range(40)]}, ["kind"], "too few for 40 coefficients"),
    ],
)
def test_unusable_covariates_are_refused(change: dict[str, object], covariates: list[str], message: str) -> None:
    frame, prompts = data(10)
    with pytest.raises(InputError, match=message):
        found(frame, prompts.assign(**change), covariates)


def with_gaps(frame: pd.DataFrame, seed: int, share: float = 0.2) -> pd.DataFrame:
    """The frame without a share of its rows, at random."""
    return frame[np.random.default_rng(seed).random(len(frame)) > share]


def test_a_balanced_frame_gives_the_same_by_the_general_path(monkeypatch: pytest.MonkeyPatch) -> None:
    frame, prompts = data(13)
    # Prompts count once, also those with two rows at each dose; a dose may stand for two rows.
    frame = pd.concat([frame, frame[frame["prompt_id"] < 7], frame[frame["rate"] == 0.02]])
    frame = pd.concat([frame, frame[(frame["prompt_id"] < 7) & (frame["rate"] == 0.02)].drop_duplicates()])
    for options in ({"slope_up_to": LIMIT}, {}):
        plain = moderators(frame, prompts, **NAMES, covariates=["entropy", "kind"], **options)
        with monkeypatch.context() as patched:
            patched.setattr("ripplestats.fits.moderators.document_curves", general_curves)
            general = moderators(frame, prompts, **NAMES, covariates=["entropy", "kind"], **options)
        pd.testing.assert_frame_equal(general.terms, plain.terms, rtol=1e-8, atol=1e-12)
        assert set(general.notes) - set(plain.notes) == {UNBALANCED_PROMPTS}


def general_curves(frame: pd.DataFrame, **columns: str) -> DocumentCurves:
    curves = document_curves(frame, **columns)
    assert curves.counts is None
    assert set(curves.weights) == set(curves.dose_weights) == {1, 2}
    counts = np.broadcast_to(curves.weights[:, None, None] * curves.dose_weights, curves.values.shape)
    return replace(curves, counts=counts)


def test_prompts_with_gaps_give_what_their_own_rows_give() -> None:
    frame, prompts = data(14)
    holed = with_gaps(frame, 14)
    terms = found(holed, prompts, ["entropy"])
    x = np.column_stack([np.ones(40), (prompts["entropy"] - prompts["entropy"].mean()) / prompts["entropy"].std()])
    whole = core(holed)
    by_hand: dict[str, list[float]] = {"plateau": [], "slope": [], "core": []}
    for prompt in range(40):
        rows = holed[holed["prompt_id"] == prompt]
        points = np.union1d(rows.loc[rows["rate"] >= 0.1, "rate"], max(0.1, rows["rate"].min()))
        heights = np.interp(points, rows["rate"], rows["effect"])
        by_hand["plateau"].append(np.trapezoid(heights, points) / (points[-1] - points[0]))
        below = rows[rows["rate"] <= LIMIT]
        by_hand["slope"].append(np.polyfit(below["rate"], below["effect"], 1)[0])
        by_hand["core"].append(40 * whole - 39 * core(holed[holed["prompt_id"] != prompt]))
    for name, values in by_hand.items():
        expected = np.linalg.lstsq(x, np.array(values), rcond=None)[0][1]
        assert terms.loc[f"{name}: entropy", "estimate"] == pytest.approx(expected, rel=1e-8), name


def core(frame: pd.DataFrame) -> float:
    fit = core_fraction(frame, **NAMES, cluster="prompt_id", share=(0.5,), n_boot=20, interval="percentile")
    return float(fit.tidy()["estimate"].iloc[1])


def test_what_moderates_is_found_in_a_frame_with_gaps() -> None:
    frame, prompts = data(2, n=200, n_documents=100)
    whole, holed = (found(one, prompts, ["entropy", "length"]) for one in (frame, with_gaps(frame, 3)))
    assert holed.loc["plateau: entropy", "conf_low"] < 0.3 < holed.loc["plateau: entropy", "conf_high"]
    assert holed.loc["plateau: length", "p_value"] > 0.05
    assert holed.loc["core: entropy", "p_value"] > 0.05
    # A fifth of the rows less costs little precision, but of the core, for which prompts stand in for each other.
    errors = holed["std_error"] / whole["std_error"]
    assert errors[:4].between(0.9, 1.2).all()
    assert errors[4:].between(1.2, 2.5).all()


def test_prompts_without_a_quantity_are_left_out_of_it_and_counted() -> None:
    frame, prompts = data(15)
    few, narrow = frame["prompt_id"] < 3, frame["prompt_id"].between(3, 7)
    gone = few & (frame["rate"] < LIMIT) & (frame["rate"] > DOSES[0]) | narrow & (frame["rate"] > 0.2)
    holed = frame[~gone & ~((frame["rate"] == LIMIT) & (frame["prompt_id"] != 30))]
    fit = moderators(holed, prompts, **NAMES, covariates=["entropy"], slope_up_to=LIMIT)
    terms = fit.tidy().set_index("term")
    assert UNBALANCED_PROMPTS in fit.notes
    assert "slope: 3 of 40 prompts are left out: fewer than two doses up to 0.03." in fit.notes
    assert "plateau: 5 of 40 prompts are left out: the doses do not cover 10% to 90%." in fit.notes
    (note,) = (note for note in fit.notes if note.startswith("core: 1 of 40 prompts are left out"))
    assert "no other prompt with one of their doses" in note
    entropy = ((prompts["entropy"] - prompts["entropy"].mean()) / prompts["entropy"].std()).to_numpy()
    slopes = [np.polyfit(*holed[(holed["prompt_id"] == i) & (holed["rate"] <= LIMIT)][["rate", "effect"]].T.to_numpy(), 1)
              for i in range(3, 40)]  # fmt: skip
    expected = np.polyfit(entropy[3:], np.array(slopes)[:, 0], 1)[0]
    assert terms.loc["slope: entropy", "estimate"] == pytest.approx(expected, rel=1e-9)
    both = pd.concat([holed.assign(layer=0), frame.assign(layer=1)])
    notes = moderators(both, prompts, **NAMES, covariates=["entropy"], by="layer", slope_up_to=LIMIT).notes
    assert any(
        note.startswith("slope: 3 of 40 prompts (in the layer where they are most) are left out") for note in notes
    )


def test_a_group_that_prompts_lack_is_fitted_from_the_others() -> None:
    frame, prompts = data(16)
    others = frame[frame["prompt_id"] >= 10]
    both = pd.concat([frame.assign(layer=0), others.assign(layer=1)])
    terms = moderators(both, prompts, **NAMES, covariates=["entropy"], by="layer", slope_up_to=LIMIT).tidy()
    alone = found(others, prompts, ["entropy"])
    ratio = prompts["entropy"].std() / prompts.loc[10:, "entropy"].std()
    for name in ("plateau", "slope", "core"):
        row = terms[(terms["layer"] == 1) & (terms["term"] == f"{name}: entropy")].iloc[0]
        expected = alone.loc[f"{name}: entropy"]
        # In units of the standard deviation of all prompts, not of these.
        assert row["estimate"] == pytest.approx(expected["estimate"] * ratio, rel=1e-7)
        assert row["p_value"] == pytest.approx(expected["p_value"], rel=1e-6)


def test_too_few_prompts_with_a_quantity_have_a_reason() -> None:
    frame, prompts = data(17)
    high = frame["rate"] > 0.2

    def plateau(kept: "pd.Series[bool]", covariates: list[str]) -> pd.DataFrame:
        terms = found(frame[~high | kept], prompts.assign(rare=["a", "b"] * 5 + ["a"] * 30), covariates)
        return terms[terms.index.str.startswith("plateau")]

    assert plateau(frame["prompt_id"] < 3, ["entropy"])["note"].tolist() == [
        "undefined: 3 documents are too few for 2 coefficients"
    ]
    in_few = frame.assign(document_id=frame["prompt_id"])["prompt_id"].isin([0, 1, 2, 3, 4])
    assert "5 prompts are too few for 4 coefficients" in plateau(in_few, ["entropy", "length", "rare"])["note"].iloc[0]
    assert "do not tell the covariates apart" in plateau(frame["prompt_id"] >= 12, ["rare"])["note"].iloc[0]
    # Of the prompts that have a plateau fewer than four documents hold the level.
    scarce = plateau(frame["prompt_id"] >= 5, ["entropy", "rare"])
    assert scarce.loc["plateau: rare[b]", "note"] == "undefined: fewer than 4 documents"
    assert np.isfinite(scarce.loc["plateau: entropy", "estimate"])


def test_a_prompt_of_two_documents_is_refused() -> None:
    frame, prompts = data(11)
    with pytest.raises(InputError, match="several"):
        found(frame.assign(document_id=np.arange(len(frame)) % 2), prompts, ["entropy"])
    with pytest.raises(InputError, match="no column"):
        found(frame.drop(columns="document_id"), prompts, ["entropy"])
    with pytest.raises(InputError, match="share=2"):
        found(frame, prompts, ["entropy"], share=2)
