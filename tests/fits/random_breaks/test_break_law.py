"""The two laws of breaks: densities against scipy, derivatives against differences, nodes against known integrals."""

import numpy as np
import pytest
from scipy import stats

from ripplestats.fits.random_breaks.break_law import LOG_NORMAL, NORMAL, deviates, integration_nodes, moments

X = np.array([0.2, 0.5, 1.0, 1.6, 2.5, 4.0])


def test_densities_are_those_of_scipy():
    at = np.array([0.3, 1.2, 3.0])
    np.testing.assert_allclose(deviates(NORMAL, at, 1.2, 0.4).log_density, stats.norm(1.2, 0.4).logpdf(at))
    # Per unit of the logarithm.
    expected = stats.lognorm(0.4 / 1.2, scale=1.2).logpdf(at) + np.log(at)
    np.testing.assert_allclose(deviates(LOG_NORMAL, at, 1.2, 0.4).log_density, expected)


@pytest.mark.parametrize("law", [NORMAL, LOG_NORMAL])
def test_derivatives_in_the_centre_equal_differences(law):
    at, step = np.array([0.3, 1.2, 3.0]), 1e-4
    here, after, before = (deviates(law, at, 1.1 + move, 0.4) for move in (0, step, -step))
    np.testing.assert_allclose(here.slope, (after.value - before.value) / (2 * step), rtol=1e-6)
    np.testing.assert_allclose(here.curvature, (after.slope - before.slope) / (2 * step), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(here.score, (after.log_density - before.log_density) / (2 * step), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(here.information, (before.score - after.score) / (2 * step), rtol=1e-5)


def test_moments_are_those_of_scipy():
    law = stats.lognorm(0.5, scale=2.0)
    assert moments(LOG_NORMAL, 2.0, 1.0) == pytest.approx((law.mean(), law.std()))
    assert moments(NORMAL, 2.0, 1.0) == (2.0, 1.0)


@pytest.mark.parametrize(("centre", "spread"), [(1.2, 0.4), (0.3, 0.4), (1.0, 1e-4)])
def test_nodes_integrate_the_log_normal_law(centre, spread):
    nodes = integration_nodes(X, centre, spread, 8, LOG_NORMAL)
    weights = np.exp(deviates(LOG_NORMAL, nodes.breaks, centre, spread).log_density + nodes.log_lengths)
    assert weights.sum() == pytest.approx(1, abs=1e-8)
    assert weights @ nodes.breaks == pytest.approx(moments(LOG_NORMAL, centre, spread)[0], rel=1e-6)


@pytest.mark.parametrize("spread", [1e-4, 0.1, 2.0])
def test_nodes_cover_all_doses_however_narrow_the_log_normal_law_and_are_few(spread):
    nodes = integration_nodes(X, 1.2, spread, 8, LOG_NORMAL)
    between = (nodes.breaks > X[:-1, None]) & (nodes.breaks < X[1:, None])
    assert (between.sum(axis=1) >= 8).all()
    assert len(nodes.breaks) <= 8 * (16 + 2 * len(X))
