"""Numbers as tables print them."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripplestats.rendering.numbers import (
    decimals_of,
    digits_beside,
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


@pytest.mark.parametrize(
    ("numbers", "margin", "shown"),
    [
        ((0.03533, 0.020135, 0.110246), 0.02, "3.53 [2.01, 11.02]"),
        ((0.03533, 0.02, 0.110246), 0.02, "3.5 [2.0, 11.0]"),
        ((-0.5, -0.9996, 0.25), 1, "−50.00 [−99.96, 25.00]"),
        ((0.1, -0.0002, 0.3), 0, "10.00 [−0.02, 30.00]"),
        ((0.5, 0.020135, math.inf), 0.02, "50.0"),
        ((0.03, 0.02 + 1e-12, 0.04), 0.02, "3.0 [2.0, 4.0]"),
        ((0.03, 0.02 + 1e-12, 0.0201), 0.02, "3.00 [2.00, 2.01]"),
        ((0.03, 0.0201, 0.04), NAN, "3.0 [2.0, 4.0]"),
    ],
)
def test_limits_can_be_told_from_the_margin_beside_them(
    numbers: tuple[float, float, float], margin: float, shown: str
) -> None:
    assert with_interval(*numbers, 1, 100, margin=margin) == shown


@CHECKED
@given(
    margin=st.floats(0, 0.2),
    away=st.lists(st.one_of(st.floats(-1e-3, 1e-3), st.floats(-1, 1)), min_size=2, max_size=2).map(sorted),
    side=st.sampled_from([-1, 1]),
    decimals=st.integers(0, 4),
    scale=st.sampled_from([1, 100]),
)
def test_a_limit_never_prints_as_a_margin_that_six_decimals_tell_it_from(
    margin: float, away: list[float], side: int, decimals: int, scale: float
) -> None:
    low, high = (side * margin + one for one in away)
    shown = with_interval((low + high) / 2, low, high, decimals, scale, margin=margin)
    printed = re.findall(r"−?[0-9.]+", shown)
    (digits,) = {len(one.partition(".")[2]) for one in printed}
    assert digits >= decimals
    for limit, one in zip((low, high), printed[1:], strict=True):
        for end in (-margin, margin):
            if abs(scale * (limit - end)) > 1.01e-6:
                assert float(one.replace("−", "-")) != float(fixed(end, digits, scale).replace("−", "-"))


@CHECKED
@given(st.floats(0.001, 10), st.floats(-1e-3, 1e-3))
def test_nor_do_significant_digits(margin: float, away: float) -> None:
    limit = margin * (1 + away)
    digits = digits_beside(margin, [limit, math.inf], 4, "g")
    assert 4 <= digits <= 6
    if abs(away) > 1.01e-5:
        assert f"{limit:.{digits}g}" != f"{margin:.{digits}g}"


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
