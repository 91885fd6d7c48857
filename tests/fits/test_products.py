"""Cross-products against sums over prompts, written out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripplestats.errors import InputError
from ripplestats.fits.products import CrossProducts, cross_products, with_layer_mean
from tests.fits.frames import CHECKED


def curves(seed: int, documents: list[int], groups: int = 2, doses: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((len(documents), groups, doses))


def assert_equal(one: CrossProducts, other: CrossProducts) -> None:
    for name in ("within", "sizes", "counts", "sums", "between"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-12, err_msg=name)


LABELS = st.lists(st.integers(0, 5), min_size=1, max_size=12)


@CHECKED
@given(labels=LABELS, seed=st.integers(0, 99))
def test_they_are_the_sums_over_prompts_and_documents(labels: list[int], seed: int) -> None:
    values = curves(seed, labels)
    found = cross_products(values, np.array(labels))
    within = np.zeros((2, 3, 3))
    sums, between, counts = {}, {}, {}
    for label in set(labels):
        own = values[np.array(labels) == label]
        mean, size = own.mean(axis=0), len(own)
        within += np.einsum("pgi,pgj->gij", own - mean, own - mean)
        counts[size] = counts.get(size, 0) + 1
        sums[size] = sums.get(size, 0) + mean
        between[size] = between.get(size, 0) + mean[:, :, None] * mean[:, None, :]
    np.testing.assert_allclose(found.within, within, atol=1e-12)
    assert list(found.sizes) == sorted(counts)
    for place, size in enumerate(found.sizes):
        assert found.counts[place] == counts[size]
        np.testing.assert_allclose(found.sums[place], sums[size], atol=1e-12)
        np.testing.assert_allclose(found.between[place], between[size], atol=1e-12)
    assert (found.n_prompts, found.n_documents) == (len(labels), len(set(labels)))


@CHECKED
@given(first=LABELS, second=LABELS)
def test_two_sets_of_documents_merge_to_those_of_all(first: list[int], second: list[int]) -> None:
    labels = np.array(first + [10 + label for label in second])
    values = curves(1, list(labels))
    cut = len(first)
    merged = cross_products(values[:cut], labels[:cut]).merged(cross_products(values[cut:], labels[cut:]))
    assert_equal(merged, cross_products(values, labels))


@CHECKED
@given(labels=LABELS, seed=st.integers(0, 99))
def test_order_and_names_do_not_matter(labels: list[int], seed: int) -> None:
    values, names = curves(seed, labels), np.array([f"title {7 - label}" for label in labels])
    order = np.random.default_rng(seed).permutation(len(labels))
    assert_equal(cross_products(values[order], names[order]), cross_products(values, np.array(labels)))


def test_the_mean_over_layers_comes_first() -> None:
    values = curves(0, [0, 1], groups=4)
    wide = with_layer_mean(values)
    np.testing.assert_allclose(wide[:, 0], values.mean(axis=1))
    np.testing.assert_array_equal(wide[:, 1:], values)
    assert cross_products(wide, np.array([0, 1])).n_layers == 4
    assert cross_products(values[:, :1], np.array([0, 1])).n_layers == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(value: float) -> None:
    values = curves(0, [0, 1])
    values[1, 0, 2] = value
    with pytest.raises(InputError, match="not finite"):
        cross_products(values, np.array([0, 1]))


@pytest.mark.parametrize(("shape", "documents"), [((2, 3), 2), ((2, 1, 3), 1), ((0, 1, 3), 0)])
def test_shapes_that_do_not_fit_are_refused(shape: tuple[int, ...], documents: int) -> None:
    with pytest.raises(InputError, match="prompts × groups × doses"):
        cross_products(np.zeros(shape), np.arange(documents))
