"""What a specification curve holds: a row a specification, and what they say together."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ripplestats.fits.bootstrap import MINIMUM_DOCUMENTS
from ripplestats.fits.curves import Floats
from ripplestats.rendering.charts import PALETTE, legend_above, percent_ticks
from ripplestats.rendering.drawable import Drawable
from ripplestats.rendering.latex import latex_table
from ripplestats.rendering.numbers import fixed, limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: The claims say that the threshold lies below this share of neurons.
LIMIT = 0.10


@dataclass(frozen=True)
class SpecificationCurve(Drawable):
    """One row a specification and quantity.

    ``replicates`` holds their bootstrap values (replicates × rows), ``tail`` is the share of them that an interval leaves
    out at each end. Columns of ``rows``: ``quantity, metric, arm, replacement, site, dose_scale, layer_set, main, estimate, conf_low,
    conf_high, undefined_resamples, note``; estimates are shares of neurons, NaN where undefined.
    """

    rows: pd.DataFrame
    replicates: Floats
    tail: float
    conf_level: float
    share: float
    n_prompts: int
    n_documents: int

    def where(self, **choices: str) -> "SpecificationCurve":
        """Return the specifications that made the given choices, such as ``arm="top"``."""
        kept = np.all([self.rows[name] == level for name, level in choices.items()], axis=0)
        return replace(self, rows=self.rows[kept].reset_index(drop=True), replicates=self.replicates[:, kept])

    def summary(self, by: str | None = None) -> pd.DataFrame:
        """Return one row a quantity (and level of a choice): what the specifications say together.

        Columns ``quantity, [by,] specifications, defined, median, conf_low, conf_high, lowest, highest, below_limit``.
        The interval is that of the median over the specifications that are defined; ``below_limit`` is the share of
        the specifications with an interval in which all of it lies below 10 % of neurons.
        """
        keys = ["quantity"] if by is None else ["quantity", by]
        found = []
        for names, rows in self.rows.groupby(keys, sort=False, observed=True):
            known = rows["estimate"].notna()
            middle = _medians(self.replicates[:, rows.index[known]])
            low, high = (quantile(middle, level) for level in (self.tail, 1 - self.tail))
            if self.n_documents < MINIMUM_DOCUMENTS:
                low = high = np.nan
            inside = rows["conf_high"].dropna() < LIMIT
            found.append(
                {
                    **dict(zip(keys, names, strict=True)),
                    "specifications": len(rows),
                    "defined": int(known.sum()),
                    "median": rows["estimate"].median(),
                    "conf_low": low,
                    "conf_high": high,
                    "lowest": rows["estimate"].min(),
                    "highest": rows["estimate"].max(),
                    "below_limit": inside.mean() if len(inside) else np.nan,
                }
            )
        return pd.DataFrame(found)

    def tidy(self) -> pd.DataFrame:
        """Return one row a specification and quantity."""
        return self.rows.copy()

    def to_latex(self, *, columns: str = "plain", label: str = "") -> str:
        """Return the summary as a booktabs table, in percent of neurons.

        Args:
            columns: ``plain``, or ``siunitx``: columns of numbers are aligned at the point.
            label: to refer to it by.

        Raises:
            InputError: the kind of columns is unknown.
        """
        rows = [
            {
                "quantity": row.quantity.replace("_", " "),
                "specifications": row.specifications,
                "defined": row.defined,
                "median (%)": fixed(row.median, 1, 100),
                f"{self.conf_level:.0%} interval": limits(row.conf_low, row.conf_high, 1, 100),
                "lowest": fixed(row.lowest, 1, 100),
                "highest": fixed(row.highest, 1, 100),
            }
            for row in self.summary().itertuples()
        ]
        return latex_table(
            pd.DataFrame(rows), caption="Specification curve", label=label, notes=(self._counts(),), columns=columns
        )

    def caption(self) -> str:
        """Return in words what ``plot`` shows."""
        named = {"threshold": "threshold", "core_fraction": f"dose of {self.share:.0%} of the plateau"}
        said = [
            f"{named[row.quantity]}: {row.specifications} specifications, median {100 * row.median:.1f} % of neurons"
            for row in self.summary().itertuples()
        ]
        return f"Specification curve; {'; '.join(said)}. {self._counts()}"

    def _counts(self) -> str:
        return (
            f"{self.n_prompts} prompts in {self.n_documents} documents, {self.conf_level:.0%} intervals over documents."
        )

    def _draw(self, ax: "Axes") -> None:
        for number, (quantity, rows) in enumerate(self.rows.groupby("quantity", sort=False)):
            chosen = rows.dropna(subset=["estimate"]).sort_values("estimate", ignore_index=True)
            value, low, high = (100 * chosen[name] for name in ("estimate", "conf_low", "conf_high"))
            ax.vlines(chosen.index, low, high, color=PALETTE[number], alpha=0.35, linewidth=1)
            name = str(quantity).replace("_", " ")
            ax.plot(chosen.index, value, "o", color=PALETTE[number], markersize=2.2, label=name)
        ax.set_yscale("log")
        percent_ticks(ax)
        ax.set(xlabel="specifications, sorted", ylabel=f"% of neurons, {self.conf_level:.0%} interval")
        legend_above(ax)


def quantile(values: Floats, level: float) -> float:
    """Return a quantile of the values that are defined."""
    known = values[np.isfinite(values)]
    return float(np.quantile(known, level)) if len(known) else np.nan


def _medians(replicates: Floats) -> Floats:
    """Return the median over columns of each replicate, undefined values left out."""
    known = replicates[np.isfinite(replicates).any(axis=1)]
    medians: Floats = np.nanmedian(known, axis=1) if known.size else np.empty(0)
    return medians
