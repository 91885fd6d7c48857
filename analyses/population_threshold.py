"""The segmented mixed model, whose breaks differ between prompts, beside the break of the mean: ``population_threshold.tex``."""

import sys

import pandas as pd
from from_run import FinishedRun, main, only, with_interval

from ripplestats.fits.curve_layout import ALL_LAYERS

#: Quantities with their names, scale (rates in %, slopes per percentage point) and decimals.
_TERMS = {
    "threshold": ("break of the mean curve ψ (%)", 100, 1),
    "population_threshold": ("mean of prompts' breaks (%)", 100, 1),
    "threshold_sd": ("SD of prompts' breaks (%)", 100, 1),
    "population_intercept": ("intercept", 1, 3),
    "population_height": ("height at the break", 1, 3),
    "population_slope_below": ("slope below the break", 0.01, 4),
    "population_slope_above": ("slope above the break", 0.01, 4),
    "population_sd_intercept": ("SD of the intercept", 1, 3),
    "population_sd_height": ("SD of the height", 1, 3),
    "population_sd_slope_below": ("SD of the slope below", 0.01, 4),
    "population_sd_slope_change": ("SD of the change of slope", 0.01, 4),
    "population_sd_slope_above": ("SD of the slope above", 0.01, 4),
    "population_residual": ("residual SD", 1, 3),
}


def write(finished: FinishedRun) -> None:
    """Write the table of the overall model, or say why there is none."""
    rows = {name: only(finished.rows(quantity=name, arm="top", layer=ALL_LAYERS)) for name in _TERMS}
    population = rows["population_threshold"]
    if population is None:
        finished.sentence("population_threshold", "The run has no segmented mixed model: it needs the arm top.")
        return
    frame = pd.DataFrame(
        [
            {"term": name, "estimate": with_interval(rows[key], scale, decimals)}
            for key, (name, scale, decimals) in _TERMS.items()
            if rows[key] is not None
        ]
    )
    note = population["note"] if isinstance(population["note"], str) else ""
    finished.table(
        "population_threshold",
        frame,
        "Threshold of the mean curve, and of prompts: the segmented mixed model.",
        f"Fitted by: {population['method']}; 95 % intervals. Slopes per percentage point of neurons.",
        f"The model's own warning: {note}" if note else "",
    )


if __name__ == "__main__":
    sys.exit(main(write, __doc__))
