"""All estimates of a run: every arm, replacement, site, metric and layer by the same estimators."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import Resamples, resample_documents
from ripplestats.fits.contrasts import contrast
from ripplestats.fits.core import core_terms
from ripplestats.fits.curves import DocumentCurves, document_curves
from ripplestats.fits.mixed import mixed
from ripplestats.fits.segmented import segmented_terms
from ripplestats.store.schema import ESTIMATES

if TYPE_CHECKING:
    from ripplestats.store.run_directory import Run

#: Outcomes that have a dose–response curve with a threshold.
CURVE_METRICS = ("delta_logprob", "delta_logit", "kl")
#: The layer name of the mean over all blocks but the first.
ALL_LAYERS = "all"
#: The dose at which the mixed model's slope may change: where the seed says that the effect ends.
KNOT_PERCENT = 10.0
CELLS = ["arm", "replacement", "site"]
#: The outcome that tables, figures, summary and claims are about, and the kind of interval that they show.
MAIN_METRIC = "delta_logprob"
MAIN_METHOD = "document bootstrap, percentile"
_METHODS = {"bootstrap percentile": MAIN_METHOD, "bootstrap bca": "document bootstrap, BCa"}
_MIXED_TERMS = {"Intercept": "mixed_intercept", "below": "mixed_slope_below", "above": "mixed_slope_above"}


_SLOPES = ("below", "above", "sd below")
_FIGURES = ("estimate", "std_error", "conf_low", "conf_high")


def layer_curves(frame: pd.DataFrame, metric: str) -> DocumentCurves:
    """Return documents' curves by layer, preceded by their mean over all blocks but the first.

    Args:
        frame: the effects of one arm, replacement and site.
        metric: the outcome column.
    """
    curves = document_curves(frame, y=metric, x="effective_rate", cluster="document_id", by="layer")
    later = [layer for layer in curves.groups if layer != 0]
    return curves.with_mean_of(later, ALL_LAYERS) if later else curves


def estimate_run(run: "Run", *, n_boot: int = 2000, seed: int = 0, conf_level: float = 0.95) -> pd.DataFrame:
    """Estimate thresholds, plateaus, core fractions and mixed models of a run.

    Args:
        run: a run with effects.
        n_boot: bootstrap samples of documents; all estimates share the same samples.
        seed: of the resampling.
        conf_level: of the intervals.

    Returns:
        One row an estimate, the columns of estimates.csv.
    """
    effects = run.effects()
    n_documents = effects["document_id"].nunique()
    resamples = resample_documents(n_documents, n_boot, np.random.default_rng(seed))
    tables = [
        table
        for names, frame in effects.groupby(CELLS, observed=True, sort=False)
        for table in _tables(dict(zip(CELLS, names, strict=True)), frame, resamples, conf_level)
    ]
    found = pd.concat(tables, ignore_index=True)
    found["conf_level"] = conf_level
    return found[list(ESTIMATES)]


def _tables(
    cell: dict[str, str], frame: pd.DataFrame, resamples: Resamples, conf_level: float
) -> Iterator[pd.DataFrame]:
    for metric in (*CURVE_METRICS, "top1_changed"):
        curves = layer_curves(frame, metric)
        named = {**cell, "metric": metric, "n_prompts": curves.n_prompts, "n_documents": curves.n_documents}
        if metric in CURVE_METRICS:
            yield _rows(segmented_terms(curves, resamples, conf_level), named)
        # The share kept needs a curve of its own: keep_top falls where the others rise.
        if cell["arm"] != "keep_top":
            shares = () if metric == "top1_changed" else (0.5, 0.8, 0.9)
            yield _rows(core_terms(curves, resamples, conf_level, shares), named)
            if metric == "delta_logprob":
                yield _design_effect(frame, curves, named)
    if cell["arm"] == "top":
        yield mixed_rows(frame, cell, conf_level)


def _design_effect(frame: pd.DataFrame, curves: DocumentCurves, named: dict[str, object]) -> pd.DataFrame:
    """Return the variance of the overall mean effect over documents, relative to independent prompts (Kish 1965)."""
    later = frame[frame["layer"] != 0] if curves.groups[0] == ALL_LAYERS else frame
    means = later.groupby(["document_id", "prompt_id"])["delta_logprob"].mean()
    independent = float(means.var(ddof=1)) / len(means) if len(means) > 1 else np.nan
    by_document = means.groupby("document_id").agg(["mean", "size"])
    clustered = contrast(by_document[["mean"]].to_numpy(), by_document["size"].to_numpy(np.float64), (ALL_LAYERS,))
    estimate = float(clustered.std_error[0]) ** 2 / independent if independent > 0 else np.nan
    blank = dict.fromkeys(("share", "std_error", "conf_low", "conf_high"), np.nan)
    note = "" if np.isfinite(estimate) else "undefined: no spread, or too few documents"
    row = {**named, **blank, "quantity": "design_effect", "layer": str(curves.groups[0]), "estimate": estimate}
    return pd.DataFrame([{**row, "method": "variance over documents / over prompts", "note": note}])


def _rows(terms: pd.DataFrame, named: dict[str, object]) -> pd.DataFrame:
    share = terms.get("share", np.nan)
    return pd.DataFrame(
        {
            **named,
            "quantity": terms["term"],
            "layer": terms["group"].astype(str),
            "share": share,
            "method": terms["method"].map(_METHODS),
            **{name: terms[name] for name in (*_FIGURES, "note")},
        }
    )


def mixed_rows(frame: pd.DataFrame, cell: dict[str, str], conf_level: float) -> pd.DataFrame:
    """Fit the mixed model of log-probability on rate for each layer and for the mean over layers.

    Per percentage point, with a slope below 10 % and one above; random intercept and slope below of each document.
    """
    rate = 100 * frame["effective_rate"]
    data = frame[["prompt_id", "document_id", "layer", "delta_logprob", "effective_rate"]].assign(
        below=rate.clip(upper=KNOT_PERCENT), above=(rate - KNOT_PERCENT).clip(lower=0), layer=frame["layer"].astype(str)
    )
    later = data[data["layer"] != "0"]
    keys = ["prompt_id", "document_id", "below", "above"]
    overall = later.groupby(keys, as_index=False)["delta_logprob"].mean().assign(layer=ALL_LAYERS)
    rows = []
    for layer, one in [(ALL_LAYERS, overall), *data.groupby("layer", sort=False)]:
        if one.empty:
            continue
        rows += _mixed_layer(str(layer), one, conf_level)
    named = {**cell, "metric": "delta_logprob", "share": np.nan, "method": "MixedLM, REML, Wald"}
    counts = {"n_prompts": frame["prompt_id"].nunique(), "n_documents": frame["document_id"].nunique()}
    return pd.DataFrame(rows).assign(**named, **counts)


def _mixed_layer(layer: str, data: pd.DataFrame, conf_level: float) -> list[dict[str, object]]:
    several = len(data["prompt_id"].unique()) > len(data["document_id"].unique())
    # The optimiser wants numbers near one: effects in their own standard deviation, slopes per ten points.
    unit = float(data["delta_logprob"].std()) or 1.0
    scaled = data.assign(
        y=data["delta_logprob"] / unit, below=data["below"] / KNOT_PERCENT, above=data["above"] / KNOT_PERCENT
    )
    try:
        fit = mixed(
            scaled, "y ~ below + above", groups="document_id", re_formula="~ below",
            vc_formula={"prompt": "0 + C(prompt_id)"} if several else None, conf_level=conf_level,
        )  # fmt: skip
    except InputError as error:
        blank = dict.fromkeys(_FIGURES, np.nan)
        return [{"layer": layer, "quantity": name, **blank, "note": str(error)} for name in _MIXED_TERMS.values()]
    note = " ".join(fit.notes[1:])
    return [
        {
            "layer": layer,
            "quantity": _MIXED_TERMS.get(row.term, f"mixed_{row.term.lower().replace(' ', '_')}"),
            **{name: getattr(row, name) * unit / (KNOT_PERCENT if row.term in _SLOPES else 1.0) for name in _FIGURES},
            "note": note,
        }
        for row in fit.tidy().itertuples()
    ]
