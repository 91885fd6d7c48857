"""The mean effect over 10 to 90 % of the neurons, by arm and outcome: ``plateau.tex``."""

import sys

import pandas as pd
from from_run import FinishedRun, main, only, with_interval

from ripplestats.fits.curve_layout import ALL_LAYERS
from ripplestats.report.wording import ARM_NAMES, METRIC_NAMES, mean_blocks, mean_over


def write(finished: FinishedRun) -> None:
    """Write one row an arm and outcome: the mean over blocks, and block 0."""
    found = []
    overall = mean_over(mean_blocks(finished.manifest))
    for arm in finished.arms:
        for metric, name in METRIC_NAMES.items():
            rows = finished.rows(quantity="plateau", arm=arm, metric=metric)
            if len(rows):
                outcome = name.replace("share of prompts whose first token changed", "first token changed (share)")
                places = {overall: ALL_LAYERS, "block 0": "0"}
                shown = {place: with_interval(only(rows[rows["layer"] == layer])) for place, layer in places.items()}
                found.append({"neurons": ARM_NAMES[arm], "outcome": outcome, **shown})
    if not found:
        finished.sentence("plateau", "The run has no plateau: only keep_top was run.")
        return
    finished.table(
        "plateau",
        pd.DataFrame(found),
        "Plateau Π: the mean effect over 10 to 90 % of the neurons.",
        "95 % intervals by inverting sign-flip tests over documents.",
    )


if __name__ == "__main__":
    sys.exit(main(write, __doc__))
