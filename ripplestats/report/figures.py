"""Effects and estimates → the figures of a run directory."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ripplestats.fits.bootstrap import resample_documents, simultaneous_band
from ripplestats.fits.curve_layout import ALL_LAYERS, Cell
from ripplestats.fits.curves import DocumentCurves
from ripplestats.fits.run_estimates import CELLS, MAIN_METRIC, main_metric, main_rows
from ripplestats.fits.sufficiency import shares_of_whole
from ripplestats.rendering.charts import (
    COLUMN,
    PAGE,
    PALETTE,
    draw_band,
    legend_above,
    percent_axis,
    percent_ticks,
    plain_numbers,
)
from ripplestats.rendering.figure_files import write_figure
from ripplestats.rendering.numbers import fixed
from ripplestats.rendering.provenance import provenance
from ripplestats.report.figure_captions import (
    dose_response_caption,
    layer_by_rate_caption,
    seed_dots_caption,
    sufficiency_caption,
    threshold_caption,
)
from ripplestats.report.wording import ARM_NAMES, METRIC_NAMES, mean_blocks, mean_over, neurons_done_to

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ripplestats.store.run_directory import Run

#: Rates shown by the seed's figure: its own coarse and fine grids, as far as the run has them.
_SEED_COARSE = [rate / 100 for rate in range(10, 100, 10)]
_SEED_FINE = 0.0451
#: Effects beyond this share an axis with small ones only on a logarithmic scale, nats.
_LARGE = 0.5
_SIDES = ("replaced: what it destroys", "kept alone: what it wins back")
#: Folder of the figures for slides, beside the others.
SLIDES = "slides"
#: Every so many rows of the map have a label.
_STEPS = (1, 2, 5, 10, 20, 50)
_MAP_TICKS = (0.2, 1, 2, 5, 10, 20, 50, 90)
#: What draws a figure, its size in inches, its caption, and the line at its foot.
_Drawn = tuple[Callable[["Figure"], None], tuple[float, float], str, str]


def write_figures(
    run: "Run", curves: Mapping[Cell, DocumentCurves], estimates: pd.DataFrame, n_boot: int = 1000, seed: int = 0
) -> None:
    """Write ``figures/*.pdf``, ``.png`` and ``.txt`` of a run from its curves, and ``figures/slides`` for slides."""
    first = next(iter(curves))
    metric = main_metric(cell.metric for cell in curves)
    chosen = {
        cell.arm: one
        for cell, one in curves.items()
        if cell[1:] == (first.replacement, first.site, metric)
    }  # fmt: skip
    main = "top" if "top" in chosen else next(iter(chosen))
    source, blocks = provenance(run.manifest), mean_blocks(run.manifest)
    folder = run.path / "figures"
    # Its doses are shares kept, not replaced: it has a figure of its own.
    kept = chosen.pop("keep_top", None) if len(chosen) > 1 else None
    where = f"{first.replacement}, {first.site}"
    rows = estimates[(estimates[CELLS] == [main, first.replacement, first.site]).all(axis=1)]
    mean, n_prompts = mean_effects(chosen[main]), chosen[main].n_prompts
    drawn: dict[str, _Drawn] = {
        "dose_response": (
            partial(draw_dose_response, curves=chosen, n_boot=n_boot, seed=seed, metric=metric, blocks=blocks),
            (COLUMN, 2.6), dose_response_caption(chosen, metric, blocks), source,
        ),
        "layer_by_rate": (
            partial(draw_layer_by_rate, curves=chosen[main], arm=main, metric=metric),
            (COLUMN, 3.6), layer_by_rate_caption(mean, main, metric), source,
        ),
        "threshold_by_layer": (
            partial(draw_threshold_by_layer, rows=rows, blocks=blocks),
            (COLUMN, 2.6), threshold_caption(rows, main, blocks), source,
        ),
        "seed_dots": (
            partial(draw_seed_dots, mean=mean, n_prompts=n_prompts, metric=metric),
            (PAGE, 2.8), seed_dots_caption(n_prompts, metric), f"{source}; arm {main}, {where}",
        ),
    }  # fmt: skip
    if kept is not None and "top" in chosen:
        share_at = readings(chosen["top"], kept)
        drawn["sufficiency"] = (
            partial(draw_sufficiency, top=chosen["top"], kept=kept, blocks=blocks), (COLUMN, 2.6),
            sufficiency_caption(share_at), source,
        )  # fmt: skip
    for name, (draw, size, caption, said) in drawn.items():
        write_figure(folder / name, draw, size, caption=caption, source=said, slides=folder / SLIDES)


def mean_effects(curves: DocumentCurves) -> pd.Series:
    """Return the mean effect by layer and dose."""
    layers = [place for place, group in enumerate(curves.groups) if group != ALL_LAYERS]
    index = pd.MultiIndex.from_product([[curves.groups[place] for place in layers], curves.x], names=["layer", "dose"])
    return pd.Series(curves.pooled()[layers].ravel(), index)


def draw_dose_response(
    page: "Figure",
    curves: dict[str, DocumentCurves],
    n_boot: int = 1000,
    seed: int = 0,
    *,
    metric: str = MAIN_METRIC,
    blocks: str = "all blocks but the first",
) -> None:
    """Draw the mean effect against the rate, one curve an arm, with simultaneous 95 % bands."""
    ax = page.subplots()
    for number, (arm, one) in enumerate(curves.items()):
        resamples = resample_documents(one.n_documents, n_boot, np.random.default_rng(seed))
        _, half = simultaneous_band(one, resamples)
        mean = one.pooled()[0]
        draw_band(ax, 100 * one.x, mean, mean - half[0], mean + half[0], PALETTE[number], ARM_NAMES[arm])
    ax.axhline(0, color="0.6", linewidth=0.6)
    percent_axis(ax, min(float(one.x[one.x > 0].min()) for one in curves.values()), neurons_done_to(next(iter(curves))))
    ax.set_ylabel(METRIC_NAMES[metric])
    ax.set_title(_title(next(iter(curves.values())), blocks), loc="left")
    ax.legend(loc="upper left")


def draw_layer_by_rate(page: "Figure", curves: DocumentCurves, arm: str, metric: str = MAIN_METRIC) -> None:
    """Draw the mean effect of every layer and rate of an arm as a map, in a scale symmetric about zero."""
    from matplotlib.colors import SymLogNorm

    ax = page.subplots()
    layers = [group for group in curves.groups if group != ALL_LAYERS]
    values = curves.pooled()[[curves.groups.index(layer) for layer in layers]]
    limit = float(np.abs(values).max()) or 1.0
    later = np.abs(values[1:]) if len(values) > 1 else np.abs(values)
    norm = SymLogNorm(linthresh=max(float(np.quantile(later, 0.5)), 1e-6), vmin=-limit, vmax=limit)
    image = ax.imshow(values, aspect="auto", origin="lower", cmap="RdBu_r", norm=norm, interpolation="nearest")
    places = [(int(np.abs(100 * curves.x - tick).argmin()), tick) for tick in _MAP_TICKS]
    near = {place: tick for place, tick in places if abs(100 * curves.x[place] / tick - 1) < 0.05}
    ax.set_xticks(list(near), [f"{tick:g}" for tick in near.values()])
    step = next(step for step in _STEPS if len(layers) <= 7 * step or step == _STEPS[-1])
    ax.set_yticks(range(0, len(layers), step), [str(layer) for layer in layers[::step]])
    ax.set_xlabel(f"neurons {neurons_done_to(arm)} (%)")
    ax.set_ylabel("block")
    ax.set_title(ARM_NAMES[arm].capitalize(), loc="left")
    ticks = [tick for tick in (-1, -0.1, -0.01, 0, 0.01, 0.1, 1) if abs(tick) <= limit]
    bar = page.colorbar(image, ax=ax, pad=0.02, ticks=ticks)
    plain_numbers(bar.ax)
    bar.set_label(METRIC_NAMES[metric])


def draw_sufficiency(
    page: "Figure", top: DocumentCurves, kept: DocumentCurves, blocks: str = "all blocks but the first"
) -> None:
    """Draw what replacing the largest neurons destroys, and what keeping them alone wins back, as shares of their wholes."""
    ax = page.subplots()
    shares = shares_of_whole(top, kept, top.groups[:1])
    for number, (name, one, share) in enumerate(zip(_SIDES, (top, kept), shares, strict=True)):
        ax.plot(100 * one.x, 100 * share[0], "o-", color=PALETTE[number], markersize=2.2, label=name)
    for level in (0, 100):
        ax.axhline(level, color="0.6", linewidth=0.6, zorder=0)
    percent_axis(ax, min(float(one.x[one.x > 0].min()) for one in (top, kept)), "replaced, or kept alone")
    ax.set_ylabel("share of the whole effect (%)")
    ax.set_title(_title(top, blocks), loc="left")
    ax.legend(loc="lower right")


def readings(top: DocumentCurves, kept: DocumentCurves) -> dict[str, str]:
    """Return what each of those curves says at the dose nearest 10 %, in words."""
    shares = shares_of_whole(top, kept, top.groups[:1])
    found = {}
    for name, one, share in zip(("necessity", "sufficiency"), (top, kept), shares, strict=True):
        place = int(np.abs(one.x - 0.1).argmin())
        at = fixed(float(share[0, place]), 0, 100)
        found[name] = f"{at} % at {fixed(float(one.x[place]), 1, 100)} % of neurons" if at else "undefined"
    return found


def _title(curves: DocumentCurves, blocks: str) -> str:
    first = curves.groups[0]
    return mean_over(blocks).capitalize() if first == ALL_LAYERS else f"Block {first}"


def draw_threshold_by_layer(page: "Figure", rows: pd.DataFrame, blocks: str = "all blocks but the first") -> None:
    """Draw each block's threshold rate with its interval, and the overall one as a band."""
    ax = page.subplots()
    rows = rows[(rows["quantity"] == "threshold") & (rows["metric"] == main_metric(rows["metric"]))]
    rows = main_rows(rows)
    layers = rows[rows["layer"] != ALL_LAYERS]
    place = layers["layer"].astype(int)
    value, low, high = (100 * layers[name] for name in ("estimate", "conf_low", "conf_high"))
    ax.vlines(place, low, high, color=PALETTE[0], linewidth=1.6, alpha=0.35)
    ax.plot(place, value, "o", color=PALETTE[0], markersize=3, label="block")
    blank = place[value.isna()]
    if len(blank):
        floor = ax.get_xaxis_transform()
        ax.plot(blank, np.zeros(len(blank)), "x", color="0.5", markersize=4, clip_on=False, transform=floor,
                label="undefined")  # fmt: skip
    overall = rows[rows["layer"] == ALL_LAYERS].squeeze()
    if len(overall) and np.isfinite(overall["estimate"]):
        ax.axhspan(100 * overall["conf_low"], 100 * overall["conf_high"], color=PALETTE[1], alpha=0.18, linewidth=0)
        ax.axhline(100 * overall["estimate"], color=PALETTE[1], label=mean_over(blocks))
    ax.set_yscale("log")
    percent_ticks(ax)
    _whole_blocks(ax, place)
    ax.set_ylabel("threshold rate (%), 95 % interval")
    legend_above(ax)


def draw_seed_dots(page: "Figure", mean: pd.Series, n_prompts: int, metric: str = MAIN_METRIC) -> None:
    """Draw the seed's figure: blocks on x, one dot a dose, for its coarse and its fine grid.

    Args:
        page: an empty figure.
        mean: the mean effect, indexed by layer and dose.
        n_prompts: over which it is the mean.
        metric: the outcome.
    """
    panels = page.subplots(1, 2, sharey=True)
    doses = np.unique(mean.index.get_level_values("dose"))
    grids = {
        # 10 % of 1,536 neurons are 153 of them, or 9.96 %.
        "Coarse grid": [dose for dose in doses if np.isclose(dose, _SEED_COARSE, rtol=0.02).any()],
        "Fine grid": [dose for dose in doses if dose <= _SEED_FINE],
    }
    for ax, (title, chosen) in zip(panels, grids.items(), strict=True):
        _draw_dots(page, ax, mean, chosen)
        ax.set_title(f"{title}, mean over prompts" if n_prompts > 1 else title, loc="left")
        _whole_blocks(ax, mean.index.get_level_values("layer"))
    panels[0].set_ylabel(METRIC_NAMES[metric])


def _whole_blocks(ax: "Axes", blocks: Any) -> None:
    """Make x an axis of whole blocks, with room beside a single one."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if min(blocks) == max(blocks):
        ax.set_xlim(min(blocks) - 1, max(blocks) + 1)
    ax.set_xlabel("block")


def _draw_dots(page: "Figure", ax: "Axes", mean: Any, rates: list[float]) -> None:
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    ax.axhline(0, color="0.6", linewidth=0.6)
    if not rates:
        ax.text(0.5, 0.5, "no rate of this grid was run", transform=ax.transAxes, ha="center", color="0.4")
        return
    scale = ScalarMappable(Normalize(100 * rates[0], 100 * rates[-1]), colormaps["viridis"])
    for rate in rates:
        one = mean.xs(rate, level="dose")
        ax.plot(one.index, one.to_numpy(), "o", markersize=2.4, color=scale.to_rgba(np.array(100 * rate)))
    if np.abs(mean).max() < _LARGE:
        _rate_bar(page, ax, scale)
        return
    ax.set_yscale("symlog", linthresh=0.1)
    ax.set_yticks([tick for tick in (-1, -0.1, 0, 0.1, 1, 10) if ax.get_ylim()[0] <= tick <= ax.get_ylim()[1]])
    ax.minorticks_off()
    plain_numbers(ax)
    _rate_bar(page, ax, scale)


def _rate_bar(page: "Figure", ax: "Axes", scale: Any) -> None:
    page.colorbar(scale, ax=ax, pad=0.02).set_label("neurons replaced (%)")
