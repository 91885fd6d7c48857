"""The median against other values to replace by: ``replacement.tex``, a sentence where only one was run."""

import sys

import pandas as pd
from from_run import FinishedRun, main, only, with_interval

from ripplestats.fits.curve_layout import ALL_LAYERS
from ripplestats.fits.run_estimates import UNITS
from ripplestats.report.wording import mean_blocks, mean_over


def write(finished: FinishedRun) -> None:
    """Write one row a replacement, or that there is one only."""
    names = list(dict.fromkeys(finished.estimates["replacement"]))
    if len(names) == 1:
        finished.sentence(
            "replacement",
            f"Claim 6 was not tested: the only replacement in this run is the {names[0]}; zero and mean are not in it.",
        )
        return
    arm, unit = finished.arms[0], UNITS[finished.metric]
    found = []
    for name in names:
        cells = {"replaced by": name}
        for title, quantity, scale, decimals in (
            (f"plateau ({unit})", "plateau", 1, 3), ("threshold ψ (%)", "threshold", 100, 1)
        ):  # fmt: skip
            rows = finished.rows(quantity=quantity, arm=arm, replacement=name, layer=ALL_LAYERS)
            cells[title] = with_interval(only(rows), scale, decimals)
        test = only(
            finished.claims[
                (finished.claims["claim"] == f"6 median against {name}") & (finished.claims["layer"] == ALL_LAYERS)
            ]
        )
        cells["more than the median"] = with_interval(test)
        cells["decision"] = "" if test is None else str(test["decision"])
        found.append(cells)
    finished.table(
        "replacement",
        pd.DataFrame(found),
        f"What the same neurons are replaced by: {mean_over(mean_blocks(finished.manifest))}.",
        "95 % intervals over documents. The last two columns are claim 6.",
    )


if __name__ == "__main__":
    sys.exit(main(write, __doc__))
