"""Cross-products of balanced curves: all that a Gaussian likelihood needs of them, however many prompts there are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ripplestats.errors import InputError
from ripplestats.fits.curves import Floats


@dataclass(frozen=True)
class CrossProducts:
    """Sums over prompts, which lie in documents of unequal size, of curves over R doses in G groups.

    Where layers are crossed with prompts, group 0 is the plain mean over the layers and groups 1…G−1 are the layers;
    otherwise G is 1. A curve may have several rows of one dose; R counts rows.

    ``within`` (G, R, R): Σ over prompts of (y − mean of its document)(…)′.
    ``sizes`` (S,): the distinct numbers of prompts of a document, increasing.
    ``counts`` (S,): documents of that size.
    ``sums`` (S, G, R): Σ over those documents of the document's mean curve.
    ``between`` (S, G, R, R): Σ over those documents of mean · mean′, not centred. Where means are large beside their
    spread, take a curve that the fixed effects can make from every y first; only the fixed effects change, by as much.
    """

    within: Floats
    sizes: Floats
    counts: Floats
    sums: Floats
    between: Floats

    @property
    def n_documents(self) -> int:
        """Number of documents."""
        return int(self.counts.sum())

    @property
    def n_prompts(self) -> int:
        """Number of prompts."""
        return int(self.counts @ self.sizes)

    @property
    def n_layers(self) -> int:
        """Number of crossed layers; 1 where there are none."""
        return max(len(self.within) - 1, 1)

    @property
    def n_doses(self) -> int:
        """Rows of a curve."""
        return len(self.within[0])

    def merged(self, other: "CrossProducts") -> "CrossProducts":
        """Return the cross-products of both sets of documents; no document may be in both."""
        sizes = np.union1d(self.sizes, other.sizes)
        counts, sums, between = (
            _spread(self, name, sizes) + _spread(other, name, sizes) for name in ("counts", "sums", "between")
        )
        return CrossProducts(self.within + other.within, sizes, counts, sums, between)


def cross_products(values: Floats, documents: NDArray[np.generic]) -> CrossProducts:
    """Sum prompts' curves up.

    Args:
        values: prompts × groups × doses, the groups as in ``CrossProducts``.
        documents: a label a prompt.

    Raises:
        InputError: the shapes do not fit, or a value is not finite.
    """
    if values.ndim != 3 or len(values) != len(documents) or not len(values):
        raise InputError(
            f"values must be prompts × groups × doses with a document a prompt; "
            f"they have the shape {values.shape} for {len(documents)} documents"
        )
    if not np.isfinite(values).all():
        raise InputError("the curves hold values that are missing or not finite numbers")
    _, codes, size = np.unique(documents, return_inverse=True, return_counts=True)
    means, deviations = values, np.zeros_like(values[:1])
    if len(size) < len(values):
        ordered = values[np.argsort(codes, kind="stable")]
        means = np.add.reduceat(ordered, np.cumsum(size) - size, axis=0) / size[:, None, None]
        deviations = ordered - np.repeat(means, size, axis=0)
    sizes, place = np.unique(size, return_inverse=True)
    chosen = [means[place == one] for one in range(len(sizes))]
    return CrossProducts(
        within=summed_products(deviations),
        sizes=sizes.astype(np.float64),
        counts=np.bincount(place).astype(np.float64),
        sums=np.stack([one.sum(axis=0) for one in chosen]),
        between=np.stack([summed_products(one) for one in chosen]),
    )


def with_layer_mean(values: Floats) -> Floats:
    """Return curves (prompts × layers × doses) with the mean over layers put first, as ``cross_products`` wants it."""
    return np.concatenate([values.mean(axis=1, keepdims=True), values], axis=1)


def summed_products(values: Floats) -> Floats:
    """Return Σ over prompts of curve · curve′ (groups × doses × doses) of curves (prompts × groups × doses)."""
    by_group = values.transpose(1, 2, 0)
    products: Floats = by_group @ by_group.transpose(0, 2, 1)
    return products


def _spread(products: CrossProducts, name: str, sizes: Floats) -> Floats:
    found: Floats = getattr(products, name)
    wide = np.zeros((len(sizes), *found.shape[1:]))
    wide[np.searchsorted(sizes, products.sizes)] = found
    return wide
