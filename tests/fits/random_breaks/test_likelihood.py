"""The exact likelihood against dense covariances and brute-force integration, its score against differences."""

import numpy as np
import pytest
from scipy import integrate, stats

from ripplestats.fits.random_breaks.break_law import LOG_NORMAL, Nodes, integration_nodes
from ripplestats.fits.random_breaks.layout import BREAK, LOG_RESIDUAL, Block, Layout
from ripplestats.fits.random_breaks.likelihood import evaluate, information_of_mean
from ripplestats.fits.random_breaks.optimum import observed_information
from ripplestats.fits.random_breaks.problem import Problem
from ripplestats.fits.random_breaks.restricted import information_at_one_break

X = np.array([0.2, 0.5, 1.0, 1.6, 2.5, 4.0])
MEAN = np.array([0.3, 1.1, -0.9, 1.2])
LAYOUTS = [
    Layout((0, 1, 2), random_break=True, unstructured=False, no_spread=1e-5),
    Layout((0, 1, 2), random_break=True, unstructured=True, no_spread=1e-5),
    Layout((0, 2), random_break=True, unstructured=True, no_spread=1e-5),
    Layout((1,), random_break=True, unstructured=False, no_spread=1e-5),
    Layout((), random_break=True, unstructured=False, no_spread=1e-5),
    Layout((0, 1, 2), random_break=True, unstructured=True, no_spread=1e-5, law=LOG_NORMAL, joint=True, serial=True),
    Layout((0, 2), random_break=True, unstructured=False, no_spread=1e-5, joint=True, serial=True),
]


def parameters(layout: Layout) -> np.ndarray:
    spreads = [np.log(0.2), np.log(0.35)] if layout.random_break else [np.log(0.2)]
    factor = {(0, 0): 0.4, (1, 1): 0.3, (2, 2): 0.2, (1, 0): -0.15, (2, 0): 0.1, (2, 1): -0.1}
    regression = [0.1, -0.2, 0.15][: len(layout.columns)] if layout.joint else []
    shape = [0.7, 0.4] if layout.serial else []
    return np.array([*MEAN, *spreads, *(factor[entry] for entry in layout.entries), *regression, *shape])


