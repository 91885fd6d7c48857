"""Cross-products of curves with lines that break at a node: what the likelihood needs of the curves."""

from dataclasses import dataclass

import numpy as np

from ripplestats.fits.curves import Floats
from ripplestats.fits.random_breaks.break_law import Nodes
from ripplestats.fits.random_breaks.layout import Block, Layout
from ripplestats.fits.random_breaks.serial_errors import Precision


@dataclass(frozen=True)
class Products:
    """What follows from the nodes and the law of errors alone.

    ``gram`` X'ΩX (K × J × 3 × 3), ``moments`` X'Ωy (K × J × 3 × P) and ``squares`` y'Ωy (K × P) are first those of the
    precision Ω, or of 1, then those of its slopes in the shape of serial errors.
    """

    errors_law: Precision | None
    gram: Floats
    moments: Floats
    squares: Floats


def products(block: Block, layout: Layout, parameters: Floats, nodes: Nodes, *, slopes: bool = True) -> Products:
    """Return the cross-products of a block at all nodes; with ``slopes``, those of serial errors' shape as well.

    X = [1, x, hinge], or [1, (x − hinge)/ψ, hinge] where a line has a height at its break ψ.
    """
    errors_law = block.precision(layout, parameters)
    hinge = np.maximum(block.x - nodes.breaks[:, None], 0)
    weights = None
    if errors_law is not None:
        weights = errors_law.matrix[None]
        if slopes:
            weights = np.concatenate([weights, errors_law.slopes])
    gram, moments, squares = _of_lines(block, hinge, weights)
    if layout.of_heights:
        inverse = 1 / nodes.breaks[:, None]
        gram[..., 1] = (gram[..., 1] - gram[..., 2]) * inverse
        gram[..., 1, :] = (gram[..., 1, :] - gram[..., 2, :]) * inverse
        moments[..., 1, :] = (moments[..., 1, :] - moments[..., 2, :]) * inverse
    return Products(errors_law, gram, moments, squares)


def _of_lines(block: Block, hinge: Floats, weights: Floats | None) -> tuple[Floats, Floats, Floats]:
    """Return the cross-products of lines with two slopes for each of the symmetric weights (K × R × R)."""
    x, values = block.x, block.values
    if weights is None:
        ones, line, bent = np.ones((1, len(x))), x[None], hinge[None]
        total, with_x, squares = (one[None] for one in block.sums)
    else:
        ones, line, bent = weights.sum(axis=1), x @ weights, hinge @ weights
        total, with_x = ones @ values.T, line @ values.T
        squares = np.einsum("kpr,pr->kp", values @ weights, values)
    gram = np.empty((*bent.shape[:2], 3, 3))
    gram[..., 0, 0], gram[..., 1, 1] = ones.sum(axis=1, keepdims=True), (line @ x)[:, None]
    gram[..., 0, 1] = gram[..., 1, 0] = line.sum(axis=1, keepdims=True)
    gram[..., 0, 2] = gram[..., 2, 0] = ones @ hinge.T
    gram[..., 1, 2] = gram[..., 2, 1] = line @ hinge.T
    gram[..., 2, 2] = np.einsum("kjr,jr->kj", bent, hinge)
    moments = np.empty((*bent.shape[:2], 3, len(values)))
    moments[..., 0, :], moments[..., 1, :] = total[:, None], with_x[:, None]
    moments[..., 2, :] = bent @ values.T
    return gram, moments, squares
