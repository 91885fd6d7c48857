"""What keeping the largest activations alone restores: ``sufficiency.tex``, a sentence where keep_top was not run."""

import sys

import pandas as pd
from from_run import FinishedRun, main, only, with_interval

from ripplestats.fits.core import SHARES
from ripplestats.fits.curve_layout import ALL_LAYERS
from ripplestats.rendering.numbers import percent
from ripplestats.report.wording import mean_blocks, mean_over


def write(finished: FinishedRun) -> None:
    """Write necessity beside sufficiency, or that only necessity was run."""
    kept = finished.rows(quantity="core_fraction_kept", arm="keep_top", layer=ALL_LAYERS)
    if kept.empty:
        finished.sentence(
            "sufficiency",
            "Sufficiency was not measured: the arm keep_top is not in this run, so nothing here says how few neurons "
            "are enough by themselves.",
        )
        return
    replaced = finished.rows(quantity="core_fraction", arm="top", layer=ALL_LAYERS)
    names = {"replaced (necessity)": replaced, "kept alone (sufficiency)": kept}
    frame = pd.DataFrame(
        [
            {"neurons": name, **{percent(q): with_interval(only(rows[rows["share"] == q]), 100, 1) for q in SHARES}}
            for name, rows in names.items()
            if len(rows)
        ]
    )
    finished.table(
        "sufficiency",
        frame,
        f"Necessity and sufficiency of the largest activations, {mean_over(mean_blocks(finished.manifest))}.",
        "Replaced: the share of neurons whose replacement costs as much of the plateau. Kept: the share that, kept alone, "
        "wins back as much of what is lost with the fewest kept. In % of neurons, 95 % intervals over documents.",
    )


if __name__ == "__main__":
    sys.exit(main(write, __doc__))
