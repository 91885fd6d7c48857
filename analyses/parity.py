"""What is held against R, and how far ours is from it, measured on the data of tests/reference: ``parity.tex``."""

import sys
from pathlib import Path

import pandas as pd
from from_run import ROOT, main_of_results

from ripplestats.rendering.latex import latex_table
from ripplestats.store.atomic import write_text

sys.path.append(str(ROOT))

from tests.reference.parity import PACKAGES, R_VERSION, parity


def write(out: Path) -> None:
    """Write one row a comparison, with the largest difference that was just measured."""
    frame = pd.DataFrame(
        [
            {
                "ours": line.ours,
                "R": f"{line.package}: {line.function}",
                "compared": line.compared,
                "numbers": line.numbers,
                "measure": line.measure,
                "largest difference": line.number(line.difference),
                "asked for": line.number(line.tolerance),
            }
            for line in parity()
        ]
    )
    packages = ", ".join(f"{name} {version}" for name, version in PACKAGES.items() if name != "stats")
    table = latex_table(
        frame,
        caption="What is held against R, and the largest difference, measured when this table was made.",
        label="tab:parity",
        notes=(
            f"R {R_VERSION}; {packages}. Worse: by how much our sum of squares (as a share) or log-likelihood is the worse one. "
            "Ranks: of bootstrap replicates, for quantiles that R defines otherwise.",
        ),
    )
    write_text(out / "parity.tex", table)


if __name__ == "__main__":
    sys.exit(main_of_results(write, __doc__))
