"""Simulated coverage of intervals and size of tests, from tests/calibration/results: ``calibration.tex``."""

import re
import sys
from pathlib import Path

import pandas as pd
from from_run import ROOT, main_of_results, read_table

from ripplestats.rendering.latex import latex_table
from ripplestats.rendering.numbers import percent
from ripplestats.store.atomic import write_text

RESULTS = ROOT / "tests" / "calibration" / "results"
_QUANTITIES = {
    "threshold": "threshold ψ",
    "core_fraction_0.5": "core fraction φ, 50 %",
    "core_fraction_0.8": "core fraction φ, 80 %",
    "core_fraction_0.9": "core fraction φ, 90 %",
    "plateau": "plateau Π",
}
_METHODS = {
    "inversion": "inverted t test",
    "sign flips": "inverted sign-flip test",
    "t": "t over documents",
    "bootstrap-t": "bootstrap-t",
    "expanded": "expanded percentile",
    "percentile": "percentile",
    "bca": "BCa",
    "wald": "delta method",
}
#: The tests of the claims; the others of size.csv are there for comparison.
_TESTS = ("sign flips", "sup-F")


def sizes() -> pd.DataFrame:
    """Return how often the tests of the claims reject where the null holds."""
    size = read_table(RESULTS / "size.csv")
    return size[size["test"].isin(_TESTS)]


def write(out: Path) -> None:
    """Write two tables: lowest and highest coverage by interval, and shares of rejections by null."""
    coverage = read_table(RESULTS / "coverage.csv")
    frame = pd.DataFrame(
        [
            {
                "quantity": name,
                "interval": method_name,
                **{
                    kind: _range(rows[rows["kind"] == kind]["coverage"])
                    for kind in ("clear", "as in our run", "weak", "edge")
                },
            }
            for quantity, name in _QUANTITIES.items()
            for method, method_name in _METHODS.items()
            if len(rows := coverage[(coverage["quantity"] == quantity) & (coverage["method"] == method)])
        ]
    )
    sets = int(coverage["sets"].min())
    table = latex_table(
        frame,
        caption="Simulated coverage of 95 % intervals, in percent: lowest to highest over the designs of a kind.",
        label="tab:calibration",
        notes=(
            f"{sets:,} data sets a design; Monte-Carlo error at most {100 * coverage['coverage_error'].max():.1f} points. Each "
            "kind of design is run with "
            f"{_words(coverage['documents'])} documents, clear ones and those as in our run with breaks at "
            f"{_words(100 * coverage.loc[coverage['kind'] == 'clear', 'break'])} %.",
        ),
    )
    write_text(out / "calibration.tex", f"{table}\n{_size_table()}")


def _size_table() -> str:
    size = sizes()
    size = size.assign(null=[_null(name) for name in size["null"]])
    wide = (100 * size.set_index(["null", "test", "documents"])["rejected"]).unstack("documents").reset_index()
    counts = [column for column in wide if isinstance(column, int)]
    frame = wide.rename(columns={count: f"{count} documents" for count in counts})
    return latex_table(
        frame,
        caption="Simulated size of the tests of the claims: percent rejected at 5 % where the null holds.",
        label="tab:size",
        notes=(
            f"{int(size['sets'].min()):,} data sets each, {int(size['sets'].max()):,} with the fewest documents, on the boundary "
            "of the null; Monte-Carlo error at most "
            f"{100 * size['rejected_error'].max():.2f} points.",
        ),
        decimals=1,
    )


def _null(name: str) -> str:
    """Return the name of a null as a table has it."""
    name = re.sub(r"phi_(0\.\d)", lambda share: f"φ of {percent(float(share[1]))}", name)
    return re.sub(r"(?<=\d)%", " %", re.sub(r"-(?=\d|margin)", "−", name))


def _range(coverage: pd.Series) -> str:
    return f"{100 * coverage.min():.1f}–{100 * coverage.max():.1f}" if len(coverage) else ""


def _words(values: pd.Series) -> str:
    *most, last = [f"{value:g}" for value in sorted(values.unique())]
    return f"{', '.join(most)} and {last}" if most else last


if __name__ == "__main__":
    sys.exit(main_of_results(write, __doc__))
