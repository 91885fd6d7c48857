"""Frames → documents' curves: values worked out by hand, and what must not matter."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripplestats.errors import InputError
from ripplestats.fits.curves import DocumentCurves, document_curves
from tests.fits.frames import CHECKED, noisy_frame, relabelled

#: Document 7 has prompts a and b, document 3 has prompt c; doses 0.5 and 0.1, deliberately out of order.
TINY = pd.DataFrame(
    [
        ("a", 7, 0.5, 4.0),
        ("a", 7, 0.1, 1.0),
        ("b", 7, 0.5, 8.0),
        ("b", 7, 0.1, 3.0),
        ("c", 3, 0.5, 9.0),
        ("c", 3, 0.1, 5.0),
    ],
    columns=["prompt_id", "document_id", "rate", "effect"],
)


def curves_of(frame: pd.DataFrame, by: str | None = None) -> DocumentCurves:
    return document_curves(frame, y="effect", x="rate", cluster="document_id", by=by)


def test_unequal_documents_by_hand() -> None:
    curves = curves_of(TINY)
    np.testing.assert_array_equal(curves.x, [0.1, 0.5])
    np.testing.assert_array_equal(curves.dose_weights, [1, 1])
    np.testing.assert_array_equal(curves.values, [[[5, 9]], [[2, 6]]])
    np.testing.assert_array_equal(curves.weights, [1, 2])
    assert (curves.n_documents, curves.n_prompts, curves.groups) == (2, 3, ("all",))


def test_the_pooled_mean_counts_prompts_not_documents() -> None:
    np.testing.assert_allclose(curves_of(TINY).pooled(), [[(1 + 3 + 5) / 3, (4 + 8 + 9) / 3]], rtol=1e-15)


def test_multiplicities_count_documents_by_hand() -> None:
    # Document 3 three times and document 7 once: (3·5 + 1 + 3) / 5 and (3·9 + 4 + 8) / 5.
    replicates = curves_of(TINY).pooled(np.array([[3.0, 1.0], [0.0, 1.0]]))
    np.testing.assert_allclose(replicates, [[[19 / 5, 39 / 5]], [[2, 6]]], rtol=1e-15)


@CHECKED
@given(st.integers(0, 10_000), st.lists(st.integers(1, 4), min_size=1, max_size=6))
def test_the_pooled_curve_is_the_plain_mean_over_rows(seed: int, sizes: list[int]) -> None:
    frame = noisy_frame(seed, n_documents=6, sizes=tuple(sizes))
    expected = frame.groupby("rate")["effect"].mean().to_numpy()
    np.testing.assert_allclose(curves_of(frame).pooled()[0], expected, rtol=1e-12, atol=1e-13)


@CHECKED
@given(st.integers(0, 10_000), st.lists(st.integers(0, 3), min_size=5, max_size=5).filter(any))
def test_multiplicities_equal_repeating_the_rows_of_documents(seed: int, counts: list[int]) -> None:
    frame = noisy_frame(seed, n_documents=5, sizes=(1, 3))
    repeated = pd.concat(
        [frame[frame["document_id"] == document] for document, count in enumerate(counts) for _ in range(count)]
    )
    expected = repeated.groupby("rate")["effect"].mean().to_numpy()
    found = curves_of(frame).pooled(np.array([counts], float))[0, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


@CHECKED
@given(st.integers(0, 10_000))
def test_neither_row_order_nor_names_change_the_pooled_curve(seed: int) -> None:
    frame = noisy_frame(seed, n_documents=6, sizes=(1, 2))
    expected = curves_of(frame).pooled()
    for changed in (frame.sample(frac=1, random_state=seed), relabelled(frame, seed)):
        np.testing.assert_allclose(curves_of(changed).pooled(), expected, rtol=1e-12, atol=1e-13)


def test_a_dose_that_two_rates_share_weighs_twice() -> None:
    # Rates 0.10 and 0.1001 both mean dose 0.1: each prompt has two rows there.
    extra = TINY[TINY["rate"] == 0.1].assign(effect=lambda f: f["effect"] + 2)
    curves = curves_of(pd.concat([TINY, extra]))
    np.testing.assert_array_equal(curves.dose_weights, [2, 1])
    np.testing.assert_array_equal(curves.values, [[[6, 9]], [[3, 6]]])
    assert curves.n_prompts == 3


def test_groups_come_sorted_and_keep_their_own_curves() -> None:
    frame = pd.concat([TINY.assign(layer=5), TINY.assign(layer=1, effect=-TINY["effect"])])
    curves = curves_of(frame, by="layer")
    assert curves.groups == (1, 5)
    alone = curves_of(TINY).pooled()
    np.testing.assert_array_equal(curves.pooled(), np.concatenate([-alone, alone]))


def test_categories_without_rows_are_no_groups() -> None:
    arms = pd.Categorical(["top"] * len(TINY), categories=["random", "top"])
    assert curves_of(TINY.assign(arm=arms), by="arm").groups == ("top",)


def test_the_mean_of_groups_is_put_first() -> None:
    frame = pd.concat(
        [TINY.assign(layer=layer, effect=factor * TINY["effect"]) for layer, factor in [(0, 100), (1, 1), (2, 3)]]
    )
    curves = curves_of(frame, by="layer").with_mean_of([1, 2], "all")
    assert curves.groups == ("all", 0, 1, 2)
    of_documents = curves.pooled(np.eye(2))
    np.testing.assert_array_equal(of_documents[:, 0], 2 * of_documents[:, 2])
    np.testing.assert_allclose(curves.pooled()[0], curves.pooled()[[2, 3]].mean(axis=0), rtol=1e-15)


@pytest.mark.parametrize("role", ["y", "x", "cluster", "by"])
def test_a_missing_column_is_named_with_those_there_are(role: str) -> None:
    columns = {"y": "effect", "x": "rate", "cluster": "document_id", "by": "prompt_id", role: "absent"}
    with pytest.raises(InputError, match=r"no column 'absent'; it has prompt_id, document_id, rate, effect"):
        document_curves(TINY, **columns)


def test_a_frame_without_rows_is_refused() -> None:
    with pytest.raises(InputError, match="no rows"):
        curves_of(TINY.iloc[:0])


@pytest.mark.parametrize("column", ["effect", "rate"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_refused(column: str, value: float) -> None:
    frame = TINY.copy()
    frame.loc[2, column] = value
    with pytest.raises(InputError, match=f"{column!r} holds values that are missing or not finite"):
        curves_of(frame)


@pytest.mark.parametrize("column", ["effect", "rate"])
def test_a_missing_value_of_pandas_own_kind_is_refused(column: str) -> None:
    frame = TINY.astype({column: "Float64"})
    frame.loc[2, column] = pd.NA
    with pytest.raises(InputError, match=f"{column!r}"):
        curves_of(frame)


@pytest.mark.parametrize("role", ["cluster", "by"])
def test_a_row_without_document_or_group_is_refused_not_dropped(role: str) -> None:
    frame = TINY.assign(place=[np.nan, np.nan, 1.0, 1.0, 2.0, 2.0])
    columns = {"cluster": "document_id", "by": None, role: "place"}
    with pytest.raises(InputError, match="'place'"):
        document_curves(frame, y="effect", x="rate", **columns)


@pytest.mark.parametrize("column", ["effect", "rate"])
def test_text_where_a_number_belongs_is_refused(column: str) -> None:
    with pytest.raises(InputError, match=f"{column!r}"):
        curves_of(TINY.assign(**{column: "many"}))


def test_a_document_without_a_dose_counts_by_the_rows_it_has() -> None:
    curves = curves_of(TINY[~((TINY["document_id"] == 3) & (TINY["rate"] == 0.5))])
    assert curves.counts is not None
    np.testing.assert_array_equal(curves.counts, [[[1, 0]], [[2, 2]]])
    np.testing.assert_array_equal(curves.values, [[[5, 0]], [[2, 6]]])
    np.testing.assert_allclose(curves.pooled(), [[(1 + 3 + 5) / 3, (4 + 8) / 2]])
    np.testing.assert_array_equal(curves.pooled_weights(), [[3, 2]])
    assert (curves.n_documents, curves.n_prompts) == (2, 3)
    assert "not balanced" in curves.notes[0]


def test_a_document_without_a_group_counts_in_the_others() -> None:
    frame = pd.concat([TINY.assign(layer=0), TINY[TINY["document_id"] == 7].assign(layer=1)])
    np.testing.assert_allclose(curves_of(frame, by="layer").pooled(), [[3, 7], [2, 6]])


def test_a_replicate_without_a_row_at_a_dose_is_nan_there() -> None:
    curves = curves_of(TINY[~((TINY["document_id"] == 3) & (TINY["rate"] == 0.5))])
    np.testing.assert_array_equal(curves.pooled(np.array([[2.0, 0.0]])), [[[5, np.nan]]])


def test_a_group_without_any_row_at_a_dose_is_refused() -> None:
    frame = pd.concat([TINY.assign(layer=0), TINY[TINY["rate"] == 0.1].assign(layer=1)])
    with pytest.raises(InputError, match=r"no row of layer 1 at rate = 0\.5"):
        curves_of(frame, by="layer")


@CHECKED
@given(st.integers(0, 10_000), st.booleans())
def test_influences_sum_to_zero_and_leave_one_out_to_first_order(seed: int, missing: bool) -> None:
    frame = noisy_frame(seed, n_documents=30, sizes=(1, 2))
    curves = curves_of(frame.drop(index=[3, 40, 41]) if missing else frame)
    weights = np.linspace(-1, 2, len(curves.x))
    estimate, moved = curves.influences(weights)
    np.testing.assert_allclose(estimate, curves.pooled() @ weights)
    np.testing.assert_allclose(moved.sum(axis=0), 0, atol=1e-12)
    left_out = curves.pooled(1 - np.eye(30))[:, 0] @ weights
    share = curves.weights / curves.weights.sum()
    np.testing.assert_allclose(estimate[0] - left_out, moved[:, 0] / (1 - share), rtol=0.1, atol=1e-3)


def test_prompts_of_several_groups_are_counted_once() -> None:
    frame = pd.concat([TINY.assign(arm="top"), TINY.assign(arm="random")])
    assert curves_of(frame).n_prompts == 3
