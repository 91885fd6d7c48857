"""Numbers as tables print them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripplestats.rendering.numbers import (
    decimals_of,
    fixed,
    limits,
    p_value,
    percent,
    scientific,
    stars,
    with_interval,
)
from tests.fits.frames import CHECKED

NAN = math.nan


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [
        ((0.04144, 0.0321, 0.0533), "4.1 [3.2, 5.3]"),
        ((-0.5, -1.0, 0.25), "−50.0 [−100.0, 25.0]"),
        ((0.5, NAN, 1.0), "50.0"),
        ((0.5, 0.25, math.inf), "50.0"),
        ((NAN, 0.25, 1.0), ""),
    ],
)
def test_an_estimate_with_its_interval(numbers: tuple[float, float, float], shown: str) -> None:
    assert with_interval(*numbers, 1, 100) == shown


def test_what_is_undefined_is_nothing() -> None:
    assert (fixed(NAN, 2), limits(0.1, NAN, 2), p_value(NAN), stars(NAN), percent(NAN)) == ("", "", "", "", "")


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [((1.94e-5, 1), "1.9 × 10⁻⁵"), ((9.6e-7,), "1 × 10⁻⁶"), ((-3e12,), "−3 × 10¹²"), ((0.0,), "0"), ((NAN,), "")],
)
def test_a_number_with_a_power_of_ten(numbers: tuple[float, ...], shown: str) -> None:
    assert scientific(*numbers) == shown


def test_shares_are_percentages() -> None:
    assert (percent(0.5), percent(0.03456, 1), percent(-0.02)) == ("50 %", "3.5 %", "−2 %")


@pytest.mark.parametrize(
    ("p", "shown", "starred"),
    [(0.5, "0.5", ""), (0.0123, "0.012", "*"), (0.05, "0.05", ""), (0.0099, "0.0099", "**"), (0.0005, "0.0005", "***"),
     (1e-4, "0.0001", "***"), (9e-5, "<0.0001", "***"), (0.0, "<0.0001", "***")],
)  # fmt: skip
def test_p_values_and_their_stars(p: float, shown: str, starred: str) -> None:
    assert (p_value(p), stars(p)) == (shown, starred)


@CHECKED
@given(st.floats(1e-5, 9))
def test_an_error_is_shown_by_two_significant_digits(error: float) -> None:
    shown = float(fixed(error, decimals_of(error)))
    assert shown == pytest.approx(error, rel=0.051)


def test_an_error_of_nothing_or_of_thousands_asks_for_no_absurd_digits() -> None:
    assert [decimals_of(error) for error in (0.0, NAN, 1e-30, 4321.0)] == [3, 3, 6, 0]
