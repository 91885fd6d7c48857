"""Core fraction from a parametric curve: exponential and Hill saturation, a check on the isotonic one.

Both are a height times a shape, P · b(x; θ), and the height is projected out (Golub & Pereyra 1973, SIAM J. Numer. Anal.
10:413). A dense grid over the shapes finds the basin of the global minimum, Newton steps end in it. All curves at once.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import MINIMUM_DOCUMENTS, Resamples, Statistic, bootstrap, of_pooled
from ripplestats.fits.curves import DocumentCurves, Floats
from ripplestats.fits.result import TERMS
from ripplestats.fits.saturation import PLATEAU, plateau_weights
from ripplestats.fits.saturation_shapes import MODELS, Saturation

if TYPE_CHECKING:
    import pandas as pd

Truths = NDArray[np.bool_]

_CURVES_AT_ONCE = 4096
#: At most so many steps; so many in a row that end at the edge are the end, too.
_STEPS, _PATIENCE = 60, 3
#: Steps in the logarithm of a parameter below this are the end.
_CONVERGED = 1e-10
#: A best shape so near to the grid's edge (in the logarithm) says that the doses do not tell it.
_EDGE = 1e-6
#: Where more of the resamples have no such curve, the others do not make an interval.
_MOST_UNDEFINED = 0.05
#: A curve of which a shape explains less than this share is flat.
_NOTHING = 1e-12


@dataclass(frozen=True)
class SaturationFit:
    """The best curve of each row: height P (n), log parameters (n × p), weighted residual sum of squares (n).

    ``edge`` tells where the best shape lies at the grid's edge.
    """

    height: Floats
    parameters: Floats
    residual_ss: Floats
    edge: Truths


def fit_saturation(model: Saturation, x: Floats, weights: Floats, curves: Floats) -> SaturationFit:
    """Fit P · b(x; θ) with P > 0 to every row by weighted least squares.

    Args:
        model: ``EXPONENTIAL`` or ``HILL``.
        x: doses, none negative.
        weights: of the doses, R, or n × R.
        curves: n × doses.

    Returns:
        The global minimum on the grid's range: the scale from a tenth of the first dose to ten times the last, Hill's
        exponent from .2 to 20. ``height`` is NaN where no rising curve explains anything.

    Raises:
        InputError: a dose is negative, or there are fewer doses than parameters.
    """
    grid = model.grid(x) if (x > 0).any() else np.empty((0, 1))
    if x[0] < 0 or len(x) < grid.shape[1] + 2 or not len(grid):
        raise InputError(f"a {model.name} curve needs {grid.shape[1] + 2} doses, none negative")
    shapes, roots = model.shape(x, grid), np.sqrt(np.atleast_2d(weights))
    parts = []
    for start in range(0, max(len(curves), 1), _CURVES_AT_ONCE):
        chunk = slice(start, start + _CURVES_AT_ONCE)
        root = roots if len(roots) == 1 else roots[chunk]
        rows = curves[chunk] * root
        first = grid[_alignments(rows, shapes, root).argmax(axis=1)]
        parts.append(_refined(model, x, root, rows, first, (grid.min(axis=0), grid.max(axis=0))))
    return SaturationFit(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])))


def _alignments(rows: Floats, shapes: Floats, root: Floats) -> Floats:
    """Return how well each of the shapes (m × R) follows each row (n × R, weighted already): n × m."""
    if len(root) == 1:
        weighted = shapes * root
        of_one: Floats = rows @ (weighted / np.linalg.norm(weighted, axis=1, keepdims=True)).T
        return of_one
    lengths = np.sqrt(root**2 @ (shapes**2).T)
    of_each: Floats = (rows * root) @ shapes.T / lengths
    return of_each


def _refined(
    model: Saturation, x: Floats, root: Floats, rows: Floats, first: Floats, limits: tuple[Floats, Floats]
) -> SaturationFit:
    """Take Newton steps from the best point of the grid; ``rows`` are weighted already, by ``root`` (1 or n × R)."""
    place, length = first.copy(), np.ones(len(rows))
    height, residual = _projected(rows, model.shape(x, place) * root)
    active, blocked = np.flatnonzero(height > 0), np.zeros(len(rows))
    for _ in range(_STEPS):
        if not len(active):
            break
        own = root if len(root) == 1 else root[active]
        step = _newton_step(model, x, own, rows[active], place[active]) * length[active, None]
        trial = np.clip(place[active] + step, *limits)
        moved = np.abs(trial - place[active]).max(axis=1)
        heights, residuals = _projected(rows[active], model.shape(x, trial) * own)
        better = (residuals <= residual[active]) & (heights > 0)
        won = active[better]
        place[won], height[won], residual[won] = trial[better], heights[better], residuals[better]
        length[active] = np.where(better, np.minimum(2 * length[active], 1), length[active] / 4)
        # Steps that lead out of the grid again and again mean that the doses do not tell the shape.
        blocked[active] = np.where(_at_edge(place[active], limits), blocked[active] + 1, 0)
        active = active[(moved > _CONVERGED) & (blocked[active] < _PATIENCE)]
    edge = _at_edge(place, limits)
    flat = (rows**2).sum(axis=1) * (1 - _NOTHING) <= residual
    return SaturationFit(np.where((height > 0) & ~flat, height, np.nan), place, residual, edge)


def _at_edge(place: Floats, limits: tuple[Floats, Floats]) -> Truths:
    return np.asarray(np.minimum(place - limits[0], limits[1] - place).min(axis=1) < _EDGE)


def _projected(rows: Floats, shapes: Floats) -> tuple[Floats, Floats]:
    """Return the best height of each row's shape, and what is left."""
    height = (rows * shapes).sum(axis=1) / (shapes**2).sum(axis=1)
    residual: Floats = ((rows - height[:, None] * shapes) ** 2).sum(axis=1)
    return height, residual