def curves(n: int, x: np.ndarray = X, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    breaks = MEAN[BREAK] + 0.4 * rng.standard_normal((n, 1))
    below = MEAN[1] + 0.3 * rng.standard_normal((n, 1))
    values = MEAN[0] + below * x + MEAN[2] * np.maximum(x - breaks, 0)
    return values + 0.2 * rng.standard_normal((n, len(x)))


def problem(layout: Layout, values: np.ndarray, x: np.ndarray = X) -> Problem:
    return Problem((Block(x, values, np.arange(len(values)), np.arange(len(x)), x / x[-1]),), x, layout)


def density_given_break(y: np.ndarray, x: np.ndarray, layout: Layout, at: np.ndarray, where: float) -> float:
    """The log-density of one curve that breaks at ``where``, by its dense covariance."""
    rise = np.minimum(x, where) / where if layout.law == LOG_NORMAL else x
    design = np.column_stack([np.ones_like(x), rise, np.maximum(x - where, 0)])
    loaded = design[:, list(layout.columns)] @ layout.factor(at)
    errors = np.eye(len(x))
    if layout.serial:
        scale = np.exp(at[-1] * x / x[-1])
        errors = np.array(
            [[scale[i] * scale[j] * np.tanh(at[-2]) ** abs(i - j) for j in range(len(x))] for i in range(len(x))]
        )
    mean = at[:BREAK].copy()
    if layout.joint:
        spread = layout.spread(at)
        z = np.log(where / at[BREAK]) * at[BREAK] / spread if layout.law == LOG_NORMAL else (where - at[BREAK]) / spread
        mean[list(layout.columns)] += z * at[layout.first_regression :][: len(layout.columns)]
    covariance = loaded @ loaded.T + np.exp(2 * at[LOG_RESIDUAL]) * errors
    return float(stats.multivariate_normal(design @ mean, covariance).logpdf(y))


def brute_force(y: np.ndarray, x: np.ndarray, layout: Layout, at: np.ndarray) -> tuple[float, float]:
    """Log-likelihood and posterior mean of the break of one curve, by adaptive quadrature."""
    spread = layout.spread(at)
    law = stats.norm(at[BREAK], spread)
    ends = at[BREAK] - 8 * spread, at[BREAK] + 8 * spread
    if layout.law == LOG_NORMAL:
        law = stats.lognorm(spread / at[BREAK], scale=at[BREAK])
        ends = 1e-6, at[BREAK] * np.exp(8 * spread / at[BREAK])
    inner = [dose for dose in x if ends[0] < dose < ends[1]]
    integrals = [
        integrate.quad(
            lambda where, power=power: where**power * law.pdf(where)
            * np.exp(density_given_break(y, x, layout, at, where)), *ends, points=inner, epsabs=1e-14, epsrel=1e-9,
        )[0]
        for power in (0, 1)
    ]  # fmt: skip
    return float(np.log(integrals[0])), integrals[1] / integrals[0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_likelihood_and_posterior_break_equal_brute_force_integration(layout):
    values, at = curves(2), parameters(layout)
    found = problem(layout, values).evaluate(at, 12)
    for y, log_likelihood, mean in zip(values, found.log_likelihood, found.break_mean, strict=True):
        expected, posterior = brute_force(y, X, layout, at)
        assert log_likelihood == pytest.approx(expected, abs=1e-6)
        assert mean == pytest.approx(posterior, abs=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_scores_equal_differences_of_the_likelihood_of_each_prompt(layout):
    values, at = curves(4), parameters(layout)
    one = problem(layout, values)
    scores = one.evaluate(at, 16).scores
    for place in range(layout.size):
        step = np.zeros(layout.size)
        step[place] = 1e-4
        ends = [one.evaluate(at + sign * step, 16).log_likelihood for sign in (1, -1)]
        np.testing.assert_allclose(scores[:, place], (ends[0] - ends[1]) / 2e-4, atol=2e-4, rtol=1e-4)


def test_missing_cells_are_left_out_of_the_dense_density():
    layout = LAYOUTS[1]
    values, at = curves(3), parameters(layout)
    seen = np.array([[True] * 6, [True, False, True, True, True, True], [True] * 6])
    blocks = (
        Block(X, values[[0, 2]], np.array([0, 2])),
        Block(X[seen[1]], values[1:2, seen[1]], np.array([1])),
    )
    found = evaluate(blocks, layout, at, integration_nodes(X, MEAN[BREAK], 0.35, 12))
    for y, cells, log_likelihood in zip(values, seen, found.log_likelihood, strict=True):
        assert log_likelihood == pytest.approx(brute_force(y[cells], X[cells], layout, at)[0], abs=1e-6)


def test_without_spread_of_breaks_it_is_the_linear_mixed_model_with_a_known_break():
    layout = Layout((0, 1, 2), random_break=False, unstructured=True, no_spread=1e-6)
    values, at = curves(5), parameters(layout)
    found = problem(layout, values).evaluate(at, 6)
    expected = [density_given_break(y, X, layout, at, MEAN[BREAK]) for y in values]
    np.testing.assert_allclose(found.log_likelihood, expected, atol=1e-5)
    np.testing.assert_allclose(found.break_mean, MEAN[BREAK], atol=1e-9)


def test_a_tiny_random_spread_is_near_the_model_without():
    wide, none = (Layout((0, 1, 2), random, False, 1e-6) for random in (True, False))
    values, at = curves(5), parameters(none)
    small = np.insert(at, 5, np.log(1e-5))
    near = problem(wide, values).evaluate(small, 6).log_likelihood
    np.testing.assert_allclose(near, problem(none, values).evaluate(at, 6).log_likelihood, atol=1e-3)


@pytest.mark.parametrize("layout", [LAYOUTS[1], *LAYOUTS[-2:]])
def test_louis_information_is_the_negative_hessian(layout):
    one, at = problem(layout, curves(8)), parameters(layout)
    louis = information_of_mean(one.blocks, layout, at, one.nodes(at, 12))
    np.testing.assert_allclose(louis, observed_information(one, at, 12)[:4, :4], rtol=1e-4, atol=1e-2)


def test_information_of_equal_breaks_is_that_of_the_linearised_model():
    layout = Layout((0,), random_break=False, unstructured=False, no_spread=1e-5)
    at = parameters(layout)
    at[layout.first_factor] = 0.0
    one = problem(layout, curves(3))
    design = np.column_stack([np.ones(6), X, np.maximum(X - 1.2, 0), 0.9 * (X > 1.2)])
    np.testing.assert_allclose(information_at_one_break(one, at), 3 * design.T @ design / 0.04, rtol=1e-10)


@pytest.mark.parametrize(("centre", "spread"), [(1.2, 0.4), (0.1, 2.0), (9.0, 0.5), (1.0, 1e-4)])
def test_nodes_integrate_a_kinked_function_under_the_normal_law(centre, spread):
    nodes = integration_nodes(X, centre, spread, 8)
    density = stats.norm(centre, spread).pdf(nodes.breaks) * np.exp(nodes.log_lengths)
    assert density.sum() == pytest.approx(1, abs=1e-8)
    z = (1.0 - centre) / spread
    expected = spread * (z * stats.norm.cdf(z) + stats.norm.pdf(z))
    assert density @ np.maximum(1.0 - nodes.breaks, 0) == pytest.approx(expected, abs=1e-7)


def test_a_spread_of_an_effect_may_be_zero_and_its_sign_does_not_matter():
    layout = LAYOUTS[0]
    one, at = problem(layout, curves(4)), parameters(layout)
    other = at.copy()
    other[layout.first_factor] *= -1
    assert one.log_likelihood(other, 6) == pytest.approx(one.log_likelihood(at, 6), abs=1e-10)
    at[layout.first_factor] = 0.0
    assert one.evaluate(at, 6).scores[:, layout.first_factor] == pytest.approx(np.zeros(4), abs=1e-12)
    assert layout.idle(at) == [0]


def test_one_node_is_one_break():
    layout, values = LAYOUTS[0], curves(3)
    at = parameters(layout)
    found = evaluate(problem(layout, values).blocks, layout, at, Nodes(np.array([1.5]), np.array([0.0])))
    law = stats.norm(MEAN[BREAK], layout.spread(at)).logpdf(1.5)
    expected = [law + density_given_break(y, X, layout, at, 1.5) for y in values]
    np.testing.assert_allclose(found.log_likelihood, expected, atol=1e-9)
