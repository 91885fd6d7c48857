"""What the page shows of a field of the map is what a plain look at its prompts gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ripplestats.report.page.cell_details import BINS, LISTED, describe_cells

SHAPE = (2, 3)


def effects(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_t(3, (n, *SHAPE))


@given(arrays(np.float64, st.tuples(st.integers(1, 40), st.just(2), st.just(2)), elements=st.floats(-1e6, 1e6)))
def test_every_prompt_is_in_one_bar(values: np.ndarray) -> None:
    found = describe_cells(values)
    assert found.counts.shape == (2, 2, BINS)
    assert (found.counts.sum(axis=2) == len(values)).all()
    assert (found.high > found.low).all()


def test_few_prompts_give_the_plain_histogram_between_the_extremes() -> None:
    values = effects(100)
    found = describe_cells(values)
    for place in np.ndindex(*SHAPE):
        expected, edges = np.histogram(values[:, *place], BINS)
        np.testing.assert_array_equal(found.counts[place], expected)
        np.testing.assert_allclose([found.low[place], found.high[place]], edges[[0, -1]])


def test_one_wild_prompt_among_thousands_does_not_squeeze_the_others() -> None:
    values = np.concatenate([np.linspace(0, 1, 2000)[:, None, None], [[[1e6]]]])
    found = describe_cells(values)
    assert found.high.item() < 1.01
    assert found.counts.sum() == 2001
    assert found.most_effect[0, 0, 0] == 1e6


def test_the_ends_are_the_prompts_with_the_largest_and_smallest_effects() -> None:
    values = effects(30)
    found = describe_cells(values)
    for place in np.ndindex(*SHAPE):
        column = values[:, *place]
        np.testing.assert_array_equal(found.most_effect[place], np.sort(column)[::-1][:LISTED])
        np.testing.assert_array_equal(found.least_effect[place], np.sort(column)[:LISTED])
        np.testing.assert_array_equal(column[found.most[place]], found.most_effect[place])
        np.testing.assert_array_equal(column[found.least[place]], found.least_effect[place])


def test_quartiles_are_those_of_the_prompts() -> None:
    values = effects(41)
    np.testing.assert_allclose(describe_cells(values).quartiles[1, 2], np.quantile(values[:, 1, 2], [0.25, 0.5, 0.75]))


@pytest.mark.parametrize("value", [0.0, 3.25, -1e9])
def test_equal_prompts_and_a_single_prompt_are_no_trouble(value: float) -> None:
    for n in (1, 3):
        found = describe_cells(np.full((n, 1, 1), value))
        assert found.counts.sum() == n
        assert found.most.shape == found.least.shape == (1, 1, min(n, LISTED))
        assert found.low.item() < value < found.high.item()
