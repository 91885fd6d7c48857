"""What a run found, in a few lines of plain words."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ripplestats.fits.curve_layout import ALL_LAYERS
from ripplestats.fits.run_estimates import MAIN_METRIC, main_rows
from ripplestats.rendering.progress import duration
from ripplestats.report.wording import interval, percent, provenance

if TYPE_CHECKING:
    from ripplestats.store.run_directory import Run


def summarise(run: "Run", estimates: pd.DataFrame, claims: pd.DataFrame) -> str:
    """Return the findings of a run: threshold, core, first block, claims, what was used, where things are."""
    manifest = run.manifest
    data = manifest["dataset"]
    lines = [
        f"{provenance(manifest)}.",
        f"{estimates['n_prompts'].max()} prompts from {estimates['n_documents'].max()} documents, the units of "
        f"inference; change in log-probability of the target in nats, clean - replaced; "
        f"{estimates['conf_level'].iloc[0]:.0%} intervals.",
        *[f"Note: {note}." for note in data["notes"]],
        "",
    ]
    arms = list(dict.fromkeys(estimates["arm"]))
    cell = estimates[estimates["arm"] == ("top" if "top" in arms else arms[0])]
    cell = cell[(cell["replacement"] == cell["replacement"].iloc[0]) & (cell["site"] == cell["site"].iloc[0])]
    cell = main_rows(cell[cell["metric"].isin([MAIN_METRIC, "top1_changed"])])
    lines += [_threshold(cell), *_population(cell), *_core(cell), *_kept(estimates), *_first_block(cell)]
    lines += [*_other_arms(estimates, arms), "", *_claims(claims)]
    lines += [_where(run, manifest)]
    return "\n".join(line for line in lines)


def _row(rows: pd.DataFrame, quantity: str, layer: str, share: float | None = None, metric: str = MAIN_METRIC) -> Any:
    found = rows[(rows["quantity"] == quantity) & (rows["layer"] == layer) & (rows["metric"] == metric)]
    found = found[~found["method"].isin(["exponential", "Hill"])]
    if share is not None:
        found = found[np.isclose(found["share"], share)]
    return None if found.empty else found.iloc[0]


def _nats(row: Any, decimals: int) -> str:
    return interval(row["conf_low"], row["conf_high"], 1, decimals)


def _threshold(cell: pd.DataFrame) -> str:
    row = _row(cell, "threshold", ALL_LAYERS)
    if row is None:
        return "Threshold: only the first block was swept."
    if np.isnan(row["estimate"]):
        return f"Threshold over all blocks but the first: {row['note']}."
    layers = cell[(cell["quantity"] == "threshold") & ~cell["layer"].isin([ALL_LAYERS, "0"])]
    inside = int((layers["conf_high"] < 0.1).sum())
    return (
        f"Threshold: the dose-response line breaks at {percent(row['estimate'])} of neurons "
        f"{interval(row['conf_low'], row['conf_high'])}, over all blocks but the first; "
        f"in {inside} of {len(layers)} blocks by themselves the whole interval lies below 10 %."
    )


def _population(cell: pd.DataFrame) -> list[str]:
    row, spread = (_row(cell, name, ALL_LAYERS) for name in ("population_threshold", "threshold_sd"))
    if row is None or spread is None or np.isnan(row["estimate"]):
        return []
    said = f" ({row['note'].rstrip('.')})" if isinstance(row["note"], str) and row["note"] else ""
    return [
        f"Prompts' own breaks: mean {percent(row['estimate'])} {interval(row['conf_low'], row['conf_high'])}, standard "
        f"deviation {percent(spread['estimate'])}{said}. The mean curve breaks elsewhere, for prompts differ."
    ]


def _kept(estimates: pd.DataFrame) -> list[str]:
    """Sufficiency beside necessity, where it was run."""
    rows = main_rows(estimates[(estimates["metric"] == MAIN_METRIC) & (estimates["arm"] == "keep_top")])
    row = _row(rows, "core_fraction_kept", ALL_LAYERS, 0.5)
    if row is None:
        return []
    if np.isnan(row["estimate"]):
        return [f"Kept alone: {row['note']}."]
    return [
        f"Kept alone, the largest {percent(row['estimate'])} {interval(row['conf_low'], row['conf_high'])} of neurons win "
        "back half of what is lost with the fewest kept."
    ]


def _core(cell: pd.DataFrame) -> list[str]:
    plateau = _row(cell, "plateau", ALL_LAYERS)
    if plateau is None:
        return []
    if np.isnan(plateau["estimate"]):
        return [f"Plateau: {plateau['note']}."]
    lines = [
        f"Plateau: replacing 10 to 90 % of a block's neurons costs {plateau['estimate']:.3f} nats {_nats(plateau, 3)}."
    ]
    parts = []
    for share in (0.5, 0.8, 0.9):
        row = _row(cell, "core_fraction", ALL_LAYERS, share)
        if row is not None and np.isfinite(row["estimate"]):
            parts.append(
                f"{share:.0%} of it is reached at {percent(row['estimate'])} "
                f"{interval(row['conf_low'], row['conf_high'])}"
            )
    return [*lines, f"Core: {'; '.join(parts)} of neurons."] if parts else lines


def _first_block(cell: pd.DataFrame) -> list[str]:
    first, later = _row(cell, "plateau", "0"), _row(cell, "plateau", ALL_LAYERS)
    if first is None or np.isnan(first["estimate"]):
        return []
    line = f"First block: {first['estimate']:.2f} nats {_nats(first, 2)}"
    if later is not None and later["estimate"] > 0:
        line += f", {first['estimate'] / later['estimate']:.0f} times the mean of the other blocks"
    changed = [_row(cell, "plateau", layer, metric="top1_changed") for layer in ("0", ALL_LAYERS)]
    if all(one is not None and np.isfinite(one["estimate"]) for one in changed):
        line += (
            f"; the most likely token changes in {changed[0]['estimate']:.0%} of prompts "
            f"(other blocks {changed[1]['estimate']:.0%})"
        )
    return [f"{line}."]


def _other_arms(estimates: pd.DataFrame, arms: list[str]) -> list[str]:
    if not {"top", "random"} <= set(arms):
        return []
    rows = main_rows(estimates[estimates["arm"] == "random"])
    random = _row(rows, "plateau", ALL_LAYERS)
    if random is None or np.isnan(random["estimate"]):
        return []
    return [
        f"Control: the same numbers of random neurons cost {random['estimate']:.3f} nats "
        f"{_nats(random, 3)} over 10 to 90 %."
    ]


def _claims(claims: pd.DataFrame) -> list[str]:
    claims = claims[claims["decision"].fillna("") != ""]
    if claims.empty:
        return []
    lines = ["The research note's claims (over all blocks but the first, but claim 4; then by block, where tested):"]
    for name, rows in claims.groupby("claim", sort=False):
        overall = rows[rows["layer"] == ALL_LAYERS]
        blocks = rows[rows["layer"] != ALL_LAYERS]
        counts = blocks["decision"].value_counts()
        words = ", ".join(f"{word} {counts.get(word, 0)}" for word in ("supported", "refuted", "undecided"))
        one = overall if len(overall) else blocks
        tail = f" (blocks: {words})" if len(overall) and len(blocks) else ""
        lines.append(f"  {name}: {one['decision'].iloc[0]}{tail}")
    return [*lines, ""]


def _where(run: "Run", manifest: dict[str, Any]) -> str:
    timings, engine = manifest.get("timings", {}), manifest["engine"]
    spent = duration(timings.get("sweep_s", 0.0))
    return (
        f"Engine {engine['used']}, {spent} of sweeping. In {run.path}: this summary, estimates.csv, claims.csv, "
        "tables/*.tex, figures/*.pdf and .png, effects/*.parquet, prompts.parquet, manifest.json."
    )
