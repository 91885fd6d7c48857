"""Estimates and claims → tables of a row each, which break over pages: for an appendix."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ripplestats.fits.curve_layout import ALL_LAYERS
from ripplestats.fits.run_estimates import CELLS, UNITS, main_metric, main_rows
from ripplestats.rendering.latex import BLANK, latex_table
from ripplestats.rendering.numbers import percent
from ripplestats.rendering.provenance import counted, stated
from ripplestats.rendering.terms_table import terms_table
from ripplestats.report.wording import OUTCOMES
from ripplestats.store.atomic import write_text

if TYPE_CHECKING:
    from ripplestats.store.run_directory import Run

#: The quantities shown, with what they are multiplied by to be in percent of neurons, or effects per percentage point.
_SCALES = {
    "threshold": 100, "population_threshold": 100, "threshold_sd": 100, "slope_below": 0.01, "slope_above": 0.01,
    "plateau": 1, "core_fraction": 100, "core_fraction_kept": 100, "mixed_slope_below": 1, "mixed_slope_above": 1,
}  # fmt: skip


def write_long_tables(run: "Run", estimates: pd.DataFrame, claims: pd.DataFrame, notes: tuple[str, ...]) -> None:
    """Write ``tables/estimates_long.tex`` and ``claims_long.tex``; ``notes`` go below the estimates."""
    tables = {
        "estimates_long": _estimates(estimates, run.manifest, notes),
        "claims_long": _claims(claims, run.manifest),
    }
    for name, text in tables.items():
        write_text(run.path / "tables" / f"{name}.tex", text)


def _estimates(estimates: pd.DataFrame, manifest: dict[str, Any], notes: tuple[str, ...]) -> str:
    metric, level = main_metric(estimates["metric"]), float(estimates["conf_level"].iloc[0])
    rows = main_rows(estimates[estimates["metric"] == metric])
    first = (rows[CELLS] == rows[CELLS].iloc[0]).all(axis=1)
    rows = rows[rows["quantity"].isin(list(_SCALES)) & (first | (rows["layer"] == ALL_LAYERS))]
    scale = rows["quantity"].map(_SCALES)
    scaled = {name: rows[name] * scale for name in ("estimate", "std_error", "conf_low", "conf_high")}
    nothing = dict.fromkeys(("statistic", "p_value"), np.nan)
    share = np.where(rows["share"].isna(), "", " " + rows["share"].map(percent))
    varied = [name for name in CELLS if len(set(rows[name])) > 1]
    terms = rows.assign(**scaled, **nothing, term=rows["quantity"].str.replace("_", " ") + share, note="")
    columns = [
        *varied,
        "layer",
        "term",
        "estimate",
        "std_error",
        "statistic",
        "p_value",
        "conf_low",
        "conf_high",
        "note",
    ]
    frame = terms_table(terms[columns], level, layout="long", starred=False).rename(columns={"term": "quantity"})
    counts = (int(estimates["n_prompts"].max()), int(estimates["n_documents"].max()))
    return latex_table(
        frame,
        caption=f"Estimates of the {OUTCOMES[metric]}, a row each. {stated(manifest)}.",
        label="tab:estimates-long",
        notes=(
            f"Thresholds and core fractions in % of neurons, plateaus in {UNITS[metric]}, slopes in {UNITS[metric]} per "
            "percentage point. Of the arms but the first only the mean over blocks.",
            counted(manifest, counts),
            *notes,
        ),
        long=True,
    )


def _claims(claims: pd.DataFrame, manifest: dict[str, Any]) -> str:
    claims, undefined = claims[claims["decision"].fillna("") != ""], ""
    if claims.empty:
        frame = pd.DataFrame({"claim": ["none: they need the arm top with the median"]})
    else:
        claims, undefined = _without_undefined_blocks(claims)
        terms = claims.assign(term=claims["claim"], std_error=np.nan, statistic=np.nan, note="")
        numbers = ["estimate", "std_error", "statistic", "p_value", "p_adjusted", "conf_low", "conf_high"]
        columns = ["layer", "term", *numbers, "note"]
        frame = terms_table(terms[columns], np.nan, layout="long", starred=False, margin=claims["margin"])
        claim = frame.pop("term")
        frame.insert(0, "claim", claim.mask(claim == claim.shift(), BLANK))
        frame["decision"] = claims["decision"].to_numpy()
    adjustments = ", ".join(name for name in claims["adjustment"].dropna().unique() if name != "none")
    return latex_table(
        frame,
        caption=f"The research note's claims, over blocks and in each. {stated(manifest)}.",
        label="tab:claims-long",
        notes=(
            "Intervals are 95 %, those of claim 1 90 % (two one-sided tests at 5 %); they and decisions are not adjusted. "
            + (f"P-values of single blocks are adjusted by {adjustments}. " if adjustments else "")
            + f"{undefined}The nulls in words, and the margins, are in claims.csv.",
            counted(manifest),
        ),
        long=True,
    )


def _without_undefined_blocks(claims: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the claims without single blocks that have no estimate, and a sentence that counts these."""
    by_block = claims["claim"].isin(claims.loc[claims["layer"] == ALL_LAYERS, "claim"])
    left_out = claims["estimate"].isna() & by_block & (claims["layer"] != ALL_LAYERS)
    if not left_out.any():
        return claims, ""
    counts = claims.loc[left_out].groupby("claim", sort=False).size()
    said = "; ".join(f"{name}: {count}" for name, count in counts.items())
    return claims[~left_out], f"Blocks whose estimate is undefined are undecided, and left out ({said}). "
