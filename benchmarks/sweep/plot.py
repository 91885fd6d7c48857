"""Seconds a prompt by context, one line an engine.

python -m benchmarks.sweep.plot benchmarks/results/sweep.json benchmarks/results/sweep
"""

import json
import sys
from collections.abc import Mapping, Sequence
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.sweep.comparison import OURS, TITLES
from ripplestats.rendering.charts import PAGE, PALETTE, chart_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEIGHT = 3.2
#: Height of a name, as a part of the panel.
_LINE_OF_TEXT = 0.062
_OTHERS = "0.45"


def draw(results: Mapping[str, Any], file: Path) -> None:
    """Write the plot of a results file as ``file`` with .png and .pdf, a panel for each model."""
    from matplotlib import pyplot as plt

    with chart_style():
        figure, panels = plt.subplots(1, len(results["models"]), figsize=(PAGE, _HEIGHT), squeeze=False)
        for panel, model in zip(panels[0], results["models"].values(), strict=True):
            draw_engines(panel, model)
        panels[0, 0].set_ylabel("seconds a prompt, all blocks and rates")
        for ending in (".png", ".pdf"):
            figure.savefig(file.with_suffix(ending), bbox_inches="tight")
        plt.close(figure)


def draw_engines(panel: "Axes", model: Mapping[str, Any]) -> None:
    """Draw one line an engine, named at its right end; ours in colour, and how far the slowest is above it."""
    lines: dict[str, dict[int, float]] = {}
    for row in model["rows"]:
        lines.setdefault(row["engine"], {})[row["context"]] = row["seconds_per_prompt"]
    colours = dict(zip((name for name in lines if not name.startswith("ours")), PALETTE[1:], strict=False))
    for name, points in lines.items():
        ours = name.startswith("ours")
        panel.plot(
            list(points), list(points.values()), marker="o", markersize=3.5 if ours else 2.5,
            color=PALETTE[0] if ours else colours.get(name, _OTHERS), linewidth=2.0 if name == OURS else 1.0,
            linestyle="--" if ours and name != OURS else "-", zorder=3 if ours else 2, label=TITLES.get(name, name),
        )  # fmt: skip
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    contexts = sorted({row["context"] for row in model["rows"]})
    panel.set_xticks(contexts, [str(one) for one in contexts])
    panel.yaxis.set_major_formatter(lambda seconds, _place: f"{seconds:g}")
    panel.set_xlabel("tokens of context")
    panel.set_title(model["title"], loc="left")
    panel.grid(axis="y", color="0.92", linewidth=0.6)
    _name_lines(panel, lines)
    _draw_gap(panel, lines)


def _name_lines(panel: "Axes", lines: Mapping[str, Mapping[int, float]]) -> None:
    """Write the names at the right ends, moved apart where they would cover each other."""
    low, high = map(log10, panel.get_ylim())
    names = sorted(lines, key=lambda name: lines[name][max(lines[name])])
    ends = [log10(lines[name][max(lines[name])]) for name in names]
    colours = {line.get_label(): line.get_color() for line in panel.get_lines()}
    for name, height in zip(names, moved_apart(ends, (high - low) * _LINE_OF_TEXT, high), strict=True):
        last, title = max(lines[name]), TITLES.get(name, name)
        panel.annotate(
            title, (last, lines[name][last]), xytext=(last * 1.18, 10**height), textcoords="data", va="center",
            fontsize=7, color=colours[title], annotation_clip=False, weight="bold" if name == OURS else "normal",
        )  # fmt: skip


def moved_apart(heights: Sequence[float], least: float, top: float) -> list[float]:
    """Return rising heights moved so that neighbours are ``least`` apart and none is above ``top``, where there is room."""
    moved: list[float] = []
    for height in heights:
        moved.append(max(height, moved[-1] + least) if moved else height)
    for number in range(len(moved) - 1, -1, -1):
        above = moved[number + 1] - least if number + 1 < len(moved) else top
        moved[number] = min(moved[number], above)
    return moved


def _draw_gap(panel: "Axes", lines: Mapping[str, Mapping[int, float]]) -> None:
    """Mark, at the longest context that both have, how many times longer the note's loop takes than ours."""
    shared = lines.get("note", {}).keys() & lines.get(OURS, {}).keys()
    if not shared:
        return
    at = sorted(shared)[len(shared) // 2]
    slow, fast = lines["note"][at], lines[OURS][at]
    panel.annotate(
        "", (at, fast * 1.12), (at, slow / 1.12), arrowprops={"arrowstyle": "<->", "color": _OTHERS, "lw": 0.7}
    )
    panel.annotate(f"× {slow / fast:.0f}", (at * 1.06, (slow * fast) ** 0.5), color=_OTHERS, fontsize=8)


def main() -> int:
    """Draw a results file."""
    draw(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
