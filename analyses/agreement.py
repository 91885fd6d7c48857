"""One-pass engine against the hooked forward pass, by model family, from benchmarks/results: ``agreement.tex``."""

import json
import sys
from pathlib import Path

import pandas as pd
from from_run import ROOT, main_of_results

from ripplestats.rendering.latex import BLANK, latex_table
from ripplestats.rendering.numbers import scientific
from ripplestats.store.atomic import write_text

RESULTS = ROOT / "benchmarks" / "results"


def write(out: Path) -> None:
    """Write one row a family, with the largest difference among its variants."""
    found = json.loads((RESULTS / "families.json").read_text(encoding="utf-8"))
    families = pd.DataFrame(found["families"].values())
    frame = pd.DataFrame(
        [
            {
                "family": name,
                "variants": str(len(rows)),
                "cells": f"{int(rows['cells'].sum()):,}" if rows["cells"].sum() else "",
                "difference": scientific(rows["largest_difference"].max()),
            }
            for name, rows in families.groupby("row", sort=False)
        ]
    )
    half = -(-len(frame) // 2)
    beside = frame.iloc[half:].reset_index(drop=True).reindex(range(half), fill_value=BLANK)
    table = latex_table(
        pd.concat([frame.iloc[:half], beside], axis=1),
        caption="The one-pass engine against plain hooked forward passes, by model family.",
        label="tab:agreement",
        notes=(
            "Small random networks of each family: every arm, replacement and site; difference: the largest over all "
            "cells in logit, log-probability (nats) and divergence (nats), in float32. A dash: the family falls back to "
            f"hooks, which are the definition. transformers {found['transformers']}, torch {found['torch']}.",
        ),
    )
    write_text(out / "agreement.tex", table)


if __name__ == "__main__":
    sys.exit(main_of_results(write, __doc__))
