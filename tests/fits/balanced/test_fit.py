"""The exact balanced model: a dense likelihood written out, its invariances, simulation, and degenerate data."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripplestats.errors import InputError
from ripplestats.fits.balanced.design import LEVELS, BalancedModel, RandomEffect, Reduction, reduction_of, strata_of
from ripplestats.fits.balanced.fit import BalancedFit, fit_balanced, fit_curves, predict_effects, result_at
from ripplestats.fits.balanced.inference import parametric_bootstrap, satterthwaite, simulate
from ripplestats.fits.balanced.likelihood import profile
from ripplestats.fits.balanced.optimum import derivatives, minimise
from ripplestats.fits.products import cross_products, with_layer_mean
from tests.fits.frames import CHECKED

DOSES = np.array([0.1, 0.5, 1.0, 2.0, 4.0])
X = np.column_stack([np.ones(5), np.minimum(DOSES, 1), np.maximum(DOSES - 1, 0)])
DOCUMENTS = np.array([0, 0, 0, 1, 1, 2, 2, 3, 4, 4, 4])
ONE, TWO = RandomEffect(X[:, :1]), RandomEffect(X[:, :2])
APART = RandomEffect(X[:, :2], correlated=False)
#: Levels alone and together, with and without free correlations, inside and outside the span of X.
MODELS = {
    "prompts": BalancedModel(X, prompt=TWO),
    "outside": BalancedModel(X[:, :1], prompt=TWO),
    "documents": BalancedModel(X, document=TWO, prompt=ONE),
    "crossed": BalancedModel(X, prompt=ONE, layer=APART),
    "all": BalancedModel(X, document=ONE, prompt=TWO, layer=APART),
    "all slopes": BalancedModel(X, document=TWO, prompt=TWO, layer=TWO),
    "interaction": BalancedModel(X, prompt=TWO, layer=ONE, interaction=TWO),
    "everything": BalancedModel(X, document=ONE, prompt=TWO, layer=TWO, interaction=APART),
}


def curves(seed: int, layers: int = 3, documents: np.ndarray = DOCUMENTS) -> np.ndarray:
    """Curves with effects of documents, prompts (with a slope) and layers."""
    rng = np.random.default_rng(seed)
    n = len(documents)
    values = X @ [1.0, 2.0, 0.3] + 0.5 * rng.standard_normal((n, layers, 5))
    values += rng.standard_normal(n)[documents % n, None, None] + rng.standard_normal((1, layers, 1))
    return values + rng.standard_normal((n, 1, 1)) + 0.7 * rng.standard_normal((n, 1, 1)) * X[:, 1]


def reduced(model: BalancedModel, values: np.ndarray, documents: np.ndarray = DOCUMENTS) -> tuple:
    products = cross_products(with_layer_mean(values), documents)
    reduction = reduction_of(products, model)
    return reduction, strata_of(products, reduction)


def dense_covariance(reduction: Reduction, model: BalancedModel, parameters: np.ndarray, layers: int) -> np.ndarray:
    """The covariance of all observations relative to the residual variance, prompts × layers × doses."""
    n = len(DOCUMENTS)
    labels = {
        "document": np.repeat(DOCUMENTS, layers * 5),
        "prompt": np.repeat(np.arange(n), layers * 5),
        "layer": np.tile(np.repeat(np.arange(layers), 5), n),
        "interaction": np.repeat(np.arange(n * layers), 5),
    }
    V = np.eye(n * layers * 5)
    for factor in reduction.factors:
        level = LEVELS[factor.level]
        half = factor.back @ factor.matrix(parameters)
        Z = np.tile(model.effects[level].design, (n * layers, 1))
        V += (labels[level][:, None] == labels[level]) * (Z @ half @ half.T @ Z.T)
    return V


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_the_likelihood_is_that_of_the_dense_covariance_anywhere(name: str, reml: bool) -> None:
    model, values = MODELS[name], curves(1)
    reduction, strata = reduced(model, values)
    for seed in range(3):
        parameters = np.random.default_rng(seed).standard_normal(reduction.n_parameters)
        V, y = dense_covariance(reduction, model, parameters, 3), values.ravel()
        design = np.tile(model.fixed, (len(y) // 5, 1))
        information = design.T @ np.linalg.solve(V, design)
        fixed = np.linalg.solve(information, design.T @ np.linalg.solve(V, y))
        left = y - design @ fixed
        rows = len(y) - (design.shape[1] if reml else 0)
        squares = left @ np.linalg.solve(V, left)
        deviance = np.linalg.slogdet(V)[1] + rows * (1 + np.log(2 * np.pi * squares / rows))
        deviance += np.linalg.slogdet(information)[1] if reml else 0
        found = profile(strata, reduction, parameters, reml)
        assert found.deviance == pytest.approx(deviance, rel=1e-11)
        np.testing.assert_allclose(strata.reference + found.fixed, fixed, rtol=1e-9)
        np.testing.assert_allclose(found.unscaled, np.linalg.inv(information), rtol=1e-9, atol=1e-12)
        assert found.residual_ss == pytest.approx(squares, rel=1e-10)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_is_that_of_the_deviance(name: str, reml: bool) -> None:
    reduction, strata = reduced(MODELS[name], curves(2))
    parameters = np.random.default_rng(0).standard_normal(reduction.n_parameters)
    along = derivatives(strata, reduction, parameters[None], reml)[0]
    np.testing.assert_allclose(along.deviance.imag[0] / 1e-20, along.gradient.real[0, 0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_predictions_are_conditional_means_given_all_observations(name: str) -> None:
    model, values = MODELS[name], curves(3)
    fit = fit_curves(values, DOCUMENTS, model)
    V = dense_covariance(fit.reduction, model, fit.parameters, 3)
    left = np.linalg.solve(V, (values - model.fixed @ fit.fixed).ravel()).reshape(values.shape) / fit.sigma**2
    parts = {
        "document": np.stack([left[one == DOCUMENTS].sum(axis=(0, 1)) for one in range(5)]),
        "prompt": left.sum(axis=1),
        "layer": left.sum(axis=0),
        "interaction": left,
    }
    found = predict_effects(fit, values, DOCUMENTS)
    for level, effect in model.effects.items():
        expected = parts[level] @ effect.design @ fit.covariances[level]
        np.testing.assert_allclose(getattr(found, level), expected, rtol=1e-7, atol=1e-9)
    for level in set(LEVELS) - set(model.effects):
        assert getattr(found, level).shape[-1] == 0


@pytest.mark.parametrize("name", MODELS)
def test_no_point_nearby_is_better(name: str) -> None:
    reduction, strata = reduced(MODELS[name], curves(4))
    fit = fit_curves(curves(4), DOCUMENTS, MODELS[name])
    nearby = fit.parameters + 0.01 * np.random.default_rng(0).standard_normal((50, len(fit.parameters)))
    assert (profile(strata, reduction, nearby, True).deviance >= -2 * fit.log_likelihood - 1e-8).all()


def same(one: BalancedFit, other: BalancedFit, tolerance: float = 1e-6) -> None:
    np.testing.assert_allclose(one.fixed, other.fixed, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(one.fixed_covariance, other.fixed_covariance, rtol=tolerance, atol=tolerance)
    assert one.sigma == pytest.approx(other.sigma, rel=tolerance)
    for level, covariance in one.covariances.items():
        np.testing.assert_allclose(covariance, other.covariances[level], rtol=tolerance, atol=tolerance)


@CHECKED
@given(seed=st.integers(0, 99), shift=st.floats(-1e3, 1e3), scale=st.floats(0.01, 100))
def test_scaling_and_shifting_the_effect(seed: int, shift: float, scale: float) -> None:
    values = curves(seed)
    plain = fit_curves(values, DOCUMENTS, MODELS["all"])
    moved = fit_curves(scale * values + shift, DOCUMENTS, MODELS["all"])
    back = replace(
        moved,
        fixed=(moved.fixed - [shift, 0, 0]) / scale,
        fixed_covariance=moved.fixed_covariance / scale**2,
        sigma=moved.sigma / scale,
        covariances={level: one / scale**2 for level, one in moved.covariances.items()},
    )
    same(back, plain, 1e-4)
    n = values.size - 3
    assert moved.log_likelihood == pytest.approx(plain.log_likelihood - n * np.log(scale), abs=1e-5)
    np.testing.assert_allclose(satterthwaite(moved), satterthwaite(plain), rtol=1e-3)


@CHECKED
@given(seed=st.integers(0, 99))
def test_order_of_prompts_and_layers_and_names_do_not_matter(seed: int) -> None:
    values, rng = curves(seed), np.random.default_rng(seed)
    prompts, layers = rng.permutation(len(values)), rng.permutation(values.shape[1])
    names = rng.permutation(100)[DOCUMENTS[prompts]]
    moved = fit_curves(values[prompts][:, layers], names, MODELS["all"])
    same(moved, fit_curves(values, DOCUMENTS, MODELS["all"]), 1e-4)


@CHECKED
@given(seed=st.integers(0, 99), below=st.floats(0.01, 100), above=st.floats(0.01, 100))
def test_the_unit_of_the_dose_scales_slopes_alone(seed: int, below: float, above: float) -> None:
    units = np.array([1.0, below, above])
    values = curves(seed)
    plain = fit_curves(values, DOCUMENTS, MODELS["documents"])
    design = BalancedModel(X * units, document=RandomEffect((X * units)[:, :2]), prompt=ONE)
    moved = fit_curves(values, DOCUMENTS, design)
    np.testing.assert_allclose(moved.fixed * units, plain.fixed, rtol=1e-6)
    scale = np.outer(units[:2], units[:2])
    np.testing.assert_allclose(
        moved.covariances["document"] * scale, plain.covariances["document"], rtol=1e-3, atol=1e-6
    )
    restricted = moved.log_likelihood + np.log(below * above)
    assert restricted == pytest.approx(plain.log_likelihood, abs=1e-6)


def test_documents_without_an_effect_of_their_own_do_not_matter() -> None:
    values = curves(5)
    same(
        fit_curves(values, DOCUMENTS, MODELS["prompts"]), fit_curves(values, np.arange(len(values)), MODELS["prompts"])
    )


def test_a_constant_effect_of_a_prompt_moves_no_slope() -> None:
    values = curves(6)
    moved = values + 3 * np.random.default_rng(0).standard_normal((len(values), 1, 1))
    one, other = (fit_curves(y, DOCUMENTS, BalancedModel(X, prompt=ONE)) for y in (values, moved))
    np.testing.assert_allclose(one.fixed[1:], other.fixed[1:], rtol=1e-9)
    assert one.sigma == pytest.approx(other.sigma, rel=1e-9)


def test_a_large_mean_costs_no_accuracy() -> None:
    values = curves(7)
    far = fit_curves(values + 1e6, DOCUMENTS, MODELS["all"])
    near = fit_curves(values, DOCUMENTS, MODELS["all"])
    assert far.log_likelihood == pytest.approx(near.log_likelihood, abs=1e-5)
    assert far.fixed[0] - 1e6 == pytest.approx(near.fixed[0], abs=1e-5)


def test_a_million_prompts_cost_no_more_than_their_cross_products() -> None:
    # The same prompts many times: only counts grow, and the estimates stay.
    values = curves(8)
    products = cross_products(with_layer_mean(values), DOCUMENTS)
    times = 100_000
    many = replace(
        products,
        within=products.within * times,
        counts=products.counts * times,
        sums=products.sums * times,
        between=products.between * times,
    )
    one, all_of_them = (fit_balanced(each, MODELS["documents"]) for each in (products, many))
    np.testing.assert_allclose(one.fixed, all_of_them.fixed, rtol=0.2)
    assert np.sqrt(np.diag(all_of_them.fixed_covariance)) == pytest.approx(
        np.sqrt(np.diag(one.fixed_covariance) / times), rel=0.2
    )


@cache
def fitted() -> BalancedFit:
    return fit_curves(curves(9), DOCUMENTS, MODELS["everything"])


def test_simulated_statistics_are_those_of_simulated_curves() -> None:
    fit, model, n = fitted(), MODELS["everything"], 4000
    # Well inside: every direction of every effect varies.
    parameters = np.random.default_rng(3).standard_normal(len(fit.parameters))
    fit = result_at(parameters, fit.strata, fit.reduction, True)
    root = np.linalg.cholesky(dense_covariance(fit.reduction, model, parameters, 3))
    rng = np.random.default_rng(0)
    drawn = fit.sigma * rng.standard_normal((400, len(root))) @ root.T
    values = drawn.reshape(-1, len(DOCUMENTS), 3, 5) + X @ fit.fixed
    slow = [strata_of(cross_products(with_layer_mean(one), DOCUMENTS), fit.reduction) for one in values]
    quick = simulate(fit, n, rng)
    for name in ("prompts", "layers", "cells", "scatter", "rest", "means", "outside"):
        ours = getattr(quick, name)[:, 0]
        theirs = np.stack([getattr(one, name) for one in slow])
        if name in ("means", "outside"):
            back = fit.reduction.inside if name == "means" else fit.reduction.outside
            shifts = np.stack([back @ one.reference for one in slow])
            theirs = theirs + (shifts[:, None] if name == "means" else shifts)
            ours = ours + back @ quick.reference
        # Means and spreads within five standard errors of 400 data sets; spreads of squares have heavy tails.
        error = 5 * theirs.std(axis=0) / np.sqrt(400) + 1e-9
        assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) <= error).all(), name
        np.testing.assert_allclose(ours.std(axis=0), theirs.std(axis=0), rtol=0.35, atol=1e-9, err_msg=name)


def test_the_bootstrap_spreads_as_the_standard_errors_say() -> None:
    documents = np.arange(40) // 2
    fit = fit_curves(curves(10, 3, documents), documents, MODELS["documents"])
    found = parametric_bootstrap(fit, 2000, np.random.default_rng(1))
    assert found.n_failed == 0
    np.testing.assert_allclose(found.fixed.std(axis=0), np.sqrt(np.diag(fit.fixed_covariance)), rtol=0.1)
    np.testing.assert_allclose(found.fixed.mean(axis=0), fit.fixed, atol=0.05)
    assert found.sigma.mean() == pytest.approx(fit.sigma, rel=0.01)
    # Variances of an interior fit are nearly unbiased.
    np.testing.assert_allclose(found.covariances["prompt"].mean(axis=0), fit.covariances["prompt"], rtol=0.05)


def test_the_same_seed_draws_the_same() -> None:
    one, other = (parametric_bootstrap(fitted(), 20, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one.fixed, other.fixed)


def test_a_variance_that_is_not_there_is_zero_and_said() -> None:
    rng = np.random.default_rng(1)
    # Prompts' means are all the same: the best variance between prompts is zero, whatever was true.
    values = rng.standard_normal((12, 1, 5))
    values -= values.mean(axis=2, keepdims=True)
    fit = fit_curves(values, np.arange(12), BalancedModel(X, prompt=ONE))
    assert fit.covariances["prompt"][0, 0] == 0
    assert fit.notes == ("The covariance of the prompt lies on the boundary: a variance is zero.",)
    assert np.isfinite(satterthwaite(fit)).all()


def test_a_correlation_of_one_is_said() -> None:
    rng = np.random.default_rng(2)
    values = rng.standard_normal((30, 1, 1)) * (1 + X[:, 1]) + 0.3 * rng.standard_normal((30, 1, 5))
    fits = [fit_curves(values[k : k + 10], np.arange(10), MODELS["prompts"]) for k in range(0, 21, 5)]
    said = [note for fit in fits for note in fit.notes]
    assert "The covariance of the prompt lies on the boundary: it is singular (a correlation of ±1)." in said


def test_balanced_intercepts_have_the_closed_form() -> None:
    # One-way layout: variances from mean squares, n − 1 degrees of freedom of the mean.
    values = curves(11)[:, :1]
    fit = fit_curves(values, np.arange(11), BalancedModel(X[:, :1], prompt=ONE))
    means = values.mean(axis=(1, 2))
    within = ((values[:, 0] - means[:, None]) ** 2).sum() / (11 * 4)
    between = 5 * means.var(ddof=1)
    assert fit.sigma**2 == pytest.approx(within, rel=1e-9)
    assert fit.covariances["prompt"][0, 0] == pytest.approx((between - within) / 5, rel=1e-6)
    assert fit.fixed_covariance[0, 0] == pytest.approx(means.var(ddof=1) / 11, rel=1e-6)
    assert satterthwaite(fit)[0] == pytest.approx(10, rel=1e-6)


@pytest.mark.parametrize("values", [np.ones((11, 3, 5)), np.broadcast_to(X @ [1.0, 2.0, 3.0], (11, 3, 5)) + 1e6])
def test_an_effect_without_residual_is_refused(values: np.ndarray) -> None:
    with pytest.raises(InputError, match="nothing is left over as residual"):
        fit_curves(values, DOCUMENTS, MODELS["all"])


def test_designs_that_identify_nothing_are_refused() -> None:
    values = curves(0)
    cases = {
        "need more than 2": (values[:2], DOCUMENTS[:2], MODELS["prompts"]),
        "of the layer need more than 2": (values[:, :2], DOCUMENTS, MODELS["crossed"]),
        "random effects of both cannot be told apart": (values, np.arange(11), MODELS["documents"]),
        "their columns are copies": (values, DOCUMENTS, BalancedModel(X[:, [0, 1, 1]], prompt=ONE)),
        "of the prompt cannot be told apart": (values, DOCUMENTS, BalancedModel(X, prompt=RandomEffect(X[:, [1, 1]]))),
        "no random effects": (values, DOCUMENTS, BalancedModel(X)),
        "rows, the curves": (values, DOCUMENTS, BalancedModel(X[:4], prompt=RandomEffect(X[:4, :1]))),
        "fit them all": (values[:, :1, :2], DOCUMENTS, BalancedModel(X[:2, :1], prompt=RandomEffect(X[:2, :2]))),
    }
    for words, (curve, documents, model) in cases.items():
        with pytest.raises(InputError, match=words):
            if words == "rows, the curves":
                fit_balanced(cross_products(with_layer_mean(curve), documents), model)
            else:
                fit_curves(curve, documents, model)


def test_predictions_for_other_curves_are_refused() -> None:
    with pytest.raises(InputError, match="other numbers of prompts"):
        predict_effects(fitted(), curves(0)[:5], DOCUMENTS[:5])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", MODELS)
def test_the_optimum_is_the_best_of_many_starts(name: str, seed: int) -> None:
    # Some effects are absent, so that most of these optima lie on a boundary.
    rng = np.random.default_rng(seed)
    values = X @ [1.0, 2.0, 0.3] + 0.5 * rng.standard_normal((11, 3, 5))
    values += rng.choice([0.0, 1.0, 10.0]) * rng.standard_normal((11, 1, 1))
    values += rng.choice([0.0, 0.3]) * rng.standard_normal((1, 3, 1))
    fit = fit_curves(values, DOCUMENTS, MODELS[name])
    starts = rng.standard_normal((12, len(fit.parameters))) * 10 ** rng.uniform(-1.5, 1.5, (12, 1))
    others = minimise(fit.strata, fit.reduction, starts, True)
    assert -2 * fit.log_likelihood <= others.deviance.min() + 1e-6
    assert others.converged.mean() > 0.8
    assert not any("converge" in note for note in fit.notes)


def test_variances_of_very_unlike_size_are_found() -> None:
    rng = np.random.default_rng(3)
    values = 1e-4 * rng.standard_normal((11, 3, 5)) + rng.standard_normal((11, 1, 1)) + X @ [1.0, 2.0, 0.3]
    fit = fit_curves(values, DOCUMENTS, MODELS["crossed"])
    assert fit.sigma == pytest.approx(1e-4, rel=0.2)
    assert np.sqrt(fit.covariances["prompt"][0, 0]) == pytest.approx(values.mean(axis=(1, 2)).std(ddof=1), rel=1e-3)
    assert not any("converge" in note for note in fit.notes)


def test_steps_that_run_out_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ripplestats.fits.balanced.optimum._MOST_STEPS", 1)
    fit = fit_curves(curves(2), DOCUMENTS, MODELS["everything"])
    assert "The fit did not converge: its figures are not to be trusted." in fit.notes
