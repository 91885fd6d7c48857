"""Dose–response curves with bands, laid over each other; thresholds by layer; sufficiency against necessity."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ripplestats.fits.bootstrap import resample_documents, simultaneous_band
from ripplestats.fits.curve_layout import ALL_LAYERS, Cell
from ripplestats.fits.curves import DocumentCurves, Floats
from ripplestats.fits.run_estimates import main_rows
from ripplestats.fits.sufficiency import shares_of_whole
from ripplestats.report.page.blocks import Curves, beside, colours, of_main
from ripplestats.report.page.plain import numbers, text
from ripplestats.report.wording import ARM_NAMES

_AXES = {"arm": "which neurons", "replacement": "replaced by what", "site": "where"}
#: What a threshold's row says beside its number.
_LIMITS = ("estimate", "conf_low", "conf_high")


def comparisons(curves: Curves, main: Cell, estimates: pd.DataFrame, n_boot: int, seed: int) -> list[dict[str, Any]]:
    """Return sets of curves that differ in one thing: arms first, then replacements and sites, if there are several."""
    found = []
    for axis, name in _AXES.items():
        chosen = beside(curves, main, axis)
        if axis == "arm" and len(chosen) > 1:
            # Its doses are shares kept, not replaced: it has a chart of its own.
            chosen.pop("keep_top", None)
        if axis != "arm" and len(chosen) < 2:
            continue
        palette = colours(curves, main, axis)
        series = [
            {
                "name": ARM_NAMES.get(one, one) if axis == "arm" else one,
                "colour": palette[one],
                **_band(curves_of_one, n_boot, seed),
                "thresholds": thresholds(of_main(estimates, main._replace(**{axis: one}))),
            }
            for one, curves_of_one in chosen.items()
        ]
        found.append({"name": name, "series": series})
    return found


def _band(curves: DocumentCurves, n_boot: int, seed: int) -> dict[str, Any]:
    resamples = resample_documents(curves.n_documents, n_boot, np.random.default_rng(seed))
    _, half = simultaneous_band(curves, resamples)
    return {
        "groups": [str(group) for group in curves.groups],
        "rates": numbers(100 * curves.x),
        "mean": numbers(curves.pooled()),
        "half": numbers(half),
    }


def thresholds(rows: pd.DataFrame) -> dict[str, Any]:
    """Return each layer's threshold: estimate and limits in percent, and why it is undefined."""
    rows = main_rows(rows[rows["quantity"] == "threshold"])
    return {
        str(row["layer"]): [*numbers([100 * row[name] for name in _LIMITS]), text(row["note"])]
        for row in rows.to_dict("records")
    }


def sufficiency(curves: Curves, main: Cell, estimates: pd.DataFrame) -> dict[str, Any] | None:
    """Set what replacing the largest neurons destroys against what keeping them alone restores; None where not run.

    Each as a share of its own whole: necessity of the effect at the largest dose of ``top``, sufficiency of the effect
    with the fewest neurons of ``keep_top`` kept. Not given for a layer in which that whole is not positive.
    """
    top, kept = (curves.get(main._replace(arm=arm)) for arm in ("top", "keep_top"))
    if top is None or kept is None:
        return None
    groups = [group for group in top.groups if group in kept.groups]
    shares = shares_of_whole(top, kept, groups)
    necessary, sufficient = (
        {"rates": numbers(100 * one.x), "effect": numbers(_means(one, groups)), "share": numbers(share)}
        for one, share in zip((top, kept), shares, strict=True)
    )
    return {
        "groups": [str(group) for group in groups],
        "necessary": necessary,
        "sufficient": sufficient,
        "fractions": list(_fractions(estimates, main)),
    }


def _means(curves: DocumentCurves, groups: list[Any]) -> Floats:
    mean: Floats = curves.pooled()[[curves.groups.index(group) for group in groups]]
    return mean


def _fractions(estimates: pd.DataFrame, main: Cell) -> Iterator[dict[str, Any]]:
    for arm, quantity in (("top", "core_fraction"), ("keep_top", "core_fraction_kept")):
        rows = main_rows(of_main(estimates, main._replace(arm=arm)))
        for row in rows[(rows["quantity"] == quantity) & (rows["layer"] == ALL_LAYERS)].to_dict("records"):
            yield {
                "what": "replaced, destroys" if arm == "top" else "kept alone, restores",
                "share": numbers(100 * row["share"]),
                "limits": numbers([100 * row[name] for name in _LIMITS]),
                "note": text(row["note"]),
            }
