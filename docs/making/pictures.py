"""The figures of the pages, drawn by the package's own code on simulated data whenever the pages are built."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from docs.making.blocks import ROOT
from docs.making.drawing import as_svg, svg_style
from ripplestats.rendering.charts import PALETTE

BLUE, ORANGE, GREEN = PALETTE[:3]
GREY = "0.6"
_WIDE = (6.4, 2.6)


def picture(name: str) -> str:
    """Return a figure as SVG, its letters as shapes, the same at every build."""
    draw, size = PICTURES[name]
    with svg_style(name):
        page = Figure(figsize=size, layout="constrained")
        draw(page)
        return as_svg(page)


@cache
def example(name: str) -> dict[str, Any]:
    """Run one of the scripts that simulate the data of the pages' examples, and return its names."""
    namespace: dict[str, Any] = {}
    exec((ROOT / "docs" / "examples" / f"{name}.py").read_text(encoding="utf-8"), namespace)
    return namespace


def _frame() -> pd.DataFrame:
    frame: pd.DataFrame = example("simulated_frame")["frame"]
    return frame


def _activations() -> "np.ndarray[Any, np.dtype[np.float64]]":
    return np.sort(np.random.default_rng(4).standard_t(4, 60))[::-1]


def _replacement(page: Figure) -> None:
    values = _activations()
    before, after = page.subplots(1, 2, sharey=True)
    middle = np.sort(values)[(len(values) - 1) // 2]
    chosen = np.arange(len(values)) < 6
    changed = np.where(chosen, middle, values)
    for ax, heights, title in ((before, values, "before"), (after, changed, "the largest 10 % put at the median")):
        ax.bar(np.arange(len(values)), heights, color=np.where(chosen, ORANGE, GREY), width=0.8)
        ax.axhline(middle, color=BLUE, linewidth=0.8, linestyle="--")
        ax.set(title=title, xlabel="neurons of one block, sorted", xticks=[])
    before.set_ylabel("activation at the last token")
    before.text(len(values) - 1, middle + 0.15, "median", color=BLUE, ha="right", va="bottom")


def _arms(page: Figure) -> None:
    values = _activations()
    rng, n, k = np.random.default_rng(0), len(values), 9
    middle = np.sort(values)[(n - 1) // 2]
    chosen = {
        "top": np.arange(n) < k,
        "bottom": np.arange(n) >= n - k,
        "magnitude": np.argsort(np.argsort(-np.abs(values - middle))) < k,
        "random": np.isin(np.arange(n), rng.permutation(n)[:k]),
        "keep_top": np.arange(n) >= k,
    }
    for ax, (arm, mask) in zip(page.subplots(1, 5, sharey=True), chosen.items(), strict=True):
        ax.bar(np.arange(n), values, color=np.where(mask, ORANGE, GREY), width=0.8)
        ax.set(title=arm, xticks=[])
    page.supxlabel("neurons, sorted by activation; orange: replaced", fontsize=8)


def _curve(page: Figure) -> None:
    from ripplestats.fits.core import core_fraction
    from ripplestats.fits.curves import document_curves
    from ripplestats.fits.segmented import segmented

    frame, columns = _frame(), {"y": "effect", "x": "dose", "cluster": "document"}
    curves = document_curves(frame, **columns)
    line = segmented(frame, **columns).tidy().set_index("term")["estimate"]
    core = core_fraction(frame, **columns, share=(0.5,)).tidy().set_index("term")["estimate"]
    whole, near = page.subplots(1, 2, width_ratios=(1, 1), sharey=True)
    for ax, end in ((whole, 0.92), (near, 0.12)):
        x = np.linspace(0, end, 400)
        _break(ax, curves.x, curves.pooled()[0], x, line, end)
        ax.set(xlim=(0, end), xlabel="share of neurons replaced")
    whole.hlines(core["plateau"], 0.1, 0.9, color=GREEN, linewidth=3, alpha=0.5)
    whole.text(0.5, core["plateau"] - 0.03, "plateau Π: mean over 10 to 90 %", color=GREEN, ha="center", va="top")
    half = core["core_fraction_0.5"]
    near.plot([0, half, half], [core["plateau"] / 2] * 2 + [0], color=GREEN, linewidth=0.9)
    near.text(half + 0.002, 0.03, "core fraction φ₀.₅:\nhalf of the plateau", color=GREEN, va="bottom")
    near.text(line["threshold"] + 0.003, 0.4, "threshold ψ:\nthe line breaks", color=ORANGE)
    whole.set_ylabel("mean loss of log-probability (nats)")
    whole.set_ylim(0)


def _break(ax: Axes, doses: Any, curve: Any, x: Any, line: "pd.Series[float]", end: float) -> None:
    bent = line["intercept"] + line["slope_below"] * np.minimum(x, line["threshold"])
    bent += line["slope_above"] * np.maximum(x - line["threshold"], 0)
    inside = doses <= end
    ax.plot(x, bent, color=ORANGE, linewidth=1)
    ax.axvline(line["threshold"], color=ORANGE, linewidth=0.7, linestyle="--")
    ax.plot(doses[inside], curve[inside], "o", color=BLUE, markersize=3)


def _prompts_differ(page: Figure) -> None:
    ax = page.subplots()
    x = np.linspace(0, 0.14, 300)
    breaks = 0.05 * np.exp(0.5 * np.random.default_rng(3).standard_normal(400))
    curves = np.minimum(x / breaks[:, None], 1)
    ax.plot(x, curves[:12].T, color=GREY, linewidth=0.6)
    ax.plot(x, curves.mean(axis=0), color=BLUE, linewidth=2, label="mean curve: no kink at all")
    ax.axvline(breaks.mean(), color=ORANGE, linestyle="--", label="mean of the prompts' own breaks")
    ax.set(xlabel="share of neurons replaced", ylabel="loss, as a share of the plateau", xlim=(0, 0.14), ylim=(0, 1.05))
    ax.legend(loc="lower right")


def _one_pass(page: Figure) -> None:
    """Draw blocks upwards: the prompt's tokens go through all; copies of the last token join, each at its own block."""
    ax = page.subplots()
    n_blocks, tokens, branches = 4, 5, 2
    style: Any = {"boxstyle": "round,pad=0.25", "linewidth": 0.6}
    for block in range(n_blocks + 1):
        for token in range(tokens):
            colour = BLUE if token == tokens - 1 else GREY
            ax.text(
                token, block, " ", ha="center", va="center", bbox={**style, "fc": colour, "ec": colour, "alpha": 0.55}
            )
        for joined in range(block):
            for one in range(branches):
                x = tokens + 0.6 + joined * branches + one
                alpha = 1.0 if joined == block - 1 else 0.45
                ax.text(
                    x, block, " ", ha="center", va="center", bbox={**style, "fc": ORANGE, "ec": ORANGE, "alpha": alpha}
                )
        ax.text(-1, block, f"after block {block - 1}" if block else "embedding", ha="right", va="center")
    for block in range(1, n_blocks + 1):
        x = tokens + 0.6 + (block - 1) * branches
        ax.annotate("", (x - 0.35, block), (tokens - 0.65, block - 1 + 0.12),
                    arrowprops={"arrowstyle": "->", "color": ORANGE, "linewidth": 0.7})  # fmt: skip
    ax.text(1.5, -0.75, "tokens before the last:\nread once, shared by all", ha="center", va="top", color="0.35")
    ax.text(tokens - 0.9, -0.75, "last\ntoken", ha="center", va="top", color=BLUE)
    ax.text(tokens + 4, -0.75, "branches: copies of the last token with\nneurons replaced in one block; bright: just joined",
            ha="center", va="top", color=ORANGE)  # fmt: skip
    ax.set(xlim=(-4, tokens + 0.6 + n_blocks * branches), ylim=(-1.9, n_blocks + 0.6))
    ax.axis("off")


def _equivalence(page: Figure) -> None:
    ax = page.subplots()
    cases = [("same: supported", -0.02, 0.03, BLUE), ("not known: undecided", -0.01, 0.09, GREY),
             ("different: refuted", 0.06, 0.12, ORANGE)]  # fmt: skip
    for place, (words, low, high, colour) in enumerate(reversed(cases)):
        ax.plot([low, high], [place, place], color=colour, linewidth=2, marker="|", markersize=9)
        ax.text(0.135, place, words, va="center", color=colour if colour != GREY else "0.3")
    ax.axvspan(-0.05, 0.05, color=GREEN, alpha=0.12, linewidth=0)
    ax.axvline(0, color="0.5", linewidth=0.6)
    ax.text(0, 2.6, "within the margin of 0.05", ha="center", va="bottom", color=GREEN)
    ax.set(xlim=(-0.08, 0.22), ylim=(-0.6, 3.1), yticks=[], xlabel="difference between two doses, 90 % interval (nats)")
    ax.spines["left"].set_visible(False)


def _staged(page: Figure) -> None:
    from fractions import Fraction

    from ripplestats.fits.grid_refinement import refine
    from ripplestats.staged_rates import ADDED_RATES
    from ripplestats.sweeps.grid import parse_rates

    coarse = parse_rates("staged")
    x = np.array([float(rate) for rate in coarse])
    found = refine(coarse, x, 1 - np.exp(-x / 0.03), ADDED_RATES, 1536)
    added = np.array([float(rate) for rate in found.added if isinstance(rate, Fraction)])
    ax = page.subplots()
    fine = np.geomspace(0.002, 0.9, 300)
    ax.plot(fine, 1 - np.exp(-fine / found.scale), color=GREY, label="curve fitted to the pilot")
    ax.plot(x, 1 - np.exp(-x / found.scale), "o", color=BLUE, label="coarse rates")
    ax.plot(added, 1 - np.exp(-added / found.scale), "^", color=ORANGE, label="rates that the pilot adds")
    ax.set(xscale="log", xlabel="% of neurons replaced, logarithmic", ylabel="share of the plateau")
    ax.set_xticks([0.002, 0.01, 0.05, 0.2, 0.9], ["0.2", "1", "5", "20", "90"])
    ax.minorticks_off()
    ax.legend(loc="lower right")


def _looks(page: Figure) -> None:
    """Show the rule at work on a growing simulated data set: the interval at each look."""
    from ripplestats.fits.breakpoint import BreakDesign
    from ripplestats.fits.curves import document_curves
    from ripplestats.fits.inversion import break_interval
    from ripplestats.fits.sequential import FIRST_LOOK, last_look, next_look

    rng, doses = np.random.default_rng(11), example("simulated_frame")["doses"]
    n = 400
    breaks = 0.05 * np.exp(0.4 * rng.standard_normal(n))
    effects = rng.gamma(4, 0.25, (n, 1)) * np.minimum(doses / breaks[:, None], 1)
    effects += 0.3 * rng.standard_normal((n, 1)) + 0.25 * rng.standard_normal(effects.shape)
    counts, limits, width = [FIRST_LOOK], [], 0.012
    while counts[-1] < n:
        counts.append(min(next_look(counts[-1]), n))
    for count in counts:
        columns = {"y": effects[:count].ravel(), "x": np.tile(doses, count), "d": np.repeat(range(count), len(doses))}
        rows = pd.DataFrame(columns)
        curves = document_curves(rows, y="y", x="x", cluster="d")
        design = BreakDesign(curves.x, curves.dose_weights)
        low, high = break_interval(curves, design)
        limits.append((100 * low[0], 100 * design.fit(curves.pooled()).breakpoint[0], 100 * high[0]))
    end = last_look([(high - low) / 100 for low, _, high in limits], width)
    last = len(limits) - 1 if end is None else end
    ax = page.subplots()
    for place, (count, (low, estimate, high)) in enumerate(zip(counts, limits, strict=True)):
        narrow = high - low <= 100 * width
        colour = "0.85" if place > last else BLUE if narrow else GREY
        ax.plot([count, count], [low, high], color=colour, linewidth=2)
        ax.plot(count, estimate, "o", color=colour, markersize=3)
    ax.axvline(counts[last], color=ORANGE, linewidth=0.8, linestyle="--")
    ax.text(
        counts[last] * 1.02,
        ax.get_ylim()[1],
        "the second narrow look in a row:\nhere the run ends",
        color=ORANGE,
        va="top",
    )
    ax.set(xlabel="documents so far", ylabel="threshold (%), 95 % interval")


def _stages(page: Figure) -> None:
    ax = page.subplots()
    stages = ["prompts", "model", "intervention", "sweeps", "store", "fits", "hypotheses", "report"]
    for place, name in enumerate(stages):
        colour = BLUE if place < 4 else GREEN
        ax.text(place, 0, name, ha="center", va="center", color="white", fontsize=8,
                bbox={"boxstyle": "round,pad=0.5", "fc": colour, "ec": colour})  # fmt: skip
        if place:
            ax.text(place - 0.5, 0.75, "→", ha="center", va="center", color="0.4", fontsize=11)
    ax.text(1.5, -1.1, "needs torch; made once, on a GPU if you like", ha="center", color=BLUE)
    ax.text(5.5, -1.1, "numpy, scipy, pandas; from the files, on any laptop", ha="center", color=GREEN)
    ax.set(xlim=(-0.7, 7.7), ylim=(-1.5, 1))
    ax.axis("off")


def _specifications(page: Figure) -> None:
    from ripplestats.fits.specifications import specification_curve
    from ripplestats.report.specification_curve import draw_specification_curve

    curve = specification_curve(example("simulated_effects")["effects"], n_boot=400)
    draw_specification_curve(page, curve)


def _result(name: str) -> Callable[[Figure], None]:
    """Return what draws ``fit.plot()`` of an estimator on the simulated frame."""

    def draw(page: Figure) -> None:
        import ripplestats as rs

        columns = {"y": "effect", "x": "dose", "cluster": "document"}
        fit = getattr(rs, name)(_frame(), **columns, n_boot=200)
        fit.plot(page.subplots())

    return draw


PICTURES: dict[str, tuple[Callable[[Figure], None], tuple[float, float]]] = {
    "replacement": (_replacement, _WIDE),
    "arms": (_arms, (6.4, 1.9)),
    "curve": (_curve, _WIDE),
    "prompts_differ": (_prompts_differ, (4.6, 2.8)),
    "one_pass": (_one_pass, (6.4, 3.2)),
    "equivalence": (_equivalence, (5.2, 2.0)),
    "staged": (_staged, (5.2, 2.8)),
    "looks": (_looks, (5.2, 2.8)),
    "stages": (_stages, (7.4, 1.2)),
    "specification_curve": (_specifications, (7.0, 4.2)),
    "segmented_plot": (_result("segmented"), (4.2, 2.6)),
}
