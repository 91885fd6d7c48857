"""Chart primitives on matplotlib axes: one style, colours that colour-blind readers can tell apart."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

#: Okabe & Ito's palette, black last.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
#: Widths of a journal column and of a page, inches.
COLUMN, PAGE = 3.4, 7.0
_STYLE: Any = {
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "xtick.labelsize": 7, "ytick.labelsize": 7,
    "legend.fontsize": 7, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6,
    "lines.linewidth": 1.2, "figure.constrained_layout.use": True, "savefig.dpi": 200, "pdf.fonttype": 42,
    "svg.fonttype": "none", "legend.frameon": False, "figure.dpi": 120, "text.usetex": False,
    "text.parse_math": False,
}  # fmt: skip


@contextmanager
def chart_style() -> Iterator[None]:
    """Draw in the house style while the context is open."""
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        yield


def draw_band(ax: "Axes", x: "NDArray[np.float64]", mean: Any, low: Any, high: Any, colour: str, label: str) -> None:
    """Draw a curve with its points and a band."""
    ax.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    ax.plot(x, mean, color=colour, marker="o", markersize=2.2, label=label)


def draw_curves(
    ax: "Axes",
    x: "NDArray[np.float64]",
    curves: "NDArray[np.float64]",
    names: Sequence[Hashable],
    *,
    marks: Mapping[Hashable, float],
    x_label: str,
    y_label: str,
) -> None:
    """Draw one curve a group, with a vertical line at each group's mark."""
    for number, (name, curve) in enumerate(zip(names, curves, strict=True)):
        colour = PALETTE[number % len(PALETTE)]
        ax.plot(x, curve, color=colour, marker="o", markersize=2.2, label=str(name))
        if np.isfinite(marks.get(name, np.nan)):
            ax.axvline(marks[name], color=colour, linewidth=0.8, linestyle="--")
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    if 1 < len(names) <= len(PALETTE):
        ax.legend()


def draw_terms(ax: "Axes", terms: "pd.DataFrame") -> None:
    """Draw one point with its interval for each term, first at the top."""
    places = np.arange(len(terms))[::-1]
    errors = np.abs(terms[["conf_low", "conf_high"]].to_numpy(float) - terms[["estimate"]].to_numpy(float)).T
    ax.errorbar(terms["estimate"], places, xerr=errors, fmt="o", color=PALETTE[0], capsize=2)
    ax.axvline(0, color="0.6", linewidth=0.6)
    ax.set_yticks(places, [str(term) for term in terms["term"]])
    ax.set_xlabel("estimate")
