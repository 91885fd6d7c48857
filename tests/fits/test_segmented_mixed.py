"""The segmented mixed model: truth recovered, what may not change it, and what has no answer."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ripplestats.errors import InputError
from ripplestats.fits.random_breaks import optimum
from ripplestats.fits.random_breaks.layout import SIMPLE, Law
from ripplestats.fits.random_breaks.model import BreakModel, fit_break_model
from ripplestats.fits.segmented_mixed import SegmentedMixedResult, segmented_mixed
from tests.fits.frames import CHECKED, DOSES, document_twice, estimates, frame_of, relabelled

X = np.array([0.2, 0.5, 0.8, 1.1, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 9.0])
FEW = settings(CHECKED, max_examples=2)


def simulated(seed: int, n: int = 24, psi: float = 1.8, tau: float = 0.4, noise: float = 0.05) -> np.ndarray:
    rng = np.random.default_rng(seed)
    start, below, change = (rng.normal(mean, sd, (n, 1)) for mean, sd in ((0.1, 0.2), (0.6, 0.15), (-0.6, 0.1)))
    breaks = rng.normal(psi, tau, (n, 1))
    return start + below * X + change * np.maximum(X - breaks, 0) + noise * rng.standard_normal((n, len(X)))


def fit(frame: pd.DataFrame, **options: object) -> SegmentedMixedResult:
    return segmented_mixed(frame, y="effect", x="rate", group="prompt_id", **options)


def named(model: BreakModel) -> dict[str, float]:
    return dict(zip(model.terms, model.estimate, strict=True))


def test_truth_lies_within_four_standard_errors():
    found = fit_break_model(simulated(1, n=60), X)
    truth = [1.8, 0.4, 0.1, 0.6, -0.6, 0.0, 0.2, 0.15, 0.1, 0.05]
    assert (np.abs(found.estimate - truth) < 4 * found.std_error).all()
    assert (found.low < found.estimate).all()
    assert (found.estimate < found.high).all()
    assert found.notes == ()
    assert set(found.reasons) == {""}
    assert found.quadrature_error < 1e-3


def test_no_search_ends_at_a_spread_without_bound():
    """Here a line search ended where it was refused, with a likelihood that was rounding."""
    rng = np.random.default_rng([30, 20, 77])
    doses = [*np.arange(0.2, 2.1, 0.2), 2.5, 3, 3.5, 4, 4.5, *range(5, 11), 12, 15, *range(20, 91, 10)]
    x = np.array(doses)
    for _ in range(95):
        start, below, change, breaks = (rng.standard_normal((30, 1)) for _ in range(4))
        noise = rng.standard_normal((30, len(x)))
    values = 0.1 + 0.2 * start + (0.5 + 0.15 * below) * x + (0.075 * change - 0.5) * np.maximum(x - 2 - breaks / 2, 0)
    found = fit_break_model(values + 0.1 * noise, x)
    assert named(found)["population_threshold"] == pytest.approx(2.08, abs=0.05)
    assert named(found)["threshold_sd"] < 0.5
    assert found.notes == ()


def test_each_prompts_break_is_found_where_the_kink_is_clear():
    rng = np.random.default_rng(0)
    breaks = rng.normal(1.8, 0.4, 20)
    values = 0.6 * X - 0.6 * np.maximum(X - breaks[:, None], 0) + 0.01 * rng.standard_normal((20, len(X)))
    found = fit_break_model(values + rng.normal(0, 0.2, (20, 1)), X)
    np.testing.assert_allclose(found.breaks, breaks, atol=0.1)
    assert (found.break_errors < 0.05).all()


def test_reml_spreads_are_wider_than_those_of_ml_and_the_likelihood_no_higher():
    values = simulated(2, n=12)
    reml, ml = (fit_break_model(values, X, method=method) for method in ("reml", "ml"))
    assert named(reml)["threshold_sd"] > named(ml)["threshold_sd"]
    assert reml.log_likelihood <= ml.log_likelihood
    assert np.isnan(ml.restricted)
    assert np.isfinite(reml.restricted)


def test_correlated_effects_have_no_lower_likelihood_than_uncorrelated_ones():
    values = simulated(3)
    free, diagonal = (fit_break_model(values, X, method="ml", law=law) for law in (Law(correlated=True), SIMPLE))
    assert free.log_likelihood >= diagonal.log_likelihood - 1e-6
    assert {"correlation_intercept_slope_below", "correlation_slope_below_slope_change"} < set(free.terms)


@pytest.mark.parametrize("random", [(), ("intercept",), ("break",), ("intercept", "slope_below", "break")])
def test_any_subset_of_effects_may_be_random(random):
    rng = np.random.default_rng(4)
    values = 0.6 * X - 0.6 * np.maximum(X - rng.normal(1.8, 0.4, (20, 1)), 0) + 0.1 * rng.standard_normal((20, len(X)))
    found = fit_break_model(values, X, random=random)
    spreads = {"intercept": "sd_intercept", "slope_below": "sd_slope_below", "break": "threshold_sd"}
    assert {spreads[name] for name in random} == {t for t in found.terms if "sd" in t}
    assert X[1] < named(found)["population_threshold"] < X[-2]
    assert found.std_error[0] < 0.3


def test_equal_breaks_are_said_to_have_a_spread_of_zero_and_equal_the_model_without():
    rng = np.random.default_rng(2)
    values = 0.6 * X - 0.6 * np.maximum(X - 1.8, 0) + 0.2 * rng.standard_normal((15, 1))
    values = values + 0.2 * rng.standard_normal(values.shape)
    found, without = (
        fit_break_model(values, X, method="ml", random=random) for random in (("intercept", "break"), ("intercept",))
    )
    assert "The spread of breaks lies on the boundary (zero)." in found.notes
    assert named(found)["threshold_sd"] == 0
    assert found.reasons[1] == "on the boundary (zero): no interval"
    assert np.isnan(found.low[1])
    assert named(found)["population_threshold"] == pytest.approx(named(without)["population_threshold"], abs=1e-3)
    assert found.std_error[0] == pytest.approx(without.std_error[0], rel=1e-2)
    np.testing.assert_allclose(found.breaks, found.estimate[0], atol=1e-3)


def test_an_effect_that_does_not_differ_has_a_spread_of_zero():
    rng = np.random.default_rng(2)
    breaks = rng.normal(1.8, 0.4, (15, 1))
    values = 0.6 * X - 0.6 * np.maximum(X - breaks, 0) + 0.05 * rng.standard_normal((15, len(X)))
    found = fit_break_model(values, X)
    assert named(found)["sd_intercept"] == 0
    assert any(note.startswith("On the boundary (zero): the spread of intercept") for note in found.notes)
    assert found.reasons[found.terms.index("sd_intercept")] == "on the boundary (zero): no interval"
    assert np.isfinite(found.low[[0, 1, 2, 3]]).all()


@FEW
@given(st.integers(0, 99), st.floats(-5, 5), st.sampled_from([-30.0, -0.01, 0.2, 400.0]))
def test_affine_change_of_effects_changes_no_break(seed, shift, scale):
    values = simulated(seed, n=12)
    base, moved = fit_break_model(values, X), fit_break_model(shift + scale * values, X)
    np.testing.assert_allclose(moved.estimate[:2], base.estimate[:2], rtol=1e-3)
    np.testing.assert_allclose(moved.std_error[:2], base.std_error[:2], rtol=1e-2)
    assert named(moved)["slope_below"] == pytest.approx(scale * named(base)["slope_below"], rel=1e-3)
    assert named(moved)["residual"] == pytest.approx(abs(scale) * named(base)["residual"], rel=1e-3)
    assert moved.log_likelihood == pytest.approx(base.log_likelihood - values.size * np.log(abs(scale)), abs=1e-2)


@FEW
@given(st.integers(0, 99), st.sampled_from([0.01, 0.3, 100.0]))
def test_change_of_the_doses_unit_scales_breaks(seed, scale):
    values = simulated(seed, n=12)
    base, moved = fit_break_model(values, X), fit_break_model(values, scale * X)
    np.testing.assert_allclose(moved.estimate[:2], scale * base.estimate[:2], rtol=1e-3)
    assert named(moved)["slope_change"] == pytest.approx(named(base)["slope_change"] / scale, rel=1e-3)
    assert moved.log_likelihood == pytest.approx(base.log_likelihood, abs=1e-3)


@FEW
@given(st.integers(0, 99))
def test_row_order_and_names_change_nothing(seed):
    frame = frame_of(simulated(seed, n=12), X)
    other = relabelled(frame, seed).sample(frac=1, random_state=seed)
    base, moved = fit(frame), fit(other)
    numbers = base.tidy().select_dtypes("number").columns
    np.testing.assert_allclose(moved.tidy()[numbers], base.tidy()[numbers], rtol=1e-3, atol=1e-5)


@FEW
@given(st.integers(0, 99))
def test_a_copy_of_each_document_changes_no_ml_estimate(seed):
    frame = frame_of(simulated(seed, n=12), X)
    base, double = fit(frame, method="ml").tidy(), fit(document_twice(frame), method="ml").tidy()
    np.testing.assert_allclose(double["estimate"], base["estimate"], rtol=2e-3, atol=1e-4)


def test_a_copy_of_each_prompt_in_its_document_changes_no_robust_error():
    frame = frame_of(simulated(8, n=16), X)
    twice = document_twice(frame)
    twice["document_id"] = np.tile(frame["document_id"], 2)
    base, double = (fit(one, cluster="document_id", method="ml", law="simple").tidy() for one in (frame, twice))
    mean = base["term"].isin(["population_threshold", "intercept", "slope_below", "slope_change"])
    np.testing.assert_allclose(double["std_error"][mean], base["std_error"][mean], rtol=1e-2)
    # Taken for independent, the copies would make them narrower by the root of two.
    assert fit(twice, method="ml", law="simple").tidy()["std_error"][0] < 0.8 * base["std_error"][0]


def test_a_constant_of_each_prompt_goes_into_its_intercept():
    """Not exactly: the intercepts' spread is estimated, and shrinks them; the wider, the less."""
    values = simulated(9)
    added = np.random.default_rng(9).normal(0, 5, (len(values), 1))
    base, moved = fit_break_model(values, X), fit_break_model(values + added, X)
    assert abs(moved.estimate[0] - base.estimate[0]) < 0.1 * base.std_error[0]
    np.testing.assert_allclose(moved.breaks, base.breaks, atol=0.25 * named(base)["threshold_sd"])
    # The same constant for all moves the mean intercept alone.
    shifted = fit_break_model(values + 7.0, X)
    assert named(shifted)["intercept"] == pytest.approx(named(base)["intercept"] + 7.0, abs=1e-3)
    np.testing.assert_allclose(shifted.breaks, base.breaks, atol=1e-3)


