"""Exponential and Hill saturation: the global minimum, the closed forms, and what is undefined.

Tolerances: parameters 1e-6 relative against scipy's least squares from several starts (it stops at about 1e-8 itself);
our residual sum of squares may not be larger by more than 1e-9 relative; closed forms and quadrature 1e-9.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import least_squares

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import resample_documents
from ripplestats.fits.curves import document_curves
from ripplestats.fits.saturation_curves import fit_saturation, saturation_statistic, saturation_terms
from ripplestats.fits.saturation_shapes import EXPONENTIAL, HILL, MODELS, Saturation
from tests.fits.frames import CHECKED, DOSES, frame_of, noisy_frame

SHARES = np.array([0.5, 0.8, 0.9])
ONES = np.ones(len(DOSES))


def exponential(x: np.ndarray, height: float, scale: float) -> np.ndarray:
    return height * (1 - np.exp(-x / scale))


def hill(x: np.ndarray, height: float, scale: float, steepness: float) -> np.ndarray:
    return height * x**steepness / (x**steepness + scale**steepness)


def by_scipy(model: Saturation, y: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, float]:
    """The best of several bounded fits: height and parameters, and the residual sum of squares."""
    shape = exponential if model is EXPONENTIAL else hill
    starts = [
        (scale, *rest) for scale in (0.004, 0.03, 0.2) for rest in ([()] if model is EXPONENTIAL else [(0.6,), (2.0,)])
    ]
    fits = [
        least_squares(
            lambda p: np.sqrt(weights) * (shape(DOSES, *np.exp(p)) - y), np.log([max(y.max(), 0.01), *start]),
            xtol=1e-14, ftol=1e-14, gtol=1e-14,
        )
        for start in starts
    ]  # fmt: skip
    best = min(fits, key=lambda fit: fit.cost)
    return np.exp(best.x), 2 * best.cost


def noisy_curves(n: int, seed: int, model: Saturation) -> np.ndarray:
    rng = np.random.default_rng(seed)
    scales, steepness = np.exp(rng.uniform(np.log(0.008), np.log(0.15), n)), np.exp(rng.uniform(-0.4, 0.8, n))
    curves = [
        exponential(DOSES, 1, s) if model is EXPONENTIAL else hill(DOSES, 1, s, h)
        for s, h in zip(scales, steepness, strict=True)
    ]
    return np.array(curves) + 0.05 * rng.standard_normal((n, len(DOSES)))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_noisy_curves_reach_the_minimum_that_scipy_finds(model: Saturation) -> None:
    curves = noisy_curves(25, 5, model)
    weights = np.random.default_rng(1).uniform(0.5, 2, len(DOSES))
    fit = fit_saturation(model, DOSES, weights, curves)
    inside = ~fit.edge
    assert inside.sum() >= 20
    for i in np.flatnonzero(inside):
        parameters, residual = by_scipy(model, curves[i], weights)
        assert fit.residual_ss[i] <= residual * (1 + 1e-9)
        if residual <= fit.residual_ss[i] * (1 + 1e-9):
            assert [fit.height[i], *np.exp(fit.parameters[i])] == pytest.approx(parameters, rel=1e-6)


@CHECKED
@given(st.floats(0.005, 0.3), st.floats(0.5, 4), st.floats(1e-3, 1e3))
def test_exact_curves_are_found_with_their_core_fractions(scale: float, steepness: float, height: float) -> None:
    statistic = saturation_statistic(HILL, DOSES, ONES, SHARES)
    found = statistic(hill(DOSES, height, scale, steepness)[None])[0]
    plateau = quad(lambda x: hill(x, height, scale, steepness), 0.1, 0.9, epsabs=0, epsrel=1e-12)[0] / 0.8
    assert found[0] == pytest.approx(plateau, rel=1e-7)
    assert hill(found[1:], height, scale, steepness) == pytest.approx(SHARES * plateau, rel=1e-7)


def test_the_exponential_has_its_closed_form() -> None:
    found = saturation_statistic(EXPONENTIAL, DOSES, ONES, SHARES)(exponential(DOSES, 2.0, 0.03)[None])[0]
    plateau = 2 * (1 - 0.03 / 0.8 * (np.exp(-0.1 / 0.03) - np.exp(-0.9 / 0.03)))
    assert found[0] == pytest.approx(plateau, rel=1e-9)
    assert found[1:] == pytest.approx(-0.03 * np.log(1 - SHARES * plateau / 2), rel=1e-8)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_derivatives_are_those_of_the_shape(model: Saturation) -> None:
    x, step = np.concatenate([[0.0], DOSES]), 1e-5
    place = np.array([[np.log(0.03)]]) if model is EXPONENTIAL else np.array([[np.log(0.03), np.log(1.7)]])
    shape, first, second = model.derivatives(x, place)
    assert shape == pytest.approx(model.shape(x, place))
    for p, move in enumerate(np.eye(place.shape[1]) * step):
        sides = [model.derivatives(x, place + sign * move) for sign in (1, -1)]
        assert (sides[0][0] - sides[1][0]) / (2 * step) == pytest.approx(first[:, p], abs=1e-9)
        assert (sides[0][1] - sides[1][1]) / (2 * step) == pytest.approx(second[:, p], abs=1e-8)


@pytest.mark.parametrize(
    ("curve", "why"),
    [
        (np.zeros(len(DOSES)), "flat or negative"),
        (-exponential(DOSES, 1, 0.03), "flat or negative"),
        (np.ones(len(DOSES)), "edge"),
        (DOSES**2, "edge"),
    ],
)
def test_what_does_not_saturate_is_undefined_with_a_reason(curve: np.ndarray, why: str) -> None:
    noise = 0.01 * curve * np.random.default_rng(0).standard_normal((6, 1))
    curves = document_curves(frame_of(curve + noise, DOSES), y="effect", x="rate", cluster="document_id")
    terms = saturation_terms(curves, resample_documents(6, 50, np.random.default_rng(0)))
    rows = terms[terms["method"] == "exponential"]
    assert rows["estimate"].isna().all()
    assert rows["note"].str.contains(why).all()


def test_terms_hold_intervals_around_the_estimates() -> None:
    curves = document_curves(noisy_frame(0, 30), y="effect", x="rate", cluster="document_id")
    terms = saturation_terms(curves, resample_documents(30, 200, np.random.default_rng(0)))
    assert list(terms["method"].unique()) == ["exponential", "Hill"]
    assert terms["share"].tolist()[1:4] == [0.5, 0.8, 0.9]
    assert (terms["conf_low"] < terms["estimate"]).all()
    assert (terms["estimate"] < terms["conf_high"]).all()
    again = saturation_terms(curves, resample_documents(30, 200, np.random.default_rng(0)))
    assert terms.equals(again)


def test_too_few_documents_or_resamples_with_a_curve_give_no_interval() -> None:
    few = document_curves(noisy_frame(0, 3), y="effect", x="rate", cluster="document_id")
    terms = saturation_terms(few, resample_documents(3, 50, np.random.default_rng(0)))
    assert terms["conf_low"].isna().all()
    assert terms["note"].str.contains("fewer than 4 documents").all()
    level = np.array([-2, -1, -0.5, 0.2, 0.4, 1, 1.5, 2])[:, None]
    mixed = document_curves(frame_of(level * exponential(DOSES, 1, 0.03), DOSES), y="effect", x="rate",
                            cluster="document_id")  # fmt: skip
    terms = saturation_terms(mixed, resample_documents(8, 200, np.random.default_rng(0)), models=(EXPONENTIAL,))
    assert terms["estimate"].notna().all()
    assert terms["conf_low"].isna().all()
    assert terms["note"].str.contains("of the resamples have no such curve").all()


def test_wrong_arguments_are_refused() -> None:
    curves = document_curves(noisy_frame(0, 6), y="effect", x="rate", cluster="document_id")
    with pytest.raises(InputError, match="share="):
        saturation_terms(curves, resample_documents(6, 50, np.random.default_rng(0)), shares=(1.0,))
    with pytest.raises(InputError, match="4 doses"):
        fit_saturation(HILL, DOSES[:3], ONES[:3], np.ones((1, 3)))
    with pytest.raises(InputError, match="none negative"):
        fit_saturation(EXPONENTIAL, DOSES - 0.5, ONES, np.ones((1, len(DOSES))))
