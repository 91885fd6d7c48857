"""The tables of the pages: from the committed results of simulations and of R, and from the package, at build time."""

import io
import os
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from importlib import import_module
from unittest.mock import patch

import pandas as pd

from docs.making.blocks import ROOT
from docs.making.markdown import markdown
from docs.making.references import REFERENCES
from docs.making.scale import scale_table
from docs.making.speed import speed_table

RESULTS = ROOT / "tests" / "calibration" / "results"
_PARSERS = {
    "run": ("ripplestats.arguments", "parse_arguments"),
    "plan": ("ripplestats.plan", "parse_arguments"),
    "status": ("ripplestats.status", "main"),
}
_INTERVALS = {
    "inversion": "inverted t tests", "sign flips": "inverted sign-flip tests", "t": "t over documents",
    "expanded": "expanded percentile", "percentile": "percentile",
    "bca": "BCa", "bootstrap-t": "bootstrap-t", "wald": "Wald (delta method)",
}  # fmt: skip
_KINDS = {
    "clear": "clear: noise 0.3 of the plateau", "as in our run": "as in the demo run: noise 1.0",
    "weak": "weak kink", "edge": "break at an edge",
}  # fmt: skip


def table(directive: str) -> str:
    """Return the Markdown table that a directive such as ``coverage threshold`` asks for.

    Raises:
        KeyError: there is no such table.
    """
    name, *arguments = directive.split()
    return TABLES[name](*arguments)


def coverage(quantity: str) -> str:
    """Return lowest and highest coverage of each interval of a quantity in each family of designs."""
    found = _coverage(quantity)
    kinds = [kind for kind in _KINDS if kind in set(found["kind"])]
    rows = []
    for method, words in _INTERVALS.items():
        part = found[found["method"] == method]
        if len(part):
            rows.append([words, *(_range(part.loc[part["kind"] == kind, "coverage"]) for kind in kinds)])
    return markdown(rows, ["coverage of 95 % intervals, lowest to highest", *(_KINDS[kind] for kind in kinds)])


def coverage_by_size(quantity: str, method: str) -> str:
    """Return coverage and median length of one interval for each true break and number of documents."""
    found = _coverage(quantity).query("kind == 'as in our run' and method == @method")
    sizes = sorted(found["documents"].unique())
    rows = []
    for place, part in found.groupby("break"):
        by_size = part.set_index("documents")
        truth = f"{100 * part['truth'].iloc[0]:.2g} %" if quantity != "plateau" else f"{part['truth'].iloc[0]:.2f}"
        cells = [f"{100 * by_size.loc[size, 'coverage']:.1f} %" for size in sizes]
        rows.append([f"{100 * float(str(place)):g} %", truth, *cells])
    heads = ["mean of prompts' breaks", "true value", *(f"{size} documents" for size in sizes)]
    return markdown(rows, heads, numbers_from=0)


def sizes(pattern: str) -> str:
    """Return how often tests of true nulls reject at 5 %; ``pattern`` is how the nulls' names begin."""
    found = pd.read_csv(RESULTS / "size.csv")
    found = found[found["null"].str.startswith(pattern)]
    counts = sorted(found["documents"].unique())
    rows = []
    for (null, test), part in found.groupby(["null", "test"], sort=False):
        by_count = part.set_index("documents")["rejected"]
        rows.append([str(null), str(test), *(f"{100 * by_count[count]:.1f} %" for count in counts)])
    heads = ["true null", "test", *(f"{count} documents" for count in counts)]
    return markdown(rows, heads, numbers_from=2)


def power() -> str:
    """Return how often sup-F finds a kink, by the part of the curve that has it."""
    found = pd.read_csv(RESULTS / "power.csv").pivot(index="kink", columns="documents", values="rejected")
    rows = [[f"{100 * float(str(kink)):g} %", *(f"{100 * one:.0f} %" for one in row)] for kink, row in found.iterrows()]
    return markdown(rows, ["part of the curve with a kink", *(f"{count} documents" for count in found.columns)])


def population() -> str:
    """Return coverage and bias of the population threshold."""
    found = pd.read_csv(RESULTS / "mixed_model.csv")
    breaks = sorted(found["break"].unique())
    rows = []
    for (kind, method, documents), part in found.groupby(["kind", "method", "documents"], sort=False):
        cells = {
            at: f"{100 * row.coverage:.0f} % ({100 * row.bias / row.truth:+.0f} %)"
            for at, row in zip(part["break"], part.itertuples(), strict=True)
        }
        rows.append(
            [kind, method, documents, part["sets"].iloc[0], *(cells.get(one, "not simulated") for one in breaks)]
        )
    heads = ["data", "model", "documents", "data sets", *(f"true mean {100 * one:g} %" for one in breaks)]
    return markdown(rows, heads, numbers_from=2)


def sequential() -> str:
    """Return coverage at the stop for each rule of stopping, and what it costs in documents."""
    found = pd.read_csv(RESULTS / "sequential.csv")
    rows = []
    for rule, part in found.groupby("rule", sort=False):
        rows.append([rule, _range(part["coverage"]), f"{100 * part['coverage'].mean():.1f} %", len(part)])
    heads = ["rule", "coverage, lowest to highest", "mean", "designs"]
    return markdown(rows, heads)


def command_help(command: str) -> str:
    """Return the help of one of the command lines, as a block of text."""
    name, function = _PARSERS[command]
    parse = getattr(import_module(name), function)
    stream = io.StringIO()
    with redirect_stdout(stream), suppress(SystemExit), patch.dict(os.environ, {"COLUMNS": "100"}):
        parse(["--help"])
    return f"```text\n{stream.getvalue().rstrip()}\n```"


def _coverage(quantity: str) -> pd.DataFrame:
    found = pd.read_csv(RESULTS / "coverage.csv")
    found = found[found["quantity"] == quantity]
    if found.empty:
        raise KeyError(quantity)
    return found


def _range(shares: pd.Series) -> str:
    shares = shares.dropna()
    return f"{100 * shares.min():.1f}–{100 * shares.max():.1f}\N{NO-BREAK SPACE}%" if len(shares) else "–"


TABLES: dict[str, Callable[..., str]] = {
    "coverage": coverage, "coverage-by-size": lambda name, *words: coverage_by_size(name, " ".join(words)), "sizes": lambda *words: sizes(" ".join(words)),
    "power": power, "population": population, "sequential": sequential, "reference": lambda name: REFERENCES[name](),
    "scale": scale_table, "help": command_help, "speed": speed_table,
}  # fmt: skip
