"""Specification curve → its figure and its LaTeX table."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ripplestats.fits.specification_result import LIMIT, SpecificationCurve
from ripplestats.fits.specifications import CHOICES, MAIN
from ripplestats.rendering.charts import PAGE, PALETTE, percent_ticks
from ripplestats.rendering.figure_files import write_figure
from ripplestats.rendering.latex import latex_table
from ripplestats.rendering.numbers import percent, with_interval
from ripplestats.rendering.provenance import counted, provenance, stated
from ripplestats.report.figures import SLIDES
from ripplestats.report.wording import ARM_NAMES
from ripplestats.store.atomic import write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ripplestats.store.run_directory import Run

_CHOICE_NAMES = {
    "metric": "Outcome", "arm": "Neurons", "replacement": "Replaced by", "site": "Site", "dose_scale": "Dose scale",
    "layer_set": "Blocks",
}  # fmt: skip
_LEVEL_NAMES = {
    "delta_logprob": "log-probability", "delta_logit": "logit", "kl": "KL divergence",
    "pre": "before nonlinearity", "post": "after nonlinearity", "log": "logarithmic", **ARM_NAMES,
}  # fmt: skip
_PLURALS = {"threshold": "thresholds", "core_fraction": "core fractions"}
_ROW = 0.125  # inches of a row of the matrix
_UNDEFINED = "0.75"
#: A share of the panel that has room for a line of text.
_ROOM = 0.05


def write_specification_curve(run: "Run", curve: SpecificationCurve) -> None:
    """Write ``figures/specification_curve.pdf`` and ``.png`` and ``tables/specification_curve.tex`` of a run."""
    height = 2.5 + _ROW * len(_matrix_rows(curve.rows)) + 0.3
    write_figure(
        run.path / "figures" / "specification_curve",
        partial(draw_specification_curve, curve=curve),
        (PAGE, height),
        caption=f"{curve.caption()} Below: which choices made each estimate.",
        source=provenance(run.manifest),
        slides=run.path / "figures" / SLIDES,
    )
    table = specification_table(curve, run.manifest)
    write_text(run.path / "tables" / "specification_curve.tex", table)


def draw_specification_curve(page: "Figure", curve: SpecificationCurve) -> None:
    """Draw sorted estimates with intervals, and below them which choices made each; a column a quantity."""
    rows = _matrix_rows(curve.rows)
    quantities = [(name, part) for name, part in curve.rows.groupby("quantity", sort=False) if len(part)]
    panels = page.subplots(
        2, len(quantities), sharex="col", sharey="row", squeeze=False, height_ratios=[2.0, _ROW * len(rows)]
    )
    limits = 100 * curve.rows[["estimate", "conf_low", "conf_high"]].to_numpy(float)
    limits = limits[limits > 0] if (limits > 0).any() else np.array([0.1, 100])
    panels[0, 0].set_ylim(limits.min() / 1.3, limits.max() * 1.3)
    panels[0, 0].set_yscale("log")
    arms = list(dict.fromkeys(curve.rows["arm"]))
    colours = {arm: PALETTE[number % len(PALETTE)] for number, arm in enumerate(arms)}
    titles = {"threshold": "Threshold rate", "core_fraction": f"Core fraction, {percent(curve.share)} of the plateau"}
    for column, (quantity, part) in enumerate(quantities):
        ordered = part.sort_values(["estimate", *CHOICES], kind="stable").reset_index(drop=True)
        _draw_estimates(panels[0, column], ordered, colours)
        _draw_matrix(panels[1, column], ordered, rows, colours)
        for place in ordered.index[ordered["main"]]:
            for ax in panels[:, column]:
                ax.axvline(place, color="0.6", linewidth=0.5, zorder=0)
        panels[0, column].set_title(titles[str(quantity)], loc="left")
        panels[1, column].set_xlabel(f"{len(ordered)} specifications, sorted")
    panels[0, 0].set_ylabel(f"% of neurons, {percent(curve.conf_level)} interval")
    _legend(page, colours)
    for ax in panels[:, 1:].ravel():
        ax.tick_params(axis="y", length=0)


def _draw_estimates(ax: "Axes", rows: pd.DataFrame, colours: dict[str, str]) -> None:
    known = rows[rows["estimate"].notna()]
    width = min(2.2, 150 / max(len(rows), 1))
    for arm, part in known.groupby("arm", sort=False):
        ax.vlines(part.index, 100 * part["conf_low"], 100 * part["conf_high"], color=colours[str(arm)], alpha=0.35,
                  linewidth=width)  # fmt: skip
        ax.plot(part.index, 100 * part["estimate"], "o", color=colours[str(arm)], markersize=min(2.6, width + 0.6))
    main = known[known["main"]]
    ax.plot(main.index, 100 * main["estimate"], "D", color="black", markersize=4.5, zorder=4, markerfacecolor="white")
    ax.axhline(100 * LIMIT, color="0.5", linewidth=0.6, linestyle="--", zorder=0)
    if len(known) < len(rows):
        ax.axvspan(len(known) - 0.5, len(rows) - 0.5, color="0.95", linewidth=0, zorder=-1)
        if len(rows) - len(known) >= _ROOM * len(rows):
            ax.text((len(known) + len(rows)) / 2 - 0.5, 0.5, f"{len(rows) - len(known)} undefined", rotation=90,
                    transform=ax.get_xaxis_transform(), ha="center", va="center", color="0.4", fontsize=7)  # fmt: skip
    percent_ticks(ax)
    ax.set_xlim(-1, len(rows))


def _draw_matrix(ax: "Axes", rows: pd.DataFrame, lines: list[tuple[str, str]], colours: dict[str, str]) -> None:
    """Draw a mark where a specification (x) made a choice (y); a line without a level is a heading."""
    colour = np.where(rows["estimate"].isna(), _UNDEFINED, rows["arm"].map(colours))
    for place, (choice, level) in enumerate(lines):
        if not level:
            continue
        ax.axhline(place, color="0.93", linewidth=0.5, zorder=0)
        chosen = np.flatnonzero(rows[choice] == level)
        ax.vlines(chosen, place - 0.36, place + 0.36, color=list(colour[chosen]), linewidth=min(2.2, 150 / len(rows)))
    ax.set_ylim(len(lines) - 0.4, -0.6)
    ax.set_yticks(
        range(len(lines)), [_LEVEL_NAMES.get(level, level) or _CHOICE_NAMES[choice] for choice, level in lines]
    )
    # The labels stand at the first column only.
    for label, (_, level) in zip(ax.get_yticklabels(), lines, strict=False):
        label.set(fontsize=6 if level else 6.5, fontweight="normal" if level else "bold")
    ax.tick_params(axis="y", length=0)
    ax.set_xticks([])
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)


def _matrix_rows(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the lines of the matrix: for each choice that was not always the same a heading and its levels."""
    lines = []
    for choice in CHOICES:
        levels = list(dict.fromkeys(rows[choice]))
        if len(levels) > 1:
            lines += [(choice, ""), *((choice, level) for level in levels)]
    return lines