def _newton_step(model: Saturation, x: Floats, root: Floats, rows: Floats, place: Floats) -> Floats:
    """Return Newton steps towards the largest log ⟨y, b⟩ − ½ log ⟨b, b⟩, which is the least residual sum of squares."""
    shapes, slopes, curvatures = (
        one * root.reshape(len(root), *[1] * (one.ndim - 2), len(x)) for one in model.derivatives(x, place)
    )
    products, squares = (rows * shapes).sum(axis=1), (shapes**2).sum(axis=1)
    a1, c1 = (np.einsum("npr,nr->np", slopes, one) for one in (rows, shapes))
    a2, c2 = (np.einsum("npqr,nr->npq", curvatures, one) for one in (rows, shapes))
    c2 = c2 + slopes @ slopes.swapaxes(1, 2)
    a1, c1 = a1 / products[:, None], c1 / squares[:, None]
    a2, c2 = a2 / products[:, None, None], c2 / squares[:, None, None]
    hessian = a2 - a1[:, :, None] * a1[:, None] - c2 + 2 * c1[:, :, None] * c1[:, None]
    # Uphill in every direction: where the surface bends the wrong way, its curvature counts as if it did not.
    values, axes = np.linalg.eigh(hessian)
    values = np.maximum(np.abs(values), 1e-14)
    step: Floats = axes @ ((axes.swapaxes(1, 2) @ (a1 - c1)[..., None])[..., 0] / values)[..., None]
    return np.clip(step[..., 0], -1.0, 1.0)


