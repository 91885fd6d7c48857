"""The research note's claims and what the run says of each: ``claims.tex``."""

import sys

import pandas as pd
from from_run import FinishedRun, main, with_interval

from ripplestats.fits.curve_layout import ALL_LAYERS
from ripplestats.hypotheses.claims import UNDEFINED
from ripplestats.rendering.numbers import p_value
from ripplestats.report.tables import UNRECORDED
from ripplestats.report.wording import mean_blocks

_DECISIONS = ("supported", "refuted", "undecided")


def write(finished: FinishedRun) -> None:
    """Write one row a claim that has a decision."""
    claims = finished.claims[finished.claims["decision"].notna()]
    if claims.empty:
        finished.sentence("claims", "No claim could be tested: they need the arm top with the median.")
        return
    found = []
    for name, rows in claims.groupby("claim", sort=False):
        overall, blocks = (rows[(rows["layer"] == ALL_LAYERS) == wanted] for wanted in (True, False))
        one = (overall if len(overall) else blocks).iloc[0]
        counts = blocks["decision"].value_counts()
        found.append(
            {
                "claim": name,
                "estimate": with_interval(one),
                "limit": f"{one['margin']:g}",
                "p": p_value(one["p_value"]),
                "decision": one["decision"],
                "blocks": "/".join(str(counts.get(word, 0)) for word in _DECISIONS) if len(overall) else "",
            }
        )
    finished.table(
        "claims",
        pd.DataFrame(found),
        "The research note's claims, and what this run says of each.",
        f"Over {mean_blocks(finished.manifest)}; claim 4: block 0 against the others. Estimates are shares of neurons "
        "(2, 3), nats (1, 4, 5, 6) or shares. Limit: the margin or bound set beforehand. Blocks: how many by themselves are "
        "supported/refuted/undecided. Intervals 95 %, of claim 1 90 % (two one-sided tests at 5 %). Each p is of one hypothesis "
        "and not adjusted; those of single blocks are, over the blocks.",
        UNRECORDED if claims["null"].str.contains(UNDEFINED, regex=False).any() else "",
    )


if __name__ == "__main__":
    sys.exit(main(write, __doc__))
