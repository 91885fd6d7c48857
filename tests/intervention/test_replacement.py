"""What the chosen neurons are set to, and that nothing else changes."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ripplestats.errors import NonFiniteError
from ripplestats.intervention.branches import ARMS, REPLACEMENTS, Branch
from ripplestats.intervention.edit import check_finite, intervene
from ripplestats.intervention.replacement import replacement_value
from ripplestats.intervention.selection import chosen, lower_median, neuron_ranks, random_ranks

# Small integers: shifts and scales of them are exact, and ties are common.
VALUES = st.integers(-20, 20).map(float)
ROWS = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=10), elements=VALUES)
DETERMINISTIC = [arm for arm in ARMS if arm != "random"]


def apply(values: np.ndarray, arm: str, replacement: str, k: int) -> np.ndarray:
    order = torch.from_numpy(np.stack([random_ranks(0, i, 0, values.shape[1]) for i in range(len(values))]))
    donor = torch.from_numpy(np.roll(values, 1, axis=1) + 100)
    branch = Branch(arm, replacement, "pre", k)
    return intervene(torch.from_numpy(values), [branch], order, donor)[0].numpy()


def draw_k(data: st.DataObject, values: np.ndarray) -> int:
    return data.draw(st.integers(0, values.shape[1]))


@pytest.mark.parametrize("replacement", REPLACEMENTS)
@pytest.mark.parametrize("arm", ARMS)
@given(values=ROWS, data=st.data())
def test_only_the_chosen_entries_change(arm: str, replacement: str, values: np.ndarray, data: st.DataObject) -> None:
    k = draw_k(data, values)
    order = torch.from_numpy(np.stack([random_ranks(0, i, 0, values.shape[1]) for i in range(len(values))]))
    mask = chosen(neuron_ranks(torch.from_numpy(values), arm, order), k, arm).numpy()
    found = apply(values, arm, replacement, k)
    assert found[~mask].tobytes() == values[~mask].tobytes()
    donor = torch.from_numpy(np.roll(values, 1, axis=1) + 100)
    value = replacement_value(torch.from_numpy(values), replacement, donor).numpy()
    np.testing.assert_array_equal(found[mask], value[mask])


@pytest.mark.parametrize("arm", ARMS)
@given(values=ROWS)
def test_a_rate_of_zero_is_the_identity(arm: str, values: np.ndarray) -> None:
    k = values.shape[1] if arm == "keep_top" else 0
    assert apply(values, arm, "median", k).tobytes() == values.tobytes()


@given(values=ROWS, data=st.data())
def test_permuting_the_neurons_permutes_the_result(values: np.ndarray, data: st.DataObject) -> None:
    assume(all(len(set(row)) == len(row) for row in values.tolist()))
    order = np.array(data.draw(st.permutations(range(values.shape[1]))))
    k = draw_k(data, values)
    for arm in ("top", "bottom", "keep_top"):
        direct = apply(np.ascontiguousarray(values[:, order]), arm, "median", k)
        np.testing.assert_array_equal(direct, apply(values, arm, "median", k)[:, order])


@pytest.mark.parametrize("replacement", ["median", "resample"])
@pytest.mark.parametrize("arm", DETERMINISTIC)
@given(values=ROWS, data=st.data(), shift=st.integers(-8, 8), scale=st.sampled_from([0.5, 2.0, 4.0]))
def test_shift_and_positive_scale_carry_through(
    arm: str, replacement: str, values: np.ndarray, data: st.DataObject, shift: int, scale: float
) -> None:
    k = draw_k(data, values)
    donor = torch.from_numpy(values[:, ::-1].copy())
    branch = [Branch(arm, replacement, "pre", k)]
    plain = intervene(torch.from_numpy(values), branch, None, donor)[0] * scale + shift
    moved = intervene(torch.from_numpy(values) * scale + shift, branch, None, donor * scale + shift)[0]
    torch.testing.assert_close(moved, plain, atol=0, rtol=0)


@given(values=ROWS, data=st.data())
def test_the_largest_value_left_is_the_next_one_or_the_median(values: np.ndarray, data: st.DataObject) -> None:
    k = draw_k(data, values)
    found = apply(values, "top", "median", k).max(axis=1)
    descending = -np.sort(-values, axis=1)
    following = descending[:, k] if k < values.shape[1] else np.full(len(values), -np.inf)
    median = lower_median(torch.from_numpy(values)).numpy()[:, 0]
    assert (found <= np.maximum(following, median)).all()


@given(values=ROWS, data=st.data())
def test_keeping_the_top_by_zero_twice_changes_nothing_more(values: np.ndarray, data: st.DataObject) -> None:
    # What is kept is positive, so it is the top again; with the median this need not hold, since the median moves.
    positive = np.abs(values) + 1
    k = draw_k(data, positive)
    once = apply(positive, "keep_top", "zero", k)
    np.testing.assert_array_equal(apply(once, "keep_top", "zero", k), once)


@given(values=ROWS)
def test_replacing_every_neuron_is_idempotent(values: np.ndarray) -> None:
    n = values.shape[1]
    for replacement in ("median", "zero"):
        once = apply(values, "top", replacement, n)
        np.testing.assert_array_equal(apply(once, "top", replacement, n), once)


@pytest.mark.parametrize("arm", ARMS)
def test_one_neuron_is_replaced_by_its_own_median(arm: str) -> None:
    values = np.array([[3.5]], np.float32)
    for k in (0, 1):
        np.testing.assert_array_equal(apply(values, arm, "median", k), values)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_activations_that_are_not_finite_are_refused(bad: float) -> None:
    values = torch.tensor([[1.0, bad, 2.0]])
    with pytest.raises(NonFiniteError, match="not finite"):
        check_finite(torch.isfinite(values))
    check_finite(torch.isfinite(values.nan_to_num(0.0, 0.0, 0.0)))


def test_resampling_needs_a_donor() -> None:
    with pytest.raises(ValueError, match="donor"):
        replacement_value(torch.zeros(1, 3), "resample")


def test_hand_worked_example() -> None:
    values = np.array([[4.0, -1.0, 0.0, 2.0]], np.float32)  # lower median 0, mean 1.25
    assert apply(values, "top", "median", 2).tolist() == [[0.0, -1.0, 0.0, 0.0]]
    assert apply(values, "bottom", "mean", 1).tolist() == [[4.0, 1.25, 0.0, 2.0]]
    assert apply(values, "magnitude", "zero", 2).tolist() == [[0.0, -1.0, 0.0, 0.0]]
    assert apply(values, "keep_top", "median", 1).tolist() == [[4.0, 0.0, 0.0, 0.0]]
