"""Threshold rate: by block as ``threshold.pdf``, ``.png``; by arm, outcome and kind of interval as ``threshold.tex``."""

import sys

import pandas as pd
from from_run import FinishedRun, main, only, with_interval

from ripplestats.fits.curve_layout import ALL_LAYERS
from ripplestats.fits.run_estimates import CELLS
from ripplestats.rendering.charts import PAGE
from ripplestats.report.figures import draw_threshold_by_layer
from ripplestats.report.wording import ARM_NAMES, mean_blocks, mean_over

_INTERVALS = {
    "inverted test": "inverted test over documents",
    "bootstrap, expanded": "document bootstrap, expanded percentile",
    "BCa": "document bootstrap, BCa",
    "delta method": "delta method",
}
_OUTCOMES = {"delta_logprob": "log-prob.", "delta_logit": "logit", "kl": "KL"}


def write(finished: FinishedRun) -> None:
    """Write the figure of the first arm, and the table."""
    blocks = mean_blocks(finished.manifest)
    first = finished.estimates.iloc[0]
    rows = finished.estimates[
        (finished.estimates[CELLS] == [finished.arms[0], first["replacement"], first["site"]]).all(axis=1)
    ]
    with finished.figure("threshold", (0.75 * PAGE, 2.4)) as page:
        draw_threshold_by_layer(page, rows, blocks)
    found = []
    for arm in finished.arms:
        for metric, outcome in _OUTCOMES.items():
            wanted = {"quantity": "threshold", "arm": arm, "metric": metric, "layer": ALL_LAYERS}
            by_method = {name: only(finished.rows(method=method, **wanted)) for name, method in _INTERVALS.items()}
            limits = {name: with_interval(row, 100, 1).partition(" ")[2] or "" for name, row in by_method.items()}
            row = next((one for one in by_method.values() if one is not None), None)
            if row is not None:
                estimate = with_interval(row, 100, 1).partition(" ")[0]
                found.append({"neurons": ARM_NAMES[arm], "outcome": outcome, "ψ (%)": estimate, **limits})
    if not found:
        finished.sentence("threshold", "The run has no mean over several blocks, and so no threshold of it.")
        return
    finished.table(
        "threshold",
        pd.DataFrame(found),
        f"Threshold rate ψ of the {mean_over(blocks)}, by neurons replaced and outcome, with 95 % intervals of four kinds.",
        "In % of neurons. The first interval is the one that covers best by simulation; the last is shown because it is "
        "the usual one, and it does not cover.",
    )


if __name__ == "__main__":
    sys.exit(main(write, __doc__))
