"""Errors that go on from dose to dose: precision against the dense covariance, slopes against differences."""

import numpy as np
import pytest

from ripplestats.fits.random_breaks.serial_errors import N_SHAPE, error_shape, precision

RANKS = np.array([0, 1, 3, 4])
GROWTH = np.array([0.0, 0.4, 0.9, 1.0])
SHAPE = np.array([0.8, 0.5])


def test_neighbours_correlate_by_their_distance_in_doses():
    covariance = error_shape(SHAPE, RANKS, GROWTH)
    scale = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(scale, np.exp(0.5 * GROWTH))
    assert covariance[1, 2] / scale[1] / scale[2] == pytest.approx(np.tanh(0.8) ** 2)


def test_no_shape_is_independent_equal_errors():
    np.testing.assert_array_equal(error_shape(np.zeros(N_SHAPE), RANKS, GROWTH), np.eye(4))


@pytest.mark.parametrize("place", range(N_SHAPE))
def test_slopes_of_the_precision_equal_differences(place):
    here = precision(SHAPE, RANKS, GROWTH)
    np.testing.assert_allclose(here.matrix @ error_shape(SHAPE, RANKS, GROWTH), np.eye(4), atol=1e-12)
    ends = [precision(SHAPE + sign * 1e-5 * np.eye(N_SHAPE)[place], RANKS, GROWTH) for sign in (1, -1)]
    np.testing.assert_allclose(here.slopes[place], (ends[0].matrix - ends[1].matrix) / 2e-5, rtol=1e-6, atol=1e-6)
    expected = (ends[0].log_determinant - ends[1].log_determinant) / 2e-5
    assert here.log_determinant_slopes[place] == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("sign", [1, -1])
def test_correlations_that_round_to_one_have_a_precision(sign):
    """A search that tries them must not divide by zero: 1 − ρ² is 4·e^(−2z) there, and a gap of two has twice that."""
    found = precision(np.array([20.0 * sign, 0.5]), RANKS, GROWTH)
    expected = 3 * (np.log(4) - 40) + np.log(2) + 2 * 0.5 * GROWTH.sum()
    assert found.log_determinant == pytest.approx(expected)
    assert found.log_determinant_slopes[0] == pytest.approx(-6 * sign)
    assert np.isfinite(found.matrix).all() and np.isfinite(found.slopes).all()
