"""Estimates → the LaTeX tables of a run directory."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ripplestats.fits.run_estimates import ALL_LAYERS, CELLS, MAIN_METHOD, MAIN_METRIC
from ripplestats.rendering.latex import latex_table
from ripplestats.report.wording import details, provenance
from ripplestats.store.atomic import write_text

if TYPE_CHECKING:
    from ripplestats.store.run_directory import Run

_ROWS = (
    "The mean over all blocks but the first for every arm, then each block of the first arm; the others are in "
    "estimates.csv, and why a dash is undefined."
)


def write_tables(run: "Run", estimates: pd.DataFrame, claims: pd.DataFrame) -> None:
    """Write ``tables/*.tex`` of a run: thresholds, core fractions, mixed models, claims."""
    manifest = run.manifest
    level = f"{estimates['conf_level'].iloc[0]:.0%}"
    effects = estimates.loc[estimates["quantity"] == "design_effect", "estimate"].dropna()
    design = f"Design effect of the documents {effects.iloc[0]:.2f}." if len(effects) else ""
    counts = (int(estimates["n_prompts"].max()), int(estimates["n_documents"].max()))
    for name, (frame, caption, notes) in {
        "thresholds": _thresholds(estimates, level),
        "core_fraction": _core_fractions(estimates, level),
        "mixed_model": _mixed_models(estimates, level),
        "claims": _claims(claims),
    }.items():
        table = latex_table(
            frame,
            caption=f"{caption} {provenance(manifest)}.",
            label=f"tab:{name.replace('_', '-')}",
            notes=(*notes, *([] if name == "claims" else [_ROWS]), details(manifest, counts), design),
        )
        write_text(run.path / "tables" / f"{name}.tex", table)


def _thresholds(estimates: pd.DataFrame, level: str) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    rows = estimates[(estimates["metric"] == MAIN_METRIC) & (estimates["method"] == MAIN_METHOD)]
    wide = _wide(rows[rows["quantity"].isin(["threshold", "slope_below", "slope_above"])], "quantity")
    frame = _cells(wide).assign(
        **{
            "threshold (% of neurons)": _with_interval(wide, "threshold", 100, 1),
            "slope below": _with_interval(wide, "slope_below", 0.01, 3),
            "slope above": _with_interval(wide, "slope_above", 0.01, 4),
        }
    )
    caption = "Threshold rate: break of the two-phase line through the mean change in log-probability."
    notes = (
        "Exact global least squares. Slopes in nats per percentage point of neurons replaced.",
        f"In brackets {level} intervals from resampling documents (percentile).",
    )
    return frame, caption, notes


def _core_fractions(estimates: pd.DataFrame, level: str) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    rows = estimates[(estimates["metric"] == MAIN_METRIC) & (estimates["method"] == MAIN_METHOD)]
    rows = rows[rows["quantity"].isin(["plateau", "core_fraction"])]
    caption = "Plateau, and core fraction: the rate at which the mean effect reaches a share of the plateau."
    if rows.empty:
        return pd.DataFrame({"layer": ["none"]}), f"{caption} Only keep_top was run, which has no plateau.", ()
    wide = _wide(rows.assign(key=rows["share"].fillna(0.0)), "key")
    columns = {"plateau (nats)": _with_interval(wide, 0.0, 1, 3)}
    for share in sorted({key for _, key in wide.columns if key}):
        columns[f"{share:.0%} of it (%)"] = _with_interval(wide, share, 100, 1)
    notes = (
        "Plateau: mean change in log-probability over 10 to 90 % of neurons; core fractions in % of neurons. "
        "Core fractions from the isotonic mean curve through zero; a dash where the plateau's interval holds zero.",
        f"In brackets {level} intervals from resampling documents (percentile).",
    )
    return _cells(wide).assign(**columns), caption, notes


def _mixed_models(estimates: pd.DataFrame, level: str) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    names = {"mixed_intercept": "intercept", "mixed_slope_below": "slope below", "mixed_slope_above": "slope above"}
    rows = estimates[estimates["quantity"].isin(list(names))]
    caption = "Mixed-effects model of the change in log-probability (nats) on the rate."
    if rows.empty:
        return pd.DataFrame({"layer": ["none"]}), f"{caption} The arm top was not run.", ()
    wide = _wide(rows, "quantity")
    frame = _cells(wide).assign(**{name: _with_interval(wide, key, 1, 4) for key, name in names.items()})
    notes = [
        "Restricted maximum likelihood (statsmodels), random intercept and slope of each document; slopes per percentage "
        f"point below and above 10 % of neurons. In brackets {level} Wald intervals."
    ]
    warned = rows[rows["note"].fillna("") != ""]
    for trouble, word in {"Not converged": "did not converge", "On the boundary": "boundary"}.items():
        layers = dict.fromkeys(warned.loc[warned["note"].str.contains(word), "layer"])
        if layers:
            notes.append(f"{trouble} (statsmodels' words are in estimates.csv): layers {', '.join(layers)}.")
    return frame, caption, tuple(notes)


def _claims(claims: pd.DataFrame) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    caption = "The research note's claims, and what this run says of each."
    if claims.empty:
        return pd.DataFrame({"claim": ["none: they need the arm top with the median"]}), caption, ()
    rows = []
    for name, group in claims.groupby("claim", sort=False):
        overall = group[group["layer"] == ALL_LAYERS]
        blocks = group[group["layer"] != ALL_LAYERS]
        one = (overall if len(overall) else blocks).iloc[0]
        counts = blocks["decision"].value_counts()
        shown = f"{one['estimate']:.3f} [{one['conf_low']:.3f}, {one['conf_high']:.3f}]".replace("-", "−")
        rows.append(
            {
                "claim": name,
                "estimate": shown if np.isfinite(one["estimate"]) else "",
                "limit": f"{one['margin']:g}",
                "p": "" if np.isnan(one["p_value"]) else f"{one['p_value']:.2g}",
                "decision": one["decision"],
                "blocks": "/".join(str(counts.get(word, 0)) for word in ("supported", "refuted", "undecided"))
                if len(overall)
                else "",
            }
        )
    notes = (
        "Over all blocks but the first; claim 4: block 0 against the others. Shares of neurons or nats; limit: the margin "
        "or bound of the claim. Blocks: how many by themselves are supported/refuted/undecided. Intervals are 95 %, "
        "those of claim 1 90 % (two one-sided tests at 5 %); p-values of single blocks, adjusted by Holm's method, and "
        "the nulls in words are in claims.csv.",
    )
    return pd.DataFrame(rows), caption, notes


def _wide(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Put a quantity's estimate and limits side by side: the overall row of every cell, then the first cell's layers."""
    first = (rows[CELLS] == rows[CELLS].iloc[0]).all(axis=1)
    rows = rows[(rows["layer"] == ALL_LAYERS) | first]
    keys = [*CELLS, "layer"]
    order = {key: number for number, key in enumerate(dict.fromkeys(rows[keys].itertuples(index=False, name=None)))}
    wide = rows.set_index([*keys, column])[["estimate", "conf_low", "conf_high"]].unstack(column)
    places = [(key[-1] != ALL_LAYERS, order[key]) for key in wide.index]
    wide = wide.iloc[sorted(range(len(wide)), key=places.__getitem__)]
    return wide.reset_index(level=keys, col_level=0)


def _cells(wide: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that name a row, those that never change left out."""
    names = pd.DataFrame({key: wide[key].to_numpy(str).ravel() for key in (*CELLS, "layer")})
    return names[[key for key in names if key == "layer" or len(set(names[key])) > 1]]


def _with_interval(wide: pd.DataFrame, key: object, scale: float, decimals: int) -> list[str]:
    """Return ``estimate [low, high]`` as text, and nothing where it is undefined."""
    found = []
    for value, low, high in zip(*(wide[name, key] for name in ("estimate", "conf_low", "conf_high")), strict=True):
        numbers = [f"{scale * one:.{decimals}f}".replace("-", "−") for one in (value, low, high)]
        limits = f" [{numbers[1]}, {numbers[2]}]" if np.isfinite(low) and np.isfinite(high) else ""
        found.append(f"{numbers[0]}{limits}" if np.isfinite(value) else "")
    return found