def _legend(page: "Figure", colours: dict[str, str]) -> None:
    from matplotlib.lines import Line2D

    marks: list[Any] = [
        Line2D([], [], color=colour, marker="o", linewidth=1.5, markersize=3, label=ARM_NAMES.get(arm, arm))
        for arm, colour in colours.items()
    ] * (len(colours) > 1)
    marks.append(Line2D([], [], color="black", marker="D", linestyle="", markersize=4, markerfacecolor="white",
                        label="main specification"))  # fmt: skip
    page.legend(handles=marks, loc="outside upper right", ncols=len(marks))


def specification_table(curve: SpecificationCurve, manifest: dict[str, Any]) -> str:
    """Return the table: what the specifications say together, and by each choice, in LaTeX."""
    arms = list(dict.fromkeys(curve.rows["arm"]))
    main = MAIN["arm"] if MAIN["arm"] in arms else arms[0]
    undefined = [
        f"{int(row.specifications - row.defined)} of {row.specifications} {_PLURALS[str(row.quantity)]}"
        for row in curve.where(arm=main).summary().itertuples()
    ]
    notes = (
        f"ψ: threshold rate; φ: core fraction, {percent(curve.share)} of the plateau; in % of neurons. Median over the "
        f"specifications with its {percent(curve.conf_level)} interval (all from the same resamples of documents), and the "
        "lowest and highest.",
        "Below: the share of the specifications whose own interval lies below 10 % as a whole. Neurons replaced: "
        f"{ARM_NAMES.get(main, main)}, except where others are named. Undefined: {' and '.join(undefined)}.",
        f"{_run_blocks(manifest)}Thirds are of the blocks but the first. On the logarithmic scale the break is fitted to the logarithm of the "
        "rate. Method: Simonsohn, Simmons and Nelson (2020).",
        counted(manifest, (curve.n_prompts, curve.n_documents)),
    )
    caption = f"Specification curve of threshold rate and core fraction. {stated(manifest)}."
    frame = pd.DataFrame(list(_table_rows(curve, main)))
    return latex_table(frame, caption=caption, label="tab:specification-curve", notes=notes)


def _run_blocks(manifest: dict[str, Any]) -> str:
    """Say which blocks were run, where that is not all of them."""
    layers = manifest.get("definition", {}).get("layers", ())
    if len(layers) in (0, manifest["model"].get("n_layers")):
        return ""
    return f"Of blocks only {', '.join(map(str, layers))} were run. "


def _table_rows(curve: SpecificationCurve, main: str) -> Iterator[dict[str, object]]:
    chosen = curve.where(arm=main)
    yield _table_row("all specifications", chosen)
    for choice, level in _matrix_rows(chosen.rows):
        if level:
            name = f"{_CHOICE_NAMES[choice].lower()}: {_LEVEL_NAMES.get(level, level)}"
            yield _table_row(name.replace("blocks: all blocks", "blocks: all"), chosen.where(**{choice: level}))
    for arm in dict.fromkeys(curve.rows["arm"]):
        if arm != main:
            yield _table_row(f"neurons: {ARM_NAMES.get(arm, arm)}", curve.where(arm=arm))


def _table_row(name: str, curve: SpecificationCurve) -> dict[str, object]:
    summary = curve.summary().set_index("quantity").reindex(["threshold", "core_fraction"])
    cells: dict[str, object] = {"specifications": name, "n": int(summary["specifications"].max())}
    for symbol, row in zip(("ψ", "φ"), summary.itertuples(), strict=True):
        cells[symbol] = with_interval(row.median, row.conf_low, row.conf_high, 1, 100)
        cells[f"{symbol} range"] = f"{100 * row.lowest:.1f}–{100 * row.highest:.1f}" if cells[symbol] else ""
        cells[f"{symbol} below"] = percent(row.below_limit)
    return cells
