"""Where a search may go: the barrier before the widest log-normal spread, and the limits themselves."""

from dataclasses import replace

import numpy as np
import pytest

from ripplestats.fits.random_breaks.break_law import LOG_NORMAL
from ripplestats.fits.random_breaks.layout import BREAK, LOG_SPREAD, Block, Layout
from ripplestats.fits.random_breaks.problem import Problem

X = np.array([0.2, 0.5, 1.0, 1.6, 2.5, 4.0])


def problem(law: str) -> Problem:
    layout = Layout((0,), random_break=True, unstructured=False, no_spread=1e-5, law=law)
    return Problem((Block(X, np.zeros((1, 6)), np.arange(1)),), X, layout)


def at(centre: float, spread: float) -> np.ndarray:
    return np.array([0.0, 1.0, -1.0, centre, -1.0, np.log(spread), 0.3])


@pytest.mark.parametrize(("centre", "spread"), [(0.8, 0.9), (0.8, 0.2), (3.0, 1.8)])
def test_slopes_of_the_barrier_equal_differences(centre: float, spread: float) -> None:
    one, here = problem(LOG_NORMAL), at(centre, spread)
    slopes = one.barrier(here)[1]
    for place in range(len(here)):
        step = np.zeros(len(here))
        step[place] = 1e-6
        expected = (one.barrier(here + step)[0] - one.barrier(here - step)[0]) / 2e-6
        assert slopes[place] == pytest.approx(expected, rel=1e-5, abs=1e-8)
    assert slopes[LOG_SPREAD] > 0
    assert slopes[BREAK] <= 0


def test_the_barrier_is_of_the_log_normal_law_and_rises_to_the_limit() -> None:
    one = problem(LOG_NORMAL)
    heights = [one.barrier(at(0.8, share * 1.2))[0] for share in (0.1, 0.5, 0.9)]
    assert 0 < heights[0] < heights[1] < heights[2] < 1
    assert problem("normal").barrier(at(0.8, 0.9))[0] == 0


def test_no_search_goes_beyond_one_and_a_half_in_the_logarithm_or_half_the_doses() -> None:
    assert problem(LOG_NORMAL).allows(at(0.8, 1.19))
    assert not problem(LOG_NORMAL).allows(at(0.8, 1.21))
    assert problem("normal").allows(at(0.8, 1.89))
    assert not problem("normal").allows(at(0.8, 1.91))


@pytest.mark.parametrize("shape", [(29.0, 1.0), (-29.0, 1.0), (1.0, 29.0)])
def test_no_search_goes_where_errors_do_not_differ_from_dose_to_dose(shape: tuple[float, float]) -> None:
    plain = problem(LOG_NORMAL)
    serial = replace(plain, layout=replace(plain.layout, serial=True))
    assert serial.allows(np.array([*at(0.8, 0.5), *shape]))
    assert not serial.allows(np.array([*at(0.8, 0.5), *(1.1 * one for one in shape)]))
