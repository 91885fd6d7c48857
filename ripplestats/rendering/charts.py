"""Chart primitives on matplotlib axes: one style, colours that colour-blind readers can tell apart."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
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
#: A slide of 16 by 9: shown as wide as a wall, its text of 8 points is one of 17 beside a slide of 13.3 inches.
SLIDE = (6.3, 6.3 * 9 / 16)
#: Width and height of a picture by the name of its width, inches.
SIZES = {"column": (COLUMN, 2.6), "page": (PAGE, 3.2), "slide": SLIDE}
#: x and y of a line.
Line = tuple["NDArray[np.float64]", "NDArray[np.float64]"]
#: Intervals of more groups than this hide each other.
_FEW = 2
#: Legends: most columns, and inches: beside the axes, and of a key with its gaps.
_MOST_COLUMNS, _BESIDE_LEGEND, _KEY = 4, 0.55, 0.36
#: Doses are drawn on a logarithmic axis where the largest is so many times the least.
_DECADES = 30
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
    marks: Mapping[Hashable, float | Sequence[float]],
    mark_name: str = "",
    limits: Mapping[Hashable, tuple[float, float]] = MappingProxyType({}),
    lines: Mapping[Hashable, Line] = MappingProxyType({}),
    group_name: str = "",
    x_label: str,
    y_label: str,
) -> None:
    """Draw one curve a group, with vertical lines at each group's marks; of many groups ticks at the foot.

    Args:
        ax: empty axes.
        x, curves, names: doses, groups × doses, and the groups.
        marks: by group, one or several doses.
        mark_name: of the marks, for the legend.
        limits: by group, the interval of its mark: shaded, where groups are one or two.
        lines: by group, what was fitted; its curve is then points.
        group_name: before the names in the legend.
        x_label, y_label: of the axes. Doses that span decades have a logarithmic axis.
    """
    many = len(names) > len(PALETTE)
    colours = _shades(len(names)) if many else PALETTE
    line: dict[str, Any] = {"linewidth": 0.8, "markersize": 1.2} if many else {"markersize": 2.2}
    height, dashes = (0.05, "-") if many else (1.0, "--")
    for number, (name, curve) in enumerate(zip(names, curves, strict=True)):
        named = number in (0, len(names) // 2, len(names) - 1) if many else len(names) > 1
        known = np.isfinite(curve)
        label = f"{group_name} {name}".lstrip() if named else None
        style = {**line, "linestyle": ""} if name in lines else line
        ax.plot(x[known], curve[known], color=colours[number], marker="o", label=label, **style)
        if name in lines:
            ax.plot(*lines[name], color=colours[number], linewidth=line.get("linewidth", 1.2))
        if len(names) <= _FEW and np.isfinite(limits.get(name, (np.nan,))).all():
            ax.axvspan(*limits[name], color=colours[number], alpha=0.12, linewidth=0, zorder=0)
        for mark in np.atleast_1d(marks.get(name, np.nan)):
            if np.isfinite(mark):
                ax.axvline(mark, ymax=height, color=colours[number], linewidth=0.8, linestyle=dashes)
    if mark_name and marks:
        ax.plot([], [], color="0.4", linewidth=0.8, linestyle=dashes, label=mark_name)
    dose_axis(ax, x)
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    if len(names) > 1 or mark_name:
        legend_above(ax)


def dose_axis(ax: "Axes", x: "NDArray[np.float64]") -> None:
    """Make the axis of doses logarithmic, with plain numbers, where they span decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    if not x[0] > 0 or x[-1] < _DECADES * x[0]:
        return
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if x[-1] <= 100 * x[0] else (1, 3)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_locator(NullLocator())


def legend_above(ax: "Axes") -> None:
    """Put the legend above the axes, where no curve is, in as many columns as there is room for."""
    labels = ax.get_legend_handles_labels()[1]
    page = ax.get_figure(root=True)
    room = (page.get_figwidth() if page else COLUMN) - _BESIDE_LEGEND
    columns = next((n for n in range(_MOST_COLUMNS, 1, -1) if _legend_width(labels, n) <= room), 1)
    ax.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2, columnspacing=1.2, handlelength=1.6
    )


def _legend_width(labels: Sequence[str], columns: int) -> float:
    """Return how wide a legend is, inches; its columns are filled one after another."""
    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=rcParams["legend.fontsize"])
    widths = [text_to_path.get_text_width_height_descent(label, font, ismath=False)[0] / 72 for label in labels]
    return sum(_KEY + float(part.max()) for part in np.array_split(widths, columns) if len(part))


def _shades(n: int) -> list[Any]:
    """Return colours from dark to light, for groups that are too many to have one each."""
    from matplotlib import colormaps

    return list(colormaps["viridis"](np.linspace(0, 0.9, n)))


def draw_terms(ax: "Axes", terms: "pd.DataFrame", *, x_label: str = "estimate", margin: float | None = None) -> None:
    """Draw one point with its interval for each term (and group), first at the top, about zero or a margin around it."""
    places = np.arange(len(terms))[::-1]
    errors = np.abs(terms[["conf_low", "conf_high"]].to_numpy(float) - terms[["estimate"]].to_numpy(float)).T
    if margin is not None:
        ax.axvspan(-margin, margin, color=PALETTE[2], alpha=0.15, linewidth=0, zorder=0, label="within the margin")
    ax.axvline(0, color="0.6", linewidth=0.6, zorder=0)
    ax.errorbar(
        terms["estimate"], places, xerr=errors, fmt="o", color=PALETTE[0], capsize=2, markersize=3, elinewidth=1
    )
    ax.set_yticks(places, _row_names(terms))
    ax.set_ylim(-0.7, len(terms) - 0.3)
    ax.set_xlabel(x_label)
    ax.set_ylabel(" ".join(map(str, terms.columns[: terms.columns.get_loc("term")])))
    if margin is not None:
        legend_above(ax)


def in_standard_errors(terms: "pd.DataFrame") -> "pd.DataFrame":
    """Return terms and limits divided by their standard errors, those without one left out: units of one axis."""
    shown = terms[terms["std_error"] > 0]
    return shown.assign(**shown[["estimate", "conf_low", "conf_high"]].div(shown["std_error"], axis=0))


def _row_names(terms: "pd.DataFrame") -> list[str]:
    """Return names of rows: the term, the group, or both where there are several of each."""
    groups = terms.iloc[:, : terms.columns.get_loc("term")]
    if groups.shape[1] == 0:
        return [str(term) for term in terms["term"]]
    said = groups if len(set(terms["term"])) == 1 else groups.assign(term=terms["term"])
    return [": ".join(map(str, row)) for row in said.itertuples(index=False, name=None)]


def percent_axis(ax: "Axes", least: float, done: str = "replaced") -> None:
    """Make x a logarithmic axis in percent of neurons to which something is done, from ``least`` (a share) on."""
    ax.set_xscale("log")
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if tick >= 70 * least]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set_xlabel(f"neurons {done} (%)")


def percent_ticks(ax: "Axes") -> None:
    """Label a logarithmic y axis in percent, with plain numbers at the steps that lie within it."""
    low, high = ax.get_ylim()
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 90) if low <= tick <= high]
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()


def plain_numbers(ax: "Axes") -> None:
    """Label the y axis with plain numbers (the style draws no mathematics, so that no text is taken for it)."""
    from matplotlib.ticker import FuncFormatter

    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
