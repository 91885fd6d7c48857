"""Core fractions: by arm, and by the shape of the curve: ``core_fraction.tex``."""

import sys

import pandas as pd
from from_run import FinishedRun, main, only, with_interval

from ripplestats.fits.core import SHARES
from ripplestats.fits.curve_layout import ALL_LAYERS
from ripplestats.fits.run_estimates import PARAMETRIC
from ripplestats.rendering.numbers import percent
from ripplestats.report.wording import ARM_NAMES, mean_blocks, mean_over


def write(finished: FinishedRun) -> None:
    """Write one row an arm and shape of curve, for the mean over blocks."""
    found = []
    for arm in finished.arms:
        rows = finished.rows(parametric=True, quantity="core_fraction", arm=arm, layer=ALL_LAYERS)
        for shape in ("isotonic", *PARAMETRIC):
            mine = rows[rows["method"] == shape] if shape in PARAMETRIC else rows[~rows["method"].isin(PARAMETRIC)]
            if len(mine):
                limits = {percent(q): with_interval(only(mine[mine["share"] == q]), 100, 1) for q in SHARES}
                found.append({"neurons": ARM_NAMES[arm], "curve": shape, **limits})
    if not found:
        finished.sentence("core_fraction", "The run has no core fraction over several blocks.")
        return
    finished.table(
        "core_fraction",
        pd.DataFrame(found),
        f"Core fraction φ of the {mean_over(mean_blocks(finished.manifest))}: the share of neurons whose replacement costs "
        "50, 80 and 90 % of the plateau.",
        "In % of neurons, 95 % intervals: of isotonic curves by inverting t tests over documents, of the parametric "
        "shapes by resampling documents.",
    )


if __name__ == "__main__":
    sys.exit(main(write, __doc__))