def test_terms_levels_and_breaks_of_a_frame():
    frames = [frame_of(simulated(seed, n=10), X).assign(layer=layer) for layer, seed in ((1, 1), (2, 2))]
    found = fit(pd.concat(frames), by="layer", cluster="document_id")
    assert list(found.tidy().columns) == [
        "layer", "term", "estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high", "note",
    ]  # fmt: skip
    alone = estimates(fit(frames[1]).tidy())
    there = found.tidy().query("layer == 2").drop(columns="layer")
    assert estimates(there) == pytest.approx(alone, rel=1e-6)
    tested = found.tidy().dropna(subset="p_value")["term"].unique()
    assert set(tested) == {"intercept", "slope_below", "slope_above"}
    assert len(found.breaks) == 20
    assert (found.n_prompts, found.n_documents) == (10, 10)
    assert found.plot() is not None


def test_missing_rows_are_fitted_and_said():
    frame = frame_of(simulated(10), X)
    base = estimates(fit(frame).tidy())
    lacking = fit(frame.drop(index=[3, 40, 41, 100]))
    assert "Prompts have 4 different sets of doses: fitted set by set." in lacking.notes
    assert estimates(lacking.tidy())["population_threshold"] == pytest.approx(base["population_threshold"], abs=0.05)


def test_rows_of_one_prompt_and_dose_are_averaged_and_said():
    frame = frame_of(simulated(11, n=10), X)
    found = fit(pd.concat([frame, frame]))
    assert "Rows of one prompt and dose are averaged." in found.notes
    assert estimates(found.tidy()) == pytest.approx(estimates(fit(frame).tidy()), rel=1e-9)


