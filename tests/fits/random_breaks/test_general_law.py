"""The general law: truth recovered where the simple law misses it, what may not change it, and when it is chosen."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from ripplestats.fits.random_breaks.inference import bias_reduced
from ripplestats.fits.random_breaks.layout import GENERAL, SIMPLE
from ripplestats.fits.random_breaks.model import BreakModel, fit_break_model, term_names

X = np.array([0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0, 2.5, 3.0, 4.0, 6.0, 9.0])


def simulated(seed: int, n: int = 60, noise: float = 0.15) -> np.ndarray:
    """Curves that reach their level sooner or later, so that early breaks are steep; noise is serial and grows."""
    rng = np.random.default_rng(seed)
    breaks = np.exp(0.3 * rng.standard_normal((n, 1)) - 0.045)
    level = rng.normal(1.0, 0.3, (n, 1))
    error = rng.standard_normal((n, len(X)))
    for place in range(1, len(X)):
        error[:, place] = 0.9 * error[:, place - 1] + np.sqrt(1 - 0.9**2) * error[:, place]
    return level * np.minimum(X, breaks) / breaks + noise * (0.5 + 0.5 * np.minimum(X, 1.0)) * error


def fit(values: np.ndarray, x: np.ndarray = X, **options: object) -> BreakModel:
    return fit_break_model(values, x, law=GENERAL, method="ml", **options)


def named(model: BreakModel) -> dict[str, float]:
    return dict(zip(model.terms, model.estimate, strict=True))


def test_truth_lies_within_the_interval_and_the_shape_of_errors_is_found():
    found = fit(simulated(1))
    assert found.reasons[0] == ""
    assert found.low[0] < 1.0 < found.high[0]
    assert found.std_error[0] < 0.1
    estimate = named(found)
    assert estimate["threshold_median"] < estimate["population_threshold"]
    assert estimate["threshold_sd"] == pytest.approx(0.3, abs=0.1)
    assert estimate["autocorrelation"] == pytest.approx(0.9, abs=0.07)
    assert estimate["residual_growth"] == pytest.approx(2.0, abs=0.6)
    assert estimate["height"] == pytest.approx(1.0, abs=0.15)
    assert estimate["sd_height"] == pytest.approx(0.3, abs=0.1)
    # Its mean is that of height/ψ, 1.09 here, not the height over the mean break.
    assert estimate["slope_below"] == pytest.approx(np.exp(0.3**2), abs=0.12)
    assert estimate["slope_change"] == pytest.approx(estimate["slope_above"] - estimate["slope_below"], rel=1e-12)


def test_the_simple_law_misses_the_truth_that_the_general_law_finds():
    values = [simulated(seed, n=40, noise=0.3) for seed in range(4)]
    simple, general = (
        np.mean([fit_break_model(one, X, method="ml", law=law).estimate[0] for one in values])
        for law in (SIMPLE, GENERAL)
    )
    assert abs(general - 1.0) < 0.06
    assert abs(simple - 1.0) > 0.1


def test_effects_that_correlate_wholly_leave_the_threshold_its_interval():
    rng = np.random.default_rng(0)
    breaks, level = np.exp(0.3 * rng.standard_normal((40, 1)) - 0.045), rng.normal(1.0, 0.3, (40, 1))
    noise = 0.05 * rng.standard_normal((40, len(X)))
    found = fit(level * (1 + np.minimum(X, breaks) / breaks) + noise)
    assert abs(named(found)["correlation_intercept_height"]) > 0.99
    assert found.low[0] < 1.0 < found.high[0]


def test_a_curve_far_out_of_the_others_does_not_keep_the_search_from_its_end():
    """Its break lies beyond the eight standard deviations that the law reaches, where the likelihood is not to end."""
    rng = np.random.default_rng(0)
    breaks = np.exp(0.1 * rng.standard_normal((120, 1)))
    breaks[7] = 5.0
    values = rng.normal(1.0, 0.3, (120, 1)) * np.minimum(X / breaks, 1) + 0.03 * rng.standard_normal((120, len(X)))
    found = fit(values)
    assert found.undefined == ""
    estimate = named(found)
    assert estimate["threshold_sd"] / estimate["threshold_median"] < np.log(5.0) / 8
    assert found.breaks[7] == pytest.approx(5.0, abs=0.5)


def test_affine_change_of_effects_and_of_the_doses_unit_moves_breaks_as_it_should():
    values = simulated(2, n=40)
    base, moved, scaled = fit(values), fit(5 - 3 * values), fit(values, 100 * X)
    np.testing.assert_allclose(moved.estimate[:3], base.estimate[:3], rtol=1e-3)
    np.testing.assert_allclose(moved.std_error[0], base.std_error[0], rtol=1e-3)
    np.testing.assert_allclose(scaled.estimate[:3], 100 * base.estimate[:3], rtol=1e-3)
    assert scaled.log_likelihood == pytest.approx(base.log_likelihood, abs=1e-2)


def test_of_two_optima_near_each_other_the_more_likely_is_given_and_the_other_named():
    """Starts whose breaks had come together ended elsewhere: one is not to stand for the other."""
    found = fit(simulated(1, n=40, noise=1.0))
    assert found.log_likelihood == pytest.approx(-280.15, abs=0.01)
    assert [lack for _, lack in found.rivals] == pytest.approx([0.194], abs=0.01)
    assert any(note.startswith("Not unique: a break at 1.009") for note in found.notes)


def test_prompts_that_lack_doses_are_fitted_set_by_set():
    values = simulated(3, n=40)
    base = fit(values)
    values[3, 5], values[7, [2, 8]] = np.nan, np.nan
    found = fit(values)
    assert "Prompts have 3 different sets of doses: fitted set by set." in found.notes
    assert found.estimate[0] == pytest.approx(base.estimate[0], abs=base.std_error[0] / 2)


def test_influences_are_those_of_bell_and_mccaffrey_where_the_likelihood_is_quadratic():
    rng = np.random.default_rng(0)
    designs, values = rng.standard_normal((8, 5, 2)), rng.standard_normal((8, 5))
    estimate = np.linalg.lstsq(designs.reshape(-1, 2), values.ravel(), rcond=None)[0]
    information = designs.swapaxes(1, 2) @ designs
    residuals = values - designs @ estimate
    inverse = np.linalg.inv(information.sum(axis=0))
    expected = [
        inverse @ design.T @ np.linalg.inv(sqrtm(np.eye(5) - design @ inverse @ design.T)) @ residual
        for design, residual in zip(designs, residuals, strict=True)
    ]
    score = np.einsum("dji,dj->di", designs, residuals)
    np.testing.assert_allclose(bias_reduced(np.linalg.cholesky(inverse), information, score), expected, atol=1e-10)


def test_terms_follow_from_the_law():
    assert term_names(("intercept", "break"), GENERAL) == (
        "population_threshold", "threshold_sd", "threshold_median", "intercept", "height", "slope_below",
        "slope_change", "slope_above", "sd_intercept", "correlation_intercept_break", "residual", "autocorrelation", "residual_growth",
    )  # fmt: skip
    assert "threshold_median" not in term_names(("break",), SIMPLE)
