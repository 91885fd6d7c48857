"""All estimates of a run: every arm, replacement, site, metric and layer by the same estimators."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ripplestats.fits.blas import one_blas_thread
from ripplestats.fits.bootstrap import Resamples, resample_documents
from ripplestats.fits.contrasts import contrast
from ripplestats.fits.core import core_terms
from ripplestats.fits.curve_layout import ALL_LAYERS, Cell
from ripplestats.fits.curves import DocumentCurves, document_curves
from ripplestats.fits.products import CrossProducts
from ripplestats.fits.run_models import mixed_rows, population_rows
from ripplestats.fits.run_statistics import METRICS, RunStatistics, run_statistics
from ripplestats.fits.saturation_curves import saturation_terms
from ripplestats.fits.saturation_shapes import MODELS
from ripplestats.fits.segmented import method_name, segmented_terms
from ripplestats.fits.sufficiency import sufficiency_terms
from ripplestats.store.schema import ESTIMATES

if TYPE_CHECKING:
    from ripplestats.store.run_directory import Run

#: Outcomes that have a dose–response curve with a threshold.
CURVE_METRICS = ("delta_logprob", "delta_logit", "kl")
CELLS = ["arm", "replacement", "site"]
#: Outcomes that tables, figures, summary and claims can be about: of these the first that was recorded.
MAIN_METRICS = ("delta_logprob", "delta_logit")
MAIN_METRIC = MAIN_METRICS[0]
UNITS = {"delta_logprob": "nats", "delta_logit": "logits", "kl": "nats"}
#: The kinds of interval in the estimates; those that cover best by simulation are shown in tables and figures.
INVERTED = "inverted test over documents"
RESAMPLED = "document bootstrap, expanded percentile"
_METHODS = {
    "inversion": INVERTED,
    "expanded": RESAMPLED,
    "percentile": "document bootstrap, percentile",
    "bca": "document bootstrap, BCa",
    "wald": "delta method",
}
#: Methods of the parametric curves.
PARAMETRIC = tuple(model.name for model in MODELS)
_SHOWN = {"threshold": INVERTED, "plateau": INVERTED, "core_fraction": INVERTED}
_FIGURES = ("estimate", "std_error", "conf_low", "conf_high")


def main_rows(estimates: pd.DataFrame, *, parametric: bool = False) -> pd.DataFrame:
    """Return the rows that are shown: of the curves' quantities those by the interval that covers best.

    Plateaus and core fractions of ``parametric`` curves, which check those of the isotonic one, only where asked for.
    """
    shown = estimates["quantity"].map(_SHOWN).fillna(RESAMPLED)
    others = [*_METHODS.values(), *([] if parametric else PARAMETRIC)]
    return estimates[(estimates["method"] == shown) | ~estimates["method"].isin(others)]


def main_metric(recorded: Iterable[str]) -> str:
    """Return the outcome that tables, figures, summary and claims are about, of those that were recorded."""
    names = set(recorded)
    return next((metric for metric in MAIN_METRICS if metric in names), MAIN_METRIC)


def layer_curves(frame: pd.DataFrame, metric: str) -> DocumentCurves:
    """Return documents' curves by layer, preceded by their mean over all blocks but the first.

    Args:
        frame: the effects of one arm, replacement and site.
        metric: the outcome column.
    """
    curves = document_curves(frame, y=metric, x="effective_rate", cluster="document_id", by="layer")
    later = [layer for layer in curves.groups if layer != 0]
    return curves.with_mean_of(later, ALL_LAYERS) if later else curves


def cell_curves(run_or_frame: "Run | pd.DataFrame", metrics: Sequence[str] = METRICS) -> dict[Cell, DocumentCurves]:
    """Return the curves by layer of every arm, replacement, site and metric of a run, or of effects in memory.

    Args:
        run_or_frame: a run, or its effects, of which metrics that were not recorded are left out.
        metrics: outcome columns.
    """
    if not isinstance(run_or_frame, pd.DataFrame):
        return run_statistics(run_or_frame, metrics).curves
    return {
        Cell(str(arm), str(replacement), str(site), metric): layer_curves(frame, metric)
        for (arm, replacement, site), frame in run_or_frame.groupby(CELLS, observed=True, sort=False)
        for metric in recorded_in(run_or_frame, metrics)
    }


def recorded_in(effects: pd.DataFrame, metrics: Sequence[str] = METRICS) -> list[str]:
    """Return those of the outcomes that effects in memory hold numbers of."""
    return [metric for metric in metrics if metric in effects and effects[metric].notna().any()]


@one_blas_thread
def estimate_run(
    run: "Run",
    *,
    n_boot: int = 2000,
    seed: int = 0,
    conf_level: float = 0.95,
    statistics: RunStatistics | None = None,
) -> pd.DataFrame:
    """Estimate thresholds, plateaus, core fractions and mixed models of a run.

    Args:
        run: a run with effects.
        n_boot: bootstrap samples of documents; all estimates share the same samples.
        seed: of the resampling.
        conf_level: of the intervals.
        statistics: of the run, with the cross-products of its main metric, where they have been read already.

    Returns:
        One row an estimate, the columns of estimates.csv.

    Examples:
        With a small model, and a file of sixty texts:

        >>> model = rs.load_model("my-model")
        >>> prompts = rs.load_prompts("texts.jsonl", n=16, context=12, tokenizer=model.tokenizer)
        >>> run = rs.sweep(model, prompts, rates="1,5,20,90", arms=("top",), out="runs/estimated")
        >>> rows = rs.estimate_run(run, n_boot=200)
        >>> rows.loc[rows["quantity"] == "plateau", "metric"].unique().tolist()
        ['delta_logprob', 'delta_logit', 'kl', 'top1_changed']
    """
    main = main_metric(run.metrics)
    statistics = statistics or run_statistics(run, products=[main])
    n_units = next(iter(statistics.curves.values())).n_documents
    resamples = resample_documents(n_units, n_boot, np.random.default_rng(seed))
    tables = [
        table
        for cell, curves in statistics.curves.items()
        for table in _tables(cell, curves, statistics.products.get(cell), resamples, conf_level)
    ]
    tables += [population_rows(run, cell, conf_level) for cell in statistics.products if cell.arm == "top"]
    found = pd.concat(tables, ignore_index=True)
    found["conf_level"] = conf_level
    return found[list(ESTIMATES)]


def _tables(
    cell: Cell, curves: DocumentCurves, products: CrossProducts | None, resamples: Resamples, conf_level: float
) -> Iterator[pd.DataFrame]:
    """Yield the tables of a cell; ``products`` are None where its metric is not the main one."""
    is_main = cell.arm == "top" and products is not None
    named = {**cell._asdict(), "n_prompts": curves.n_prompts, "n_documents": curves.total_documents}
    if cell.metric in CURVE_METRICS:
        intervals = ("inversion", "expanded", "bca", "wald")
        terms = segmented_terms(curves, resamples, conf_level, intervals)
        # Slopes have no test of their own to invert.
        shown = (terms["method"] != "inversion") | (terms["term"] == "threshold")
        yield _rows(terms[shown], named)
    if cell.arm == "keep_top":
        if cell.metric in CURVE_METRICS:
            yield _rows(sufficiency_terms(curves, resamples, conf_level), named)
    else:
        shares = (0.5, 0.8, 0.9) if cell.metric in CURVE_METRICS else ()
        yield _rows(
            core_terms(curves, resamples, conf_level, shares, intervals=("inversion", "expanded", "bca")), named
        )
        if is_main:
            yield _rows(saturation_terms(curves, resamples, conf_level, interval="expanded"), named)
    if products is not None:
        yield _design_effect(curves, products, named)
        if is_main:
            yield mixed_rows(curves, products, conf_level).assign(**named)


def _design_effect(curves: DocumentCurves, products: CrossProducts, named: dict[str, object]) -> pd.DataFrame:
    """Return the variance of the overall mean effect over documents, relative to independent prompts (Kish 1965)."""
    dose = curves.dose_weights / curves.dose_weights.sum()
    n_prompts = products.n_prompts
    total = products.within[0] + np.tensordot(products.sizes, products.between[:, 0], axes=1)
    mean = float(products.sizes @ products.sums[:, 0] @ dose) / n_prompts
    squares = float(dose @ total @ dose) - n_prompts * mean**2
    independent = squares / (n_prompts - 1) / n_prompts if n_prompts > 1 else np.nan
    clustered = contrast(curves.values[:, :1] @ dose, curves.weights, (ALL_LAYERS,))
    estimate = float(clustered.std_error[0]) ** 2 / independent if independent > 0 else np.nan
    blank = dict.fromkeys(("share", "std_error", "conf_low", "conf_high"), np.nan)
    note = "" if np.isfinite(estimate) else "undefined: no spread, or too few documents"
    row = {**named, **blank, "quantity": "design_effect", "layer": str(curves.groups[0]), "estimate": estimate}
    return pd.DataFrame([{**row, "method": "variance over documents / over prompts", "note": note}])


def _rows(terms: pd.DataFrame, named: dict[str, object]) -> pd.DataFrame:
    labels = {method_name(name): label for name, label in _METHODS.items()}
    return pd.DataFrame(
        {
            **named,
            "quantity": terms["term"],
            "layer": terms["group"].astype(str),
            "share": terms.get("share", np.nan),
            "method": terms["method"].map(lambda name: labels.get(name, name)),
            **{name: terms[name] for name in (*_FIGURES, "note")},
        }
    )
