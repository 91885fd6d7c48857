"""What a run found, in a few lines of plain words."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ripplestats.fits.curve_layout import ALL_LAYERS
from ripplestats.fits.run_estimates import UNITS, main_metric, main_rows
from ripplestats.hypotheses.claims import CLAIMS, THRESHOLD, UNDEFINED
from ripplestats.rendering.numbers import digits_beside, percent
from ripplestats.rendering.progress import duration
from ripplestats.rendering.provenance import provenance
from ripplestats.report.adaptive_design import adaptive_design
from ripplestats.report.precision_table import precision_lines
from ripplestats.report.wording import OUTCOMES, interval, mean_blocks, mean_over, untested

if TYPE_CHECKING:
    from ripplestats.store.run_directory import Run


def summarise(run: "Run", estimates: pd.DataFrame, claims: pd.DataFrame) -> str:
    """Return the findings of a run: threshold, core, first block, claims, what was used, where things are."""
    manifest = run.manifest
    data, blocks = manifest["dataset"], mean_blocks(manifest)
    metric = main_metric(estimates["metric"])
    lines = [
        f"{provenance(manifest)}.",
        f"{estimates['n_prompts'].max()} prompts from {estimates['n_documents'].max()} documents, the units of "
        f"inference; {OUTCOMES[metric]} of the target in {UNITS[metric]}, clean − replaced; "
        f"{percent(estimates['conf_level'].iloc[0])} intervals in brackets.",
        *[f"Note: {note}." for note in data["notes"]],
        *precision_lines(manifest),
        *adaptive_design(manifest),
        "",
    ]
    arms = list(dict.fromkeys(estimates["arm"]))
    cell = estimates[estimates["arm"] == ("top" if "top" in arms else arms[0])]
    cell = cell[(cell["replacement"] == cell["replacement"].iloc[0]) & (cell["site"] == cell["site"].iloc[0])]
    cell = main_rows(cell[cell["metric"].isin([metric, "top1_changed"])])
    lines += [_threshold(cell, blocks), *_population(cell), *_core(cell), *_kept(estimates), *_first_block(cell)]
    lines += [*_other_arms(estimates, arms), "", *_claims(claims, blocks)]
    lines += [_where(run, manifest)]
    return "\n".join(line for line in lines)


def _row(rows: pd.DataFrame, quantity: str, layer: str, share: float | None = None, metric: str = "") -> Any:
    wanted = metric or main_metric(rows["metric"])
    found = rows[(rows["quantity"] == quantity) & (rows["layer"] == layer) & (rows["metric"] == wanted)]
    if share is not None:
        found = found[np.isclose(found["share"], share)]
    return None if found.empty else found.iloc[0]


def _amount(row: Any, decimals: int) -> str:
    """Return an effect with its unit and interval."""
    limits = interval(row["conf_low"], row["conf_high"], 1, decimals)
    return f"{row['estimate']:.{decimals}f} {UNITS[row['metric']]} {limits}"


def _threshold(cell: pd.DataFrame, blocks: str) -> str:
    row = _row(cell, "threshold", ALL_LAYERS)
    if row is None:
        row = _row(cell, "threshold", "0")
        if row is None:
            return "Threshold: none."
        found = row["note"]
        if np.isfinite(row["estimate"]):
            found = _break(row)
        return f"Only the first block was swept. Its threshold: {found}."
    if np.isnan(row["estimate"]):
        return f"Threshold over {blocks}: {row['note']}."
    layers = cell[(cell["quantity"] == "threshold") & ~cell["layer"].isin([ALL_LAYERS, "0"])]
    inside = int((layers["conf_high"] < CLAIMS[THRESHOLD].margin).sum())
    return (
        f"Threshold: the dose-response line, {mean_over(blocks)}, breaks at {_break(row)}; in {inside} of "
        f"{len(layers)} blocks by themselves the whole interval lies below 10 %."
    )


def _break(row: Any) -> str:
    """Return a threshold with its interval, which can be told from the 10 % that the claim sets."""
    low, high = row["conf_low"], row["conf_high"]
    decimals = digits_beside(100 * CLAIMS[THRESHOLD].margin, (100 * low, 100 * high), 1)
    return f"{percent(row['estimate'], decimals)} of neurons {interval(low, high, decimals=decimals)}"


def _population(cell: pd.DataFrame) -> list[str]:
    row, spread = (_row(cell, name, ALL_LAYERS) for name in ("population_threshold", "threshold_sd"))
    if row is None or spread is None:
        return []
    if np.isnan(row["estimate"]):
        return [f"Prompts' own breaks: {row['note'].rstrip('.')}."]
    said = [f"  {row['note']}"] if isinstance(row["note"], str) and row["note"] else []
    return [
        f"Prompts' own breaks: mean {percent(row['estimate'], 1)} {interval(row['conf_low'], row['conf_high'])}, standard "
        f"deviation {percent(spread['estimate'], 1)}; where prompts differ, the mean curve's break is another quantity.",
        *said,
    ]


def _kept(estimates: pd.DataFrame) -> list[str]:
    """Sufficiency beside necessity, where it was run."""
    rows = main_rows(
        estimates[(estimates["metric"] == main_metric(estimates["metric"])) & (estimates["arm"] == "keep_top")]
    )
    row = _row(rows, "core_fraction_kept", ALL_LAYERS, 0.5)
    if row is None:
        return []
    if np.isnan(row["estimate"]):
        return [f"Kept alone: {row['note']}."]
    return [
        f"Kept alone, the largest {percent(row['estimate'], 1)} {interval(row['conf_low'], row['conf_high'])} of neurons win "
        "back half of what is lost with the fewest kept."
    ]


def _core(cell: pd.DataFrame) -> list[str]:
    plateau = _row(cell, "plateau", ALL_LAYERS)
    if plateau is None:
        return []
    if np.isnan(plateau["estimate"]):
        return [f"Plateau: {plateau['note']}."]
    lines = [f"Plateau: replacing 10 to 90 % of a block's neurons costs {_amount(plateau, 3)}."]
    parts: list[str] = []
    for share in (0.5, 0.8, 0.9):
        row = _row(cell, "core_fraction", ALL_LAYERS, share)
        if row is not None and np.isfinite(row["estimate"]):
            of, done = ("", "") if parts else (" of the plateau is reached", " of neurons replaced")
            limits = interval(row["conf_low"], row["conf_high"])
            parts.append(f"{percent(share)}{of} with {percent(row['estimate'], 1)}{done} {limits}")
    return [*lines, f"Core: {', '.join(parts)}."] if parts else lines


def _first_block(cell: pd.DataFrame) -> list[str]:
    first, later = _row(cell, "plateau", "0"), _row(cell, "plateau", ALL_LAYERS)
    if first is None or np.isnan(first["estimate"]):
        return []
    line = f"First block: {_amount(first, 2)}"
    if later is not None and later["estimate"] > 0:
        line += f", {first['estimate'] / later['estimate']:.0f} times the mean of the other blocks"
    changed = [_row(cell, "plateau", layer, metric="top1_changed") for layer in ("0", ALL_LAYERS)]
    if all(one is not None and np.isfinite(one["estimate"]) for one in changed):
        line += (
            f"; the most likely token changes in {percent(changed[0]['estimate'])} of prompts "
            f"(other blocks {percent(changed[1]['estimate'])})"
        )
    return [f"{line}."]


def _other_arms(estimates: pd.DataFrame, arms: list[str]) -> list[str]:
    if not {"top", "random"} <= set(arms):
        return []
    rows = main_rows(estimates[estimates["arm"] == "random"])
    random = _row(rows, "plateau", ALL_LAYERS)
    if random is None or np.isnan(random["estimate"]):
        return []
    return [f"Control: the same numbers of random neurons cost {_amount(random, 3)} over 10 to 90 %."]


def _claims(claims: pd.DataFrame, where: str) -> list[str]:
    claims = claims[claims["decision"].fillna("") != ""]
    if claims.empty:
        return []
    lines = [f"The research note's claims, over {where} (claim 4: block 0 against them), and in single blocks:"]
    width = max(map(len, claims["claim"])) + 1
    for name, rows in claims.groupby("claim", sort=False):
        overall = rows[rows["layer"] == ALL_LAYERS]
        blocks = rows[rows["layer"] != ALL_LAYERS]
        one = overall if len(overall) else blocks
        why = str(one["null"].iloc[0]).partition(UNDEFINED)[2].removesuffix(")")
        by_block = _tally(blocks) if len(overall) and len(blocks) else ""
        said = f"{one['decision'].iloc[0]:<11}{by_block}{f' ({why})' if why else ''}"
        lines.append(f"  {f'{name}:':<{width}} {said.rstrip()}")
    return [*lines, *(f"  {line}" for line in untested(claims["claim"])), ""]


def _tally(blocks: pd.DataFrame) -> str:
    counts = blocks["decision"].value_counts()
    return ", ".join(f"{counts.get(word, 0)} {word}" for word in ("supported", "refuted", "undecided"))


def _where(run: "Run", manifest: dict[str, Any]) -> str:
    timings, engine = manifest.get("timings", {}), manifest["engine"]
    spent = duration(timings.get("sweep_s", 0.0))
    return (
        f"Engine {engine['used']}, {spent} of sweeping. In {run.path}: this summary, estimates.csv, claims.csv, "
        "tables/*.tex, figures/*.pdf and .png, report.html, effects/*.parquet, prompts.parquet, manifest.json."
    )