def test_a_rival_optimum_is_named():
    """A curve that equals itself turned half round has a break at 8 for each at 4."""
    x = np.arange(1.0, 12.0)
    noise = 0.3 * np.random.default_rng(0).standard_normal((8, len(x)))
    rise = np.clip(x - 4, 0, 4) - 2 + noise
    found = fit_break_model(np.concatenate([rise, -rise[:, ::-1]]), x, random=("intercept", "break"))
    assert len(found.rivals) >= 1
    assert min(lack for _, lack in found.rivals) == pytest.approx(0, abs=1e-3)
    assert found.rivals[0][0] == pytest.approx(12 - found.estimate[0], abs=0.05)
    assert any(note.startswith("Not unique: a break at") for note in found.notes)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.full((8, len(X)), 3.0), "flat"),
        (np.arange(8.0)[:, None] + 0.1 * X - 0.1 * np.maximum(X - 1.3, 0), "nothing over as residual"),
        (5 * np.minimum(X, 0.4) + 0.1 * np.random.default_rng(0).standard_normal((12, len(X))), "edge of the doses"),
    ],
)
def test_what_has_no_answer_is_nan_with_its_reason(values, why):
    found = fit_break_model(values, X)
    assert np.isnan(found.estimate).all()
    assert np.isnan(found.breaks).all()
    assert all(why in reason for reason in found.reasons)