def saturation_statistic(
    model: Saturation, x: Floats, weights: Floats, shares: Floats, plateau: tuple[float, float] = PLATEAU
) -> Statistic:
    """Return the statistic that takes mean curves to the fitted curve's plateau and core fractions: n × (1 + shares).

    The plateau is the fitted curve's mean over the doses of ``plateau`` that the grid covers (Gauss–Legendre); a core
    fraction is the dose at which the fitted curve reaches a share of it. NaN where the best shape lies at the edge of
    the grid of shapes, or the curve is flat or negative.
    """
    low, high = max(plateau[0], float(x[0])), min(plateau[1], float(x[-1]))
    nodes, node_weights = np.polynomial.legendre.leggauss(128)
    points, node_weights = low + (high - low) * (nodes + 1) / 2, node_weights / 2

    def statistic(rows: Floats, own_weights: Floats | None = None) -> Floats:
        fit = fit_saturation(model, x, weights if own_weights is None else own_weights, rows)
        usable = np.flatnonzero(np.isfinite(fit.height) & ~fit.edge)
        found = np.full((len(rows), 1 + len(shares)), np.nan)
        for chosen in np.array_split(usable, 1 + len(usable) // _CURVES_AT_ONCE):
            mean = model.shape(points, fit.parameters[chosen]) @ node_weights
            doses = model.inverse(mean[:, None] * shares, fit.parameters[chosen])
            found[chosen] = np.column_stack([fit.height[chosen] * mean, doses])
        return found

    return statistic


def saturation_terms(
    curves: DocumentCurves,
    resamples: Resamples,
    conf_level: float = 0.95,
    shares: tuple[float, ...] = (0.5, 0.8, 0.9),
    plateau: tuple[float, float] = PLATEAU,
    models: tuple[Saturation, ...] = MODELS,
    interval: str = "percentile",
) -> "pd.DataFrame":
    """Return plateau and core fractions of the fitted curves for each model and group, in the columns of ``core_terms``.

    ``method`` is the model's name; there is no interval where more than 5 % of the resamples have no such curve. Where the
    frame is not balanced, each curve is fitted with its own weights of the doses.

    Raises:
        InputError: a share is not between 0 and 1, or there are too few doses.
    """
    import pandas as pd

    for one in shares:
        if not 0 < one < 1:
            raise InputError(f"share={one} is not allowed; a share lies between 0 and 1")
    rows = [
        row for model in models for row in _model_rows(model, curves, resamples, conf_level, shares, plateau, interval)
    ]
    return pd.DataFrame(rows, columns=["group", "method", "share", *TERMS])


def _model_rows(
    model: Saturation,
    curves: DocumentCurves,
    resamples: Resamples,
    conf_level: float,
    shares: tuple[float, ...],
    plateau: tuple[float, float],
    interval: str,
) -> list[tuple[Hashable, ...]]:
    keys = [("plateau", np.nan), *(("core_fraction", share) for share in shares)]
    if plateau_weights(curves.x, plateau) is None:
        why = f"undefined: the doses do not cover {plateau[0]:.0%} to {plateau[1]:.0%}"
        return [(g, model.name, share, term, *[np.nan] * 6, why) for g in curves.groups for term, share in keys]
    statistic = saturation_statistic(model, curves.x, curves.dose_weights, np.array(shares), plateau)
    estimate = of_pooled(curves, statistic)
    fit = fit_saturation(model, curves.x, curves.pooled_weights(), curves.pooled())
    found = bootstrap(curves, statistic, resamples, conf_level, bca=False)
    rows: list[tuple[Hashable, ...]] = []
    for i, group in enumerate(curves.groups):
        why = _undefined(model, fit, i)
        for j, (term, share) in enumerate(keys):
            if why:
                rows.append((group, model.name, share, term, *[np.nan] * 6, why))
                continue
            note = _no_interval(float(found.undefined[i, j]), curves.counts is None)
            figures = (found.std_error, *getattr(found, interval))
            error, low, high = (np.nan if note else one[i, j] for one in figures)
            rows.append((group, model.name, share, term, estimate[i, j], error, np.nan, np.nan, low, high, note))
    return rows


def _undefined(model: Saturation, fit: SaturationFit, i: int) -> str:
    if np.isnan(fit.height[i]):
        return "undefined: the curve is flat or negative"
    shown = ", ".join(f"{value:.3g}" for value in np.exp(fit.parameters[i]))
    why = f"undefined: the best {model.name} curve lies at the edge of what the doses can tell ({shown})"
    return why if fit.edge[i] else ""


def _no_interval(undefined: float, balanced: bool) -> str:
    if np.isnan(undefined):
        return f"no interval from fewer than {MINIMUM_DOCUMENTS} documents"
    if undefined <= _MOST_UNDEFINED:
        return ""
    lacking = "" if balanced else ", or no row at some dose"
    return f"no interval: {undefined:.0%} of the resamples have no such curve{lacking}"
