"""Specification curve: threshold and core fraction under every choice that a reasonable analyst could have made.

Simonsohn, Simmons & Nelson (2020), Nat. Hum. Behav. 4:1208. Their test under a forced null has no counterpart here (a
threshold of zero is no hypothesis); in its place the median over specifications has an interval, which resampling all
specifications together gives.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ripplestats.errors import InputError
from ripplestats.fits.blas import one_blas_thread
from ripplestats.fits.bootstrap import (
    MINIMUM_DOCUMENTS,
    Resamples,
    check_bootstrap,
    check_intervals,
    expanded_tail,
    resample_documents,
)
from ripplestats.fits.breakpoint import MINIMUM_DOSES, BreakDesign
from ripplestats.fits.curve_layout import ALL_LAYERS, Cell
from ripplestats.fits.curves import DocumentCurves, Floats
from ripplestats.fits.run_estimates import CURVE_METRICS, cell_curves, main_metric
from ripplestats.fits.saturation import PLATEAU, first_dose_reaching, isotonic, plateau_weights
from ripplestats.fits.segmented import undefined_breaks
from ripplestats.fits.specification_result import SpecificationCurve, quantile

if TYPE_CHECKING:
    from ripplestats.store.run_directory import Run

#: The choices that make a specification, in the order of the frame's columns.
CHOICES = ("metric", "arm", "replacement", "site", "dose_scale", "layer_set")
DOSE_SCALES = ("linear", "log")
ALL_BUT_FIRST = "all blocks but the first"
#: What the run's own tables report (of the metrics the logit, where the log-probability was not recorded).
MAIN = {
    "metric": "delta_logprob", "arm": "top", "replacement": "median", "site": "pre", "dose_scale": "linear",
    "layer_set": ALL_BUT_FIRST,
}  # fmt: skip
#: With more undefined resamples than this the others do not make an interval.
_MOST_UNDEFINED = 0.05
_FIGURES = ("estimate", "conf_low", "conf_high", "undefined_resamples", "note")


@one_blas_thread
def specification_curve(
    run_or_frame: "Run | pd.DataFrame",
    *,
    share: float = 0.5,
    n_boot: int = 2000,
    seed: int = 0,
    conf_level: float = 0.95,
    interval: str = "expanded",
) -> SpecificationCurve:
    """Estimate threshold and core fraction of a run under every specification that it holds.

    Args:
        run_or_frame: a run, or its effects.
        share: of the plateau, that the core fraction is about.
        n_boot, seed, conf_level: of the bootstrap over documents; all specifications share the samples.
        interval: ``expanded`` (percentile, widened for few documents) or ``percentile``.

    Raises:
        InputError: an argument is not allowed, or the effects are not balanced.

    Examples:
        With the simulated ``effects`` of ``docs/examples/simulated_effects.py``:

        >>> curve = rs.specification_curve(effects, n_boot=200)
        >>> curve.summary()[["quantity", "specifications", "median", "lowest", "highest"]].round(3)
                quantity  specifications  median  lowest  highest
        0      threshold              60   0.038   0.029    0.062
        1  core_fraction              60   0.015   0.014    0.016
    """
    check_bootstrap(n_boot, seed, conf_level)
    curves = cell_curves(run_or_frame, CURVE_METRICS)
    n_documents = next(iter(curves.values())).n_documents
    resamples = resample_documents(n_documents, n_boot, np.random.default_rng(seed))
    return specifications(curves, resamples, share=share, conf_level=conf_level, interval=interval)


def specifications(
    curves: Mapping[Cell, DocumentCurves],
    resamples: Resamples,
    *,
    share: float = 0.5,
    conf_level: float = 0.95,
    interval: str = "expanded",
) -> SpecificationCurve:
    """Estimate threshold and core fraction of every cell's curves, dose scale and layer set.

    Args:
        curves: from (arm, replacement, site, metric) to curves with a group a block (one named ``all`` is ignored).
        resamples: of the documents, the same for all cells.
        share: of the plateau, that the core fraction is about. The arm ``keep_top``, which falls, has none.
        conf_level, interval: of the intervals, ``expanded`` or ``percentile``.

    Raises:
        InputError: there are no curves, or an argument is not allowed.
    """
    if not curves or not 0 < share < 1:
        raise InputError(f"share={share} lies between 0 and 1, and there must be at least one cell of curves")
    check_intervals((interval,), ("expanded", "percentile"))
    first = next(iter(curves.values()))
    tail = _tail(conf_level, first, interval)
    parts = [part for cell, one in curves.items() for part in _cell(cell, with_layer_sets(one), resamples, share, tail)]
    rows = pd.DataFrame([row for table, _ in parts for row in table])
    rows["main"] = (rows[list(MAIN)] == list((MAIN | {"metric": main_metric(rows["metric"])}).values())).all(axis=1)
    replicates = np.concatenate([values for _, values in parts], axis=1)
    order = np.argsort(rows["quantity"].ne("threshold").to_numpy(), kind="stable")
    rows = rows.iloc[order].reset_index(drop=True)[["quantity", *CHOICES, "main", *_FIGURES]]
    counts = (first.n_prompts, first.total_documents)
    return SpecificationCurve(rows, replicates[:, order], tail, conf_level, share, *counts)


def _tail(conf_level: float, curves: DocumentCurves, interval: str) -> float:
    """Return the share of the replicates outside each limit."""
    if interval == "percentile" or curves.n_documents < MINIMUM_DOCUMENTS:
        return (1 - conf_level) / 2
    return expanded_tail(conf_level, curves.weights)


def layer_sets(layers: Sequence[Hashable]) -> dict[str, list[Hashable]]:
    """Return the sets of blocks: all but the first, all, and the thirds of all but the first, where there are so many.

    Block 0 is in none of the thirds: its effect is many times that of the others.
    """
    later = [layer for layer in layers if layer not in (0, ALL_LAYERS)]
    everything = [layer for layer in layers if layer != ALL_LAYERS]
    sets = {ALL_BUT_FIRST: later, "all blocks": everything if len(everything) > len(later) else []}
    thirds = [list(third) for third in np.array_split(np.array(later, dtype=object), 3)] if len(later) >= 3 else []
    sets |= dict(zip(("first third", "middle third", "last third"), thirds, strict=False))
    return {name: chosen for name, chosen in sets.items() if chosen}


def with_layer_sets(curves: DocumentCurves) -> DocumentCurves:
    """Return the plain means of the curves over each set of blocks."""
    if curves.counts is not None:
        raise InputError("a specification curve needs a balanced frame: every document with every layer and dose")
    sets = layer_sets(curves.groups)
    places = [[curves.groups.index(layer) for layer in chosen] for chosen in sets.values()]
    values = np.stack([curves.values[:, place].mean(axis=1) for place in places], axis=1)
    return replace(curves, values=values, groups=tuple(sets))


def _cell(
    cell: Cell, curves: DocumentCurves, resamples: Resamples, share: float, tail: float
) -> list[tuple[list[dict[str, object]], Floats]]:
    """Return rows and replicates of one cell, for each quantity and dose scale."""
    arm, replacement, site, metric = cell
    if len(resamples.bootstrap[0]) != curves.n_documents:
        raise InputError(f"the curves of {', '.join(cell)} are of other documents than the resamples")
    pooled = curves.pooled()
    stacked = np.concatenate([pooled[None], curves.pooled(resamples.bootstrap)])
    found = []
    for quantity, estimator in (("threshold", _threshold), ("core_fraction", _core_fraction)):
        if quantity == "core_fraction" and arm == "keep_top":
            continue
        for scale in DOSE_SCALES:
            values, notes = estimator(curves, stacked, scale, share, tail)
            named = {"quantity": quantity, "metric": metric, "arm": arm, "replacement": replacement, "site": site}
            rows = [
                {**named, "dose_scale": scale, "layer_set": group,
                 **_figures(values[0, i], values[1:, i], notes[i], tail, curves.n_documents)}
                for i, group in enumerate(curves.groups)
            ]  # fmt: skip
            found.append((rows, values[1:]))
    return found


def _threshold(curves: DocumentCurves, stacked: Floats, scale: str, *_: float) -> tuple[Floats, list[str]]:
    """Return breakpoints (1 + replicates × groups), the estimates first, and why they are undefined."""
    if scale == "log" and curves.x[0] <= 0:
        return np.full(stacked.shape[:2], np.nan), ["undefined: a dose of zero has no logarithm"] * len(curves.groups)
    design = BreakDesign(np.log(curves.x) if scale == "log" else curves.x, curves.dose_weights)
    notes = undefined_breaks(design, stacked[0])
    if len(curves.x) < MINIMUM_DOSES:
        return np.full(stacked.shape[:2], np.nan), notes
    breaks = design.fit(stacked.reshape(-1, len(curves.x))).breakpoint.reshape(stacked.shape[:2])
    return (np.exp(breaks) if scale == "log" else breaks), notes


def _core_fraction(
    curves: DocumentCurves, stacked: Floats, scale: str, share: float, tail: float
) -> tuple[Floats, list[str]]:
    """Return core fractions (1 + replicates × groups), the estimates first, and why they are undefined.

    On the logarithmic scale the isotonic curve is read linearly in the log dose between two doses; up to the first dose
    it stays a straight line from zero.
    """
    weights = plateau_weights(curves.x, PLATEAU)
    if weights is None:
        return np.full(stacked.shape[:2], np.nan), ["undefined: the doses do not cover the plateau"] * stacked.shape[1]
    rows = stacked.reshape(-1, len(curves.x))
    fitted, levels = isotonic(rows, curves.dose_weights), share * (rows @ weights)[:, None]
    found = first_dose_reaching(fitted, curves.x, levels)
    if scale == "log" and curves.x[0] > 0:
        log = np.exp(first_dose_reaching(fitted, np.log(curves.x), levels))
        found = np.where(found < curves.x[0], found, log)
    found = found[:, 0].reshape(stacked.shape[:2])
    low, high = np.quantile(stacked[1:] @ weights, [tail, 1 - tail], axis=0)
    return found, [
        "undefined: the plateau is negative" if high[i] < 0
        else "undefined: the plateau's interval holds zero" if low[i] <= 0
        else "" if np.isfinite(one) else "undefined: not reached"
        for i, one in enumerate(found[0])
    ]  # fmt: skip


def _figures(estimate: float, replicates: Floats, note: str, tail: float, n_documents: int) -> dict[str, float | str]:
    undefined = float(np.isnan(replicates).mean())
    if note:
        return dict(zip(_FIGURES, (np.nan, np.nan, np.nan, np.nan, note), strict=True))
    low, high = (quantile(replicates, level) for level in (tail, 1 - tail))
    if n_documents < MINIMUM_DOCUMENTS:
        low = high = np.nan
        note = f"no interval from fewer than {MINIMUM_DOCUMENTS} documents"
    elif undefined > _MOST_UNDEFINED:
        low = high = np.nan
        note = f"no interval: undefined in {undefined:.0%} of the resamples"
    return dict(zip(_FIGURES, (estimate, low, high, undefined, note), strict=True))
