"""A run directory in, one table or figure out: what the scripts beside this one share.

Each script says what it writes in its docstring, and runs alone:

    python analyses/threshold.py runs/wikitext-smollm2-135m --out paper/generated

``python analyses RUN`` runs all of them. They compute nothing themselves: numbers are those of the run's ``estimates.csv``
and ``claims.csv``, or come from functions of the package.
"""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ripplestats.errors import RippleStatsError, RunError
from ripplestats.fits.curve_layout import Cell
from ripplestats.fits.curves import DocumentCurves
from ripplestats.fits.run_estimates import cell_curves, main_metric, main_rows
from ripplestats.rendering import numbers
from ripplestats.rendering.figure_files import figure_file
from ripplestats.rendering.latex import escape, latex_table
from ripplestats.rendering.provenance import details, provenance
from ripplestats.report.wording import design_effect
from ripplestats.store.atomic import write_text
from ripplestats.store.run_directory import Run, open_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
GENERATED = ROOT / "paper" / "generated"


@dataclass(frozen=True)
class FinishedRun:
    """A run that has been analysed, and the folder for what is made of it."""

    run: Run
    out: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What the run was."""
        return self.run.manifest

    @cached_property
    def estimates(self) -> pd.DataFrame:
        """The rows of estimates.csv."""
        return self.run.estimates()

    @cached_property
    def claims(self) -> pd.DataFrame:
        """The rows of claims.csv."""
        return read_table(self.run.path / "claims.csv", layer=str)

    @cached_property
    def metric(self) -> str:
        """The outcome that tables and claims are about."""
        return main_metric(self.estimates["metric"])

    @cached_property
    def arms(self) -> list[str]:
        """The arms that were run, the one of interest first."""
        arms = list(dict.fromkeys(self.estimates["arm"]))
        return sorted(arms, key=lambda arm: arm != "top")

    @cached_property
    def curves(self) -> dict[Cell, DocumentCurves]:
        """Documents' curves of the main outcome."""
        return cell_curves(self.run, (self.metric,))

    @cached_property
    def design_effect(self) -> str:
        """What it costs that documents hold several prompts, for the note of a table."""
        return design_effect(self.estimates)

    def rows(self, *, parametric: bool = False, **wanted: object) -> pd.DataFrame:
        """Return estimates with these values, in the first replacement and site unless these are named.

        Curves' quantities come with the interval that covers best, unless a method is named; those of ``parametric``
        curves only where asked for.
        """
        first = self.estimates.iloc[0]
        asked = {"metric": self.metric, "replacement": first["replacement"], "site": first["site"], **wanted}
        rows = self.estimates if "method" in wanted else main_rows(self.estimates, parametric=parametric)
        for column, value in asked.items():
            if value is not None:
                rows = rows[rows[column] == value]
        return rows

    def table(self, stem: str, frame: pd.DataFrame, caption: str, *notes: str, label: str = "") -> None:
        """Write ``stem.tex``: a booktabs table that says what was run."""
        rows = (*notes, details(self.manifest), self.design_effect)
        text = latex_table(frame, caption=caption, label=label or f"tab:{stem.replace('_', '-')}", notes=rows)
        write_text(self.out / f"{stem}.tex", text)

    def sentence(self, stem: str, text: str) -> None:
        """Write ``stem.tex``: a sentence in the place of a table that the run does not allow."""
        write_text(self.out / f"{stem}.tex", f"{escape(text)}\n")

    def figure(self, stem: str, size: tuple[float, float]) -> "AbstractContextManager[Figure]":
        """Open the figure ``stem.pdf`` and ``stem.png``."""
        return figure_file(self.out / stem, provenance(self.manifest), size)


def main(write: Callable[[FinishedRun], None], description: str | None, arguments: Sequence[str] | None = None) -> int:
    """Read the command line, write what is made of a run, and say where; return the exit code."""
    parser = _parser(description)
    parser.add_argument("run", type=Path, help="a run directory that has been analysed")
    options = parser.parse_args(arguments)
    return _reported(lambda: write(FinishedRun(open_run(options.run), options.out)), options.out)


def main_of_results(
    write: Callable[[Path], None], description: str | None, arguments: Sequence[str] | None = None
) -> int:
    """Do the same for what is made of the repository's committed results, whatever the run."""
    parser = _parser(description)
    parser.add_argument("run", type=Path, nargs="?", help="not read")
    options = parser.parse_args(arguments)
    return _reported(lambda: write(options.out), options.out)


def _parser(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=GENERATED, help="folder for what is written (default %(default)s)")
    return parser


def _reported(work: Callable[[], None], out: Path) -> int:
    try:
        work()
    except RippleStatsError as error:
        print(f"{Path(sys.argv[0]).stem}: {error}", file=sys.stderr)
        return error.exit_code
    print(f"in {out}")
    return 0


def read_table(file: Path, **types: type) -> pd.DataFrame:
    """Return a CSV of a run or of the committed results.

    Raises:
        RunError: there is none.
    """
    if not file.exists():
        raise RunError(f"{file} does not exist; a run gets it by --fit-only --out {file.parent}")
    return pd.read_csv(file, dtype=types)


def with_interval(row: "pd.Series | None", scale: float = 1, decimals: int = 3) -> str:
    """Return ``estimate [low, high]`` of a row, or nothing where it is undefined (a dash in tables).

    The row of a claim has a margin, from which the limits can then be told.
    """
    if row is None:
        return ""
    shown, margin = (row[name] for name in ("estimate", "conf_low", "conf_high")), row.get("margin", math.nan)
    return numbers.with_interval(*shown, decimals, scale, margin=margin)


def only(rows: pd.DataFrame) -> "pd.Series | None":
    """Return the first row, or None where there is none."""
    return rows.iloc[0] if len(rows) else None
