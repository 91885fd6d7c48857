"""Which neurons an arm replaces."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ripplestats.intervention.branches import ARMS, dose
from ripplestats.intervention.selection import chosen, lower_median, margin, neuron_ranks, random_ranks

VALUES = st.floats(-50, 50, width=32)
ROWS = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=VALUES)


def ranks_of(values: np.ndarray, arm: str) -> np.ndarray:
    order = torch.from_numpy(np.stack([random_ranks(0, i, 0, values.shape[1]) for i in range(len(values))]))
    return neuron_ranks(torch.from_numpy(values), arm, order).numpy()


@pytest.mark.parametrize(
    ("percent", "n", "k"),
    [("29", 100, 29), ("0.29", 10000, 29), ("57", 100, 57), ("0.2", 1536, 3), ("90", 5120, 4608), ("100", 7, 7), ("0", 7, 0),
     ("33.3", 1000, 333), ("1.1", 1000, 11), ("0.1", 999, 0)],
)  # fmt: skip
def test_dose_is_exact_where_floats_are_not(percent: str, n: int, k: int) -> None:
    assert dose(Fraction(percent) / 100, n) == k


@given(st.integers(0, 1000), st.integers(1, 10**5))
def test_dose_is_the_integer_whenever_the_product_is_one(k: int, n: int) -> None:
    k = min(k, n)
    assert dose(Fraction(k, n), n) == k


@pytest.mark.parametrize("arm", ARMS)
@given(values=ROWS)
def test_ranks_are_a_permutation_of_the_neurons(arm: str, values: np.ndarray) -> None:
    expected = np.tile(np.arange(values.shape[1]), (len(values), 1))
    np.testing.assert_array_equal(np.sort(ranks_of(values, arm), axis=1), expected)


@pytest.mark.parametrize("arm", ARMS)
@given(values=ROWS, data=st.data())
def test_the_sets_of_an_arm_are_nested_in_the_dose(arm: str, values: np.ndarray, data: st.DataObject) -> None:
    n = values.shape[1]
    small, large = sorted([data.draw(st.integers(0, n)), data.draw(st.integers(0, n))])
    ranks = torch.from_numpy(ranks_of(values, arm))
    fewer, more = chosen(ranks, small, arm), chosen(ranks, large, arm)
    if arm == "keep_top":
        fewer, more = more, fewer
    assert (more | ~fewer).all()


@given(values=ROWS, data=st.data())
def test_sizes_are_the_dose_or_what_is_left_of_it(values: np.ndarray, data: st.DataObject) -> None:
    n = values.shape[1]
    k = data.draw(st.integers(0, n))
    for arm in ARMS:
        size = n - k if arm == "keep_top" else k
        assert (chosen(torch.from_numpy(ranks_of(values, arm)), k, arm).sum(-1) == size).all()


@pytest.mark.parametrize("arm", ARMS)
@given(values=ROWS, data=st.data())
def test_noise_within_the_margin_changes_no_set(arm: str, values: np.ndarray, data: st.DataObject) -> None:
    n = values.shape[1]
    k = data.draw(st.integers(0, n))
    apart = margin(torch.from_numpy(values.astype(np.float64)), arm, k).numpy()
    noise = data.draw(hnp.arrays(np.float64, values.shape, elements=st.floats(-1, 1)))
    moved = values + noise * np.minimum(apart, 1.0)[:, None] / 5  # the median moves, too
    sets = [
        chosen(torch.from_numpy(ranks_of(one, arm)), k, arm)[torch.from_numpy(apart > 1e-6)] for one in (values, moved)
    ]
    assert torch.equal(*sets)


def test_the_margin_is_between_the_last_neuron_chosen_and_the_first_one_left() -> None:
    values = torch.tensor([[1.0, 4.0, -6.0, 2.5]])
    assert margin(values, "top", 1).tolist() == [1.5]
    assert margin(values, "bottom", 1).tolist() == [7.0]
    assert margin(values, "magnitude", 1).tolist() == [4.0]  # distances from 1.0: 0, 3, 7, 1.5
    assert margin(values, "top", 4).tolist() == margin(values, "random", 1).tolist() == [np.inf]


def test_ties_go_to_the_lower_neuron() -> None:
    values = torch.tensor([[1.0, 3.0, 3.0, 0.0, 3.0, 0.0]])
    assert chosen(neuron_ranks(values, "top"), 2, "top").tolist() == [[False, True, True, False, False, False]]
    assert chosen(neuron_ranks(values, "bottom"), 1, "bottom").tolist() == [[False, False, False, True, False, False]]
    symmetric = torch.tensor([[-2.0, 0.0, 2.0]])
    assert chosen(neuron_ranks(symmetric, "magnitude"), 1, "magnitude").tolist() == [[True, False, False]]


def test_keep_top_is_the_complement_of_top() -> None:
    values = torch.randn(3, 11, generator=torch.Generator().manual_seed(0))
    top = chosen(neuron_ranks(values, "top"), 4, "top")
    assert torch.equal(chosen(neuron_ranks(values, "keep_top"), 4, "keep_top"), ~top)


@pytest.mark.parametrize(("row", "expected"), [([1.0, 2.0, 3.0, 4.0], 2.0), ([5.0, 1.0, 3.0], 3.0), ([7.0], 7.0)])
def test_the_median_is_the_lower_middle_value(row: list[float], expected: float) -> None:
    assert lower_median(torch.tensor([row])).item() == expected == torch.tensor(row).median().item()


def test_the_random_order_depends_on_seed_prompt_and_layer_only() -> None:
    first = random_ranks(1, 2, 3, 50)
    np.testing.assert_array_equal(first, random_ranks(1, 2, 3, 50))
    for other in [(0, 2, 3), (1, 0, 3), (1, 2, 0)]:
        assert not np.array_equal(first, random_ranks(*other, 50))


def test_the_random_arm_needs_its_order() -> None:
    with pytest.raises(ValueError, match="random_ranks"):
        neuron_ranks(torch.zeros(1, 3), "random")
