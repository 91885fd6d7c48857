"""The terms of a piecewise line → the line itself, to be drawn."""

from collections.abc import Hashable
from typing import TYPE_CHECKING

import numpy as np

from ripplestats.fits.curves import Floats
from ripplestats.rendering.charts import Line

if TYPE_CHECKING:
    import pandas as pd

#: Points of a line, which is bent between doses where their axis is not its own.
_POINTS = 400


def piecewise_lines(terms: "pd.DataFrame", x: Floats, scale: str) -> dict[Hashable, Line]:
    """Return doses and values of each group's line, without groups whose line is undefined.

    Args:
        terms: columns ``group, term, estimate``: breaks as doses (``threshold…``), the intercept, and slopes from left to
            right (``slope…``), of the line on the scale.
        x: the doses.
        scale: ``linear``, or ``log``: the line is one in the logarithm of the dose.
    """
    dense = np.linspace(x[0], x[-1], _POINTS) if not x[0] > 0 else np.geomspace(x[0], x[-1], _POINTS)
    lines = {}
    for group, rows in terms.groupby("group", sort=False):
        breaks, intercept, slopes = (_of(rows, name) for name in ("threshold", "intercept", "slope"))
        if not np.isfinite(np.concatenate([breaks, intercept, slopes])).all():
            continue
        at = np.sort(np.concatenate([dense, breaks]))
        on, bends = (np.log(at), np.log(breaks)) if scale == "log" else (at, breaks)
        bent = np.maximum(on[:, None] - bends, 0) @ np.diff(slopes)
        lines[group] = at, intercept[0] + slopes[0] * on + bent
    return lines


def _of(rows: "pd.DataFrame", name: str) -> Floats:
    found: Floats = rows.loc[rows["term"].str.startswith(name), "estimate"].to_numpy(float)
    return found
