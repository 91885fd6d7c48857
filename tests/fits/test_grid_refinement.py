"""Rates where a pilot's curve bends: the least largest error of interpolation, coarse rates kept, whole neurons once."""

from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripplestats.fits.grid_refinement import added_doses, refine

COARSE = tuple(Fraction(rate) / 100 for rate in ["0.2", "0.5", "1", "2", "5", "10", "20", "30", "50", "70", "90"])
X = np.array([float(rate) for rate in COARSE])
NEURONS = 1536


def integral(low: float, high: float, scale: float) -> float:
    """∫√|f″| of 1 − exp(−x/τ), by the trapezoid rule."""
    dose = np.linspace(low, high, 20001)
    return float(np.trapezoid(np.exp(-dose / (2 * scale)) / scale, dose))


def gaps(doses: list[float], scale: float) -> list[float]:
    ends = sorted([*X.tolist(), *doses])
    return [integral(low, high, scale) for low, high in pairwise(ends)]


@pytest.mark.parametrize("scale", [0.003, 0.03, 0.3])
def test_no_other_numbers_of_doses_in_the_gaps_give_a_smaller_largest_share(scale: float) -> None:
    found = max(gaps(added_doses(X, scale, 3), scale))
    whole = [integral(low, high, scale) for low, high in pairwise(X)]
    best = min(
        max(share / (1 + count) for share, count in zip(whole, counts, strict=True))
        for counts in product(range(4), repeat=len(whole))
        if sum(counts) == 3
    )
    assert found == pytest.approx(best, rel=1e-6)


def test_new_doses_lie_at_equal_shares_of_their_gap() -> None:
    scale = 0.03
    doses = added_doses(X, scale, 9)
    inside = [dose for dose in doses if 0.05 < dose < 0.1]
    assert len(inside) >= 2
    shares = [integral(low, high, scale) for low, high in pairwise([0.05, *inside, 0.1])]
    assert shares == pytest.approx([shares[0]] * len(shares), rel=1e-6)


@pytest.mark.parametrize("at", [0.01, 0.02, 0.05, 0.1, 0.3])
def test_rates_gather_around_the_bend(at: float) -> None:
    found = refine(COARSE, X, np.minimum(X / at, 1.0), 9, NEURONS)
    near = [rate for rate in found.added if at / 4 < rate < 4 * at]
    assert len(found.added) == 9
    assert len(near) >= 7
    assert found.reason == ""


def test_the_height_of_the_curve_is_no_matter() -> None:
    curve = 1 - np.exp(-X / 0.02)
    assert refine(COARSE, X, curve, 9, NEURONS).rates == refine(COARSE, X, 1e-4 * curve, 9, NEURONS).rates
    assert refine(COARSE, X, curve, 9, NEURONS).scale == pytest.approx(0.02)


@pytest.mark.parametrize(("curve", "reason"), [(-X, "flat or falls"), (0 * X, "flat or falls"), (X, "too straight")])
def test_a_curve_without_a_bend_spreads_rates_over_the_logarithm(curve: np.ndarray, reason: str) -> None:
    found = refine(COARSE, X, curve, 9, NEURONS)
    assert reason in found.reason
    assert np.isnan(found.scale)
    steps = np.diff(np.log([float(rate) for rate in found.rates]))
    assert steps.max() < 0.6


def test_few_neurons_leave_out_rates_that_mean_the_same_number() -> None:
    found = refine(COARSE, X, np.minimum(X / 0.01, 1.0), 9, 64)
    counts = [int(rate * 64) for rate in found.added]
    assert len(set(counts)) == len(counts) < 9
    assert not {int(rate * 64) for rate in COARSE} & set(counts)


@given(
    curve=st.lists(st.floats(-1, 1), min_size=len(X), max_size=len(X)),
    n_added=st.integers(0, 20),
    n_neurons=st.integers(50, 20000),
)
def test_coarse_rates_stay_and_new_ones_lie_between(curve: list[float], n_added: int, n_neurons: int) -> None:
    found = refine(COARSE, X, np.array(curve), n_added, n_neurons)
    assert set(COARSE) <= set(found.rates)
    assert list(found.rates) == sorted(set(found.rates))
    assert set(found.rates) - set(COARSE) == set(found.added)
    assert len(found.added) <= n_added
    assert found.rates[0] == COARSE[0]
    assert found.rates[-1] == COARSE[-1]
