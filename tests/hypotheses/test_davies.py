"""Davies' test: what moves it and what does not, its size, and frames without an answer."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ripplestats.errors import InputError
from ripplestats.hypotheses.davies import LARGE, DaviesTest, davies, davies_test
from tests.fits.frames import CHECKED, DOSES, noisy_frame, two_phase

SEEDS = st.integers(0, 2**32 - 1)


def answer(x: np.ndarray, y: np.ndarray, **options: object) -> DaviesTest:
    found = davies(x, y, **options)
    assert isinstance(found, DaviesTest)
    return found


def rows_of(seed: int, copies: int, change: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = np.tile(DOSES, copies)
    return x, two_phase(x, 1, 2, 2 + change, 0.1) + rng.standard_normal(len(x))


@CHECKED
@given(SEEDS, st.sampled_from([2, 30]), st.floats(-100, 100), st.floats(0.01, 100), st.floats(0.01, 100))
def test_affine_maps_change_nothing(seed: int, copies: int, shift: float, scale: float, stretch: float) -> None:
    x, y = rows_of(seed, copies)
    plain, mapped = answer(x, y), answer(stretch * x, shift + 3 * x - scale * y)
    np.testing.assert_allclose(mapped.breaks, stretch * plain.breaks)
    np.testing.assert_allclose(mapped.statistics, -plain.statistics, rtol=1e-6, atol=1e-7)
    assert mapped.p_value == pytest.approx(plain.p_value, rel=1e-5)


@pytest.mark.parametrize("copies", [3, 30])
def test_the_statistics_are_the_t_of_the_hinge(copies: int) -> None:
    x, y = rows_of(1, copies, change=-4)
    found = answer(x, y, k=7)
    for at, statistic in zip(found.breaks, found.statistics, strict=True):
        design = np.column_stack([np.ones_like(x), x, np.maximum(x - at, 0)])
        coefficients, left, *_ = np.linalg.lstsq(design, y, rcond=None)
        variance = left[0] / (len(x) - 3) * np.linalg.inv(design.T @ design)[2, 2]
        assert statistic == pytest.approx(coefficients[2] / np.sqrt(variance))
    assert found.best == found.breaks[np.abs(found.statistics).argmax()]


@pytest.mark.parametrize("copies", [3, 30])
def test_the_p_value_lies_between_one_test_and_the_sum_of_all(copies: int) -> None:
    assert (copies * len(DOSES) > LARGE) == (copies == 30)
    x, y = rows_of(2, copies, change=-3)
    found = answer(x, y)
    one = 2 * stats.t.sf(np.abs(found.statistics), len(x) - 3)
    assert one.min() < found.p_value < one.sum()


def test_sides_are_those_of_the_change_of_slope() -> None:
    x, y = rows_of(3, 10, change=-6)
    sides = {one: answer(x, y, alternative=one).p_value for one in ("two-sided", "less", "greater")}
    assert sides["less"] == pytest.approx(sides["two-sided"] / 2)
    assert sides["greater"] > 0.5
    assert answer(x, -y, alternative="greater").p_value == pytest.approx(sides["less"])


@pytest.mark.parametrize("copies", [2, 21])
def test_the_bound_holds_the_level_and_is_not_far_from_it(copies: int) -> None:
    rejected = np.mean([answer(*rows_of(seed, copies)).p_value < 0.05 for seed in range(1000)])
    # Monte Carlo error .007; a bound, so below the level is right.
    assert 0.02 < rejected < 0.065


def test_a_frame_gives_one_row_a_group_and_says_that_rows_count_as_independent() -> None:
    frame = pd.concat([noisy_frame(1).assign(layer=2), noisy_frame(2).assign(layer=1)])
    result = davies_test(frame, y="effect", x="rate", by="layer")
    terms = result.tidy()
    assert list(terms["layer"]) == [1, 2]
    assert list(terms["term"]) == ["break", "break"]
    alone = davies_test(noisy_frame(1), y="effect", x="rate").tidy().iloc[0]
    assert terms.iloc[1]["p_value"] == alone["p_value"]
    assert "independent" in result.summary()
    assert result.plot().get_xlabel() == "rate"


@pytest.mark.parametrize(
    ("x", "y", "why"),
    [
        ([0.1, 0.2, 0.3, 0.4], [1, 2, 1, 2], "undefined: 4 rows, at least 5 are needed"),
        ([0.1, 0.2] * 5, range(10), "undefined: 2 doses, at least 3 are needed"),
        (range(10), [0.3] * 10, "undefined: the rows lie on a straight line"),
        (range(10), [0] * 10, "undefined: the rows lie on a straight line"),
        (range(10), 1e6 + np.arange(10) / 3, "undefined: the rows lie on a straight line"),
        (
            range(19),
            two_phase(np.arange(19.0), 0, 1, 0.5, 9),
            "undefined: the rows lie on a line with a break, without noise",
        ),
    ],
)
def test_rows_without_an_answer_give_a_reason(x: list[float], y: list[float], why: str) -> None:
    # Nine breaks between the second and the last but one of 19 rows: 9 is one of them.
    row = davies_test(pd.DataFrame({"x": x, "y": y}), y="y", x="x", k=9).tidy().iloc[0]
    assert row["note"] == why
    assert row[["estimate", "statistic", "p_value"]].isna().all()


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, {"k": 1}, "k=1 is not allowed; at least 2"),
        ({}, {"alternative": "both"}, "allowed: two-sided, less, greater"),
        ({}, {"y": "loss"}, "no column 'loss'"),
        ({"effect": np.nan}, {}, "'effect' holds values that are missing"),
        ({"rate": "low"}, {}, "'rate' holds values that are missing or not finite numbers"),
        ({"layer": None}, {"by": "layer"}, "'layer' holds missing values"),
    ],
)
def test_a_wrong_call_is_refused(changes: dict[str, object], options: dict[str, object], message: str) -> None:
    frame = noisy_frame(1).assign(**changes)
    with pytest.raises(InputError, match=message):
        davies_test(frame, **{"y": "effect", "x": "rate", **options})


def test_an_empty_frame_is_refused() -> None:
    with pytest.raises(InputError, match="no rows"):
        davies_test(noisy_frame(1).iloc[:0], y="effect", x="rate")
