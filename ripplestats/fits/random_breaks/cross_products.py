"""Cross-products of curves with lines that break at a node: what the likelihood needs of the curves."""

from dataclasses import dataclass

import numpy as np

from ripplestats.fits.curves import Floats
from ripplestats.fits.random_breaks.break_law import Nodes
from ripplestats.fits.random_breaks.layout import Block, Layout
from ripplestats.fits.random_breaks.serial_errors import Precision

#: X'ΩX (J × 3 × 3), X'Ωy (J × 3 × P) and y'Ωy (P,).
CrossProducts = tuple[Floats, Floats, Floats]


@dataclass(frozen=True)
class Products:
    """What follows from the nodes and the law of errors alone: ``hinge`` (J, R), cross-products, and those of its slopes."""

    errors_law: Precision | None
    hinge: Floats
    own: CrossProducts
    slopes: tuple[CrossProducts, ...]


def products(block: Block, layout: Layout, parameters: Floats, nodes: Nodes, *, slopes: bool = True) -> Products:
    """Return the cross-products of a block at all nodes; with ``slopes``, those of serial errors' shape as well."""
    errors_law = block.precision(layout, parameters)
    hinge = np.maximum(block.x - nodes.breaks[:, None], 0)
    heights_at = nodes.breaks if layout.of_heights else None
    if errors_law is None:
        return Products(None, hinge, _cross_products(block, hinge, None, heights_at), ())
    turned = errors_law.slopes if slopes else ()
    return Products(
        errors_law,
        hinge,
        _cross_products(block, hinge, errors_law.matrix, heights_at),
        tuple(_cross_products(block, hinge, slope, heights_at) for slope in turned),
    )


def _cross_products(
    block: Block, hinge: Floats, weight: Floats | None = None, heights_at: Floats | None = None
) -> CrossProducts:
    """Return X'ΩX (J × 3 × 3), X'Ωy (J × 3 × P) and y'Ωy (P,) at every node; Ω = 1 by default.

    X = [1, x, hinge], or [1, (x − hinge)/ψ, hinge] where the breaks ψ (J,) of ``heights_at`` are given.
    """
    x = block.x
    if weight is None:
        ones, line, bent = np.ones_like(x), x, hinge
        total, with_x, squares = block.sums
    else:
        ones, line, bent = weight.sum(axis=0), x @ weight, hinge @ weight
        total, with_x = block.values @ ones, block.values @ line
        squares = ((block.values @ weight) * block.values).sum(axis=1)
    gram = np.empty((len(hinge), 3, 3))
    gram[:, 0, 0], gram[:, 1, 1] = ones.sum(), x @ line
    gram[:, 0, 1] = gram[:, 1, 0] = line.sum()
    gram[:, 0, 2] = gram[:, 2, 0] = hinge @ ones
    gram[:, 1, 2] = gram[:, 2, 1] = hinge @ line
    gram[:, 2, 2] = np.einsum("jr,jr->j", bent, hinge)
    moments = np.empty((len(hinge), 3, len(block.values)))
    moments[:, 0], moments[:, 1] = total, with_x
    moments[:, 2] = bent @ block.values.T
    if heights_at is not None:
        inverse = 1 / heights_at[:, None]
        gram[:, :, 1] = (gram[:, :, 1] - gram[:, :, 2]) * inverse
        gram[:, 1] = (gram[:, 1] - gram[:, 2]) * inverse
        moments[:, 1] = (moments[:, 1] - moments[:, 2]) * inverse
    return gram, moments, squares