def test_one_document_has_estimates_but_no_interval():
    frame = frame_of(simulated(13, n=10), X, documents=np.zeros(10, int))
    terms = fit(frame, cluster="document_id").tidy()
    assert np.isfinite(terms["estimate"]).all()
    assert terms[["std_error", "conf_low", "conf_high", "p_value"]].isna().all(axis=None)
    assert terms["note"].str.contains("one document only").all()


def test_a_mean_line_that_does_not_bend_is_doubted():
    rng = np.random.default_rng(14)
    change = rng.normal(0, 0.6, (20, 1))
    values = 0.3 * X + change * np.maximum(X - rng.normal(1.8, 0.3, (20, 1)), 0)
    found = fit_break_model(values + 0.05 * rng.standard_normal(values.shape), X)
    assert found.reasons[0] == "the mean change of slope does not differ from zero"


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda f: f.drop(columns="rate"), {}, "no column 'rate'"),
        (lambda f: f.assign(effect=f["effect"].where(f.index != 3)), {}, "'effect' holds values that are missing"),
        (
            lambda f: f.assign(effect=f["effect"].where(f.index != 3, np.inf)),
            {},
            "'effect' holds values that are missing or not",
        ),
        (lambda f: f.assign(rate="a"), {}, "'rate' holds values that are missing or not"),
        (lambda f: f.iloc[:0], {}, "no rows"),
        (lambda f: f[f["rate"] < 0.6], {}, "2 doses"),
        (lambda f: f.assign(rate=1.0), {}, "1 doses"),
        (lambda f: f[f["prompt_id"] == 0], {}, "1 prompts"),
        (lambda f: f.assign(document_id=range(len(f))), {"cluster": "document_id"}, "lie in several clusters"),
        (lambda f: f, {"method": "bayes"}, "method='bayes' is not known"),
        (lambda f: f, {"random": ("slope",)}, "random='slope' is not known"),
        (lambda f: f, {"conf_level": 1.5}, "conf_level=1.5"),
    ],
)
def test_wrong_input_is_one_clear_line(change, options, message):
    with pytest.raises(InputError, match=message):
        fit(change(frame_of(simulated(0, n=8), X)), **options)


@pytest.mark.parametrize(
    ("values", "x", "message"),
    [
        (np.ones((6, 4)), X, "do not fit doses"),
        (np.ones((6, len(X))), X[::-1], "rising order"),
        (np.full((6, len(X)), np.nan), X, "none at all"),
    ],
)
def test_wrong_curves_are_one_clear_line(values, x, message):
    with pytest.raises(InputError, match=message):
        fit_break_model(values, x)


def test_where_reml_does_not_converge_maximum_likelihood_is_given_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    # A step between the first two doses of eight equal prompts: nothing is left for most spreads. More nodes change nothing.
    monkeypatch.setattr(optimum, "LAST_ORDER", optimum.FIRST_ORDER)
    step = np.r_[0.0, np.ones(len(DOSES) - 1)] + 0.01 * np.random.default_rng(0).standard_normal((8, len(DOSES)))
    names = {"y": "effect", "x": "rate", "group": "prompt_id"}
    frame = frame_of(step, DOSES)
    found, plain = segmented_mixed(frame, **names), segmented_mixed(frame, **names, method="ml")
    assert "REML did not converge: these are maximum-likelihood estimates." in found.notes
    pd.testing.assert_frame_equal(found.tidy(), plain.tidy())
    assert found.tidy()["estimate"].iloc[0] == pytest.approx(0.006, abs=1e-4)


def test_curves_that_differ_in_height_and_hardly_err_are_fitted() -> None:
    # A line search that follows such curves overshoots to residuals at which nothing can be computed.
    rng = np.random.default_rng(3)
    at, level = 0.02 * rng.lognormal(0, 0.3, (40, 1)), rng.gamma(2, 0.5, (40, 1))
    noise = 0.002 * np.cumsum(rng.standard_t(3, (40, len(DOSES))), axis=1)
    frame = frame_of(level * np.minimum(DOSES / at, 1) + noise, DOSES)
    terms = fit(frame, law="simple").tidy().set_index("term")
    assert terms.loc["population_threshold", "estimate"] == pytest.approx(at.mean(), rel=0.3)


def test_a_likelihood_that_cannot_be_computed_is_nan_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def singular(*_: object) -> None:
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr("ripplestats.fits.random_breaks.model._fit", singular)
    values = np.random.default_rng(0).standard_normal((8, len(DOSES)))
    terms = segmented_mixed(frame_of(values, DOSES), y="effect", x="rate", group="prompt_id").tidy()
    assert terms["estimate"].isna().all()
    assert (terms["note"] == "undefined: double precision does not hold the likelihood").all()
