"""Estimates → the LaTeX tables of a run directory."""

from typing import TYPE_CHECKING

import pandas as pd

from ripplestats.rendering.latex import latex_table
from ripplestats.report.wording import details, provenance
from ripplestats.store.atomic import write_text

if TYPE_CHECKING:
    from ripplestats.store.run_directory import Run

_METHOD = "document bootstrap, percentile"
_UNDEFINED = "A dash: undefined; estimates.csv says why."


def write_tables(run: "Run", estimates: pd.DataFrame) -> None:
    """Write ``tables/*.tex`` of a run: thresholds, core fractions, mixed models."""
    manifest = run.manifest
    for name, (frame, caption, notes) in {
        "thresholds": _thresholds(estimates),
        "core_fraction": _core_fractions(estimates),
        "mixed_model": _mixed_models(estimates),
    }.items():
        table = latex_table(
            frame,
            caption=f"{caption} {provenance(manifest)}.",
            label=f"tab:{name.replace('_', '-')}",
            notes=(*notes, details(manifest), f"Bootstrap: {_level(estimates)} intervals over documents. {_UNDEFINED}"),
            decimals=2,
        )
        write_text(run.path / "tables" / f"{name}.tex", table)


def _level(estimates: pd.DataFrame) -> str:
    return f"{estimates['conf_level'].iloc[0]:.0%}"


def _thresholds(estimates: pd.DataFrame) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    rows = _percentile(estimates[estimates["quantity"].isin(["threshold", "slope_below", "slope_above"])])
    wide = _wide(rows[rows["metric"] == "delta_logprob"], "quantity")
    frame = _cells(wide).assign(
        **{
            "threshold (%)": 100 * wide["estimate", "threshold"],
            "low": 100 * wide["conf_low", "threshold"],
            "high": 100 * wide["conf_high", "threshold"],
            "slope below": wide["estimate", "slope_below"] / 100,
            "slope above": wide["estimate", "slope_above"] / 100,
        }
    )
    caption = "Threshold rate: break of the two-phase line through the mean change in log-probability."
    notes = ("Exact global least squares; slopes in nats per percentage point of neurons replaced.",)
    return frame, caption, notes


def _core_fractions(estimates: pd.DataFrame) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    rows = _percentile(estimates[estimates["quantity"].isin(["plateau", "core_fraction"])])
    rows = rows[rows["metric"] == "delta_logprob"].assign(key=lambda f: f["share"].fillna(0.0))
    wide = _wide(rows, "key")
    columns = {
        "plateau": wide["estimate", 0.0],
        "low ": wide["conf_low", 0.0],
        "high ": wide["conf_high", 0.0],
    }
    for share in sorted({key for _, key in wide.columns if key}):
        columns |= {
            f"{share:.0%} (% of neurons)": 100 * wide["estimate", share],
            f"low {share:.0%}": 100 * wide["conf_low", share],
            f"high {share:.0%}": 100 * wide["conf_high", share],
        }
    caption = "Plateau (nats) and core fraction: neurons replaced when the mean effect reaches shares of the plateau."
    notes = (
        "Plateau: mean change in log-probability over 10 to 90 %. "
        "Core fractions from the isotonic mean curve through zero.",
    )
    return _cells(wide).assign(**columns), caption, notes


def _mixed_models(estimates: pd.DataFrame) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    rows = estimates[estimates["method"].str.startswith("MixedLM")]
    rows = rows[~rows["quantity"].str.startswith("mixed_sd")]
    notes = [
        "Restricted maximum likelihood (statsmodels), Wald intervals; random intercept and slope of each document."
    ]
    notes.append("Slopes in nats per percentage point, below and above 10 % of neurons.")
    warned = rows[rows["note"].fillna("") != ""]
    for note, group in warned.groupby("note", sort=False):
        notes.append(f"Layers {', '.join(dict.fromkeys(group['layer']))}: {note}")
    if rows.empty:
        empty = pd.DataFrame({"layer": [], "intercept": []})
        return empty, "Mixed-effects model of the change in log-probability: needs the arm top.", ()
    wide = _wide(rows, "quantity")
    frame = _cells(wide)
    for quantity, name in {
        "mixed_intercept": "intercept", "mixed_slope_below": "slope below", "mixed_slope_above": "slope above",
    }.items():  # fmt: skip
        frame[name] = wide["estimate", quantity]
        frame[f"{name}: low"] = wide["conf_low", quantity]
        frame[f"{name}: high"] = wide["conf_high", quantity]
    return frame, "Mixed-effects model of the change in log-probability on the rate.", tuple(notes)


def _percentile(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["method"] == _METHOD]


def _wide(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Put a quantity's estimate and limits side by side: one row an arm, replacement, site and layer."""
    order = pd.unique(rows["layer"])
    rows = rows.assign(layer=pd.Categorical(rows["layer"], categories=order, ordered=True))
    keys = ["arm", "replacement", "site", "layer"]
    wide = rows.set_index([*keys, column])[["estimate", "conf_low", "conf_high"]].unstack(column)
    return wide.sort_index().reset_index(level=keys, col_level=0)


def _cells(wide: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that name a row, those that never change left out."""
    names = pd.DataFrame({key: wide[key].astype(str).squeeze() for key in ("arm", "replacement", "site", "layer")})
    return names[[key for key in names if key == "layer" or len(set(names[key])) > 1]]
