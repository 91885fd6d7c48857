"""Whether the main fit may be believed: its residuals, single documents' influence on it, and what the fits warn of."""

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ripplestats.fits.breakpoint import MINIMUM_DOSES
from ripplestats.fits.curve_layout import ALL_LAYERS, Cell
from ripplestats.fits.curves import DocumentCurves, Floats
from ripplestats.fits.run_estimates import main_rows
from ripplestats.fits.saturation import plateau_weights
from ripplestats.fits.segmented import two_phase_statistic
from ripplestats.report.page.blocks import of_main
from ripplestats.report.page.plain import numbers, text, title
from ripplestats.report.wording import ARM_NAMES, METRIC_NAMES, named_blocks

if TYPE_CHECKING:
    from ripplestats.store.run_directory import Run

#: Documents shown: those that move an estimate most.
_SHOWN = 15
_DEGREES = re.compile(r"^[\d.]+ df\.\s*")
#: Warnings shown; all are in estimates.csv.
MOST_WARNINGS = 40


def residuals(curves: DocumentCurves) -> dict[str, Any] | None:
    """Return mean curves less their two-phase lines, and the curves' standard errors; None with too few doses."""
    if len(curves.x) < MINIMUM_DOSES:
        return None
    mean = curves.pooled()
    fitted = two_phase_statistic(curves.x, curves.dose_weights)(mean)
    breaks, intercept, below, above = (one[:, None] for one in fitted.T)
    line = intercept + below * np.minimum(curves.x, breaks) + above * np.maximum(curves.x - breaks, 0.0)
    errors = np.sqrt(np.einsum("grr->gr", curves.covariances()))
    return {
        "groups": [str(group) for group in curves.groups],
        "rates": numbers(100 * curves.x),
        "residual": numbers(mean - line),
        "std_error": numbers(errors if curves.n_documents > 1 else np.full_like(errors, np.nan)),
    }


def left_out(curves: DocumentCurves) -> Floats:
    """Return the first group's mean curve without each document: documents × doses."""
    values, weights = curves.values[:, 0], curves.weights[:, None]
    total = weights.sum()
    without: Floats = (total * curves.pooled()[0] - weights * values) / (total - weights)
    return without


def influence(run: "Run", curves: DocumentCurves, estimates: pd.DataFrame, main: Cell) -> list[dict[str, Any]]:
    """Return how far the first group's threshold and plateau move as each document is left out, in standard errors.

    Only the documents that move one of them most; nothing with fewer than three.
    """
    if curves.n_documents < 3:
        return []
    curve, without = curves.pooled()[:1], left_out(curves)
    rows = main_rows(of_main(estimates, main))
    rows = rows[rows["layer"] == str(curves.groups[0])]
    moved: dict[str, Floats] = {}
    if len(curves.x) >= MINIMUM_DOSES:
        statistic = two_phase_statistic(curves.x, curves.dose_weights)
        moved["threshold"] = statistic(curve)[0, 0] - statistic(without)[:, 0]
    weights = plateau_weights(curves.x)
    if weights is not None:
        moved["plateau"] = (curve - without) @ weights
    scaled = {name: shift / _std_error(rows, name) for name, shift in moved.items()}
    scaled = {name: shift for name, shift in scaled.items() if np.isfinite(shift).all()}
    if not scaled:
        return []
    order = np.argsort(-np.abs(np.stack(list(scaled.values()))).max(axis=0), kind="stable")[:_SHOWN]
    names = _documents(run, curves)
    return [
        {"document": names[place], "quantity": name, "shift": numbers(shift[place])}
        for place in order.tolist()
        for name, shift in scaled.items()
    ]


def _std_error(rows: pd.DataFrame, quantity: str) -> float:
    found = rows[(rows["quantity"] == quantity) & rows["estimate"].notna()]["std_error"].to_numpy(float)
    return float(found[0]) if len(found) and found[0] > 0 else np.nan


def _documents(run: "Run", curves: DocumentCurves) -> list[str]:
    """Return the names of the units, which stand in the order of the documents' numbers."""
    prompts = run.prompts().drop_duplicates("document_id").sort_values("document_id")
    if len(prompts) != curves.n_documents:
        return [f"group of documents {place}" for place in range(curves.n_documents)]
    names = [
        title(row["document_title"], f"document {row['document_id']}")
        for row in prompts[["document_id", "document_title"]].to_dict("records")
    ]
    numbered = zip(names, prompts["document_id"], strict=True)
    return [f"{name} ({number})" if names.count(name) > 1 else name for name, number in numbered]


def warnings(estimates: pd.DataFrame) -> tuple[list[dict[str, str]], int]:
    """Return what fits say of themselves, each once with where it was said, and how many more there are."""
    rows = estimates[["quantity", "arm", "metric", "layer", "method", "note"]].copy()
    rows["note"] = [_DEGREES.sub("", text(note)) for note in rows["note"]]
    rows = rows[rows["note"] != ""]
    found = [
        {
            "note": str(note),
            "method": str(method),
            "of": ", ".join(dict.fromkeys(name.replace("_", " ") for name in group["quantity"])),
            "where": _where(group),
            "rows": str(len(group)),
        }
        for (note, method), group in rows.groupby(["note", "method"], sort=False)
    ]
    return found[:MOST_WARNINGS], max(len(found) - MOST_WARNINGS, 0)


def _where(rows: pd.DataFrame) -> str:
    """Return arms, outcomes and blocks of rows, in words."""
    layers = set(rows["layer"].astype(str))
    blocks = sorted(int(layer) for layer in layers - {ALL_LAYERS})
    parts = ["mean over blocks"] * (ALL_LAYERS in layers) + [named_blocks(blocks)] * bool(blocks)
    arms, metrics = (
        ", ".join(names.get(one, one) for one in dict.fromkeys(rows[column]))
        for column, names in (("arm", ARM_NAMES), ("metric", METRIC_NAMES))
    )
    return f"{arms}; {metrics}; {', '.join(parts)}"
