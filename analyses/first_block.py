"""Block 0 against the others: ``first_block.tex``."""

import sys

import pandas as pd
from from_run import FinishedRun, main, only, with_interval

from ripplestats.fits.curve_layout import ALL_LAYERS
from ripplestats.fits.run_estimates import UNITS
from ripplestats.hypotheses.claims import FIRST_BLOCK, FIRST_BLOCK_TOP1
from ripplestats.rendering.numbers import p_value


def write(finished: FinishedRun) -> None:
    """Write plateaus of both, and their difference as tested by claim 4."""
    found = []
    outcomes = {
        f"effect ({UNITS[finished.metric]})": (finished.metric, FIRST_BLOCK),
        "first token changed (share)": ("top1_changed", FIRST_BLOCK_TOP1),
    }
    for outcome, (metric, claim) in outcomes.items():
        rows = finished.rows(quantity="plateau", arm="top", metric=metric)
        test = only(finished.claims[finished.claims["claim"] == claim])
        if test is not None and {"0", ALL_LAYERS} <= set(rows["layer"]):
            first, others = (with_interval(only(rows[rows["layer"] == layer])) for layer in ("0", ALL_LAYERS))
            found.append(
                {
                    "outcome": outcome,
                    "block 0": first,
                    "mean of the others": others,
                    "difference": with_interval(test),
                    "p": p_value(test["p_value"]),
                    "decision": test["decision"],
                }
            )
    if not found:
        finished.sentence("first_block", "Block 0 cannot be compared: it, or every other block, was not run.")
        return
    finished.table(
        "first_block",
        pd.DataFrame(found),
        "The first block against the others: means over 10 to 90 % of the neurons.",
        "95 % intervals over documents, by inverting sign-flip tests; that of the difference inverts the tests that p is of.",
    )


if __name__ == "__main__":
    sys.exit(main(write, __doc__))
