"""The mixed models of a run, for each layer and over all: their rows in the estimates."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from ripplestats.errors import InputError
from ripplestats.fits.balanced.design import BalancedModel, RandomEffect
from ripplestats.fits.balanced.fit import BalancedFit, fit_balanced
from ripplestats.fits.balanced.inference import satterthwaite
from ripplestats.fits.curve_layout import ALL_LAYERS, Cell
from ripplestats.fits.curves import DocumentCurves, Floats
from ripplestats.fits.products import CrossProducts
from ripplestats.fits.prompt_curves import prompt_curves
from ripplestats.fits.random_breaks.law_choice import AUTOMATIC, fit_by_law
from ripplestats.fits.random_breaks.layout import GENERAL

if TYPE_CHECKING:
    from ripplestats.store.run_directory import Run

#: The dose at which the mixed model's slope may change: where the seed says that the effect ends.
KNOT_PERCENT = 10.0
MIXED = "mixed model, REML, Satterthwaite"
CROSSED = "mixed model, prompts crossed with layers, REML, Satterthwaite"
POPULATION_GENERAL = "segmented mixed model, general law, robust t"
POPULATION_SIMPLE = "segmented mixed model, simple law, REML, robust t"
_FIXED = ("mixed_intercept", "mixed_slope_below", "mixed_slope_above")
_RANDOM = ("intercept", "slope_below")
Row = dict[str, object]


def mixed_rows(curves: DocumentCurves, products: CrossProducts, conf_level: float) -> pd.DataFrame:
    """Fit the mixed model of a cell's effect on the rate for each layer, the mean over layers, and all layers at once.

    Per percentage point, with a slope below 10 % and one above; random intercept and slope below of documents and, where
    documents hold several, of prompts. Of all layers at once: of layers, too, and of each prompt in each layer. Doses
    that several rates share count once.
    """
    percent = 100 * curves.x
    below, above = np.minimum(percent, KNOT_PERCENT), np.maximum(percent - KNOT_PERCENT, 0.0)
    fixed = np.column_stack([np.ones_like(percent), below, above])
    effect = RandomEffect(fixed[:, :2])
    several = bool((products.sizes > 1).any())
    model = BalancedModel(fixed, document=effect if several else None, prompt=effect)
    rows: list[Row] = []
    for place, layer in enumerate(curves.groups):
        rows += _fitted(_of_groups(products, [place]), model, str(layer), MIXED, conf_level)
    later = [place for place, layer in enumerate(curves.groups) if place and layer != 0]
    if len(later) > 1:
        crossed = replace(model, layer=effect, interaction=effect)
        rows += _fitted(_of_groups(products, [0, *later]), crossed, str(curves.groups[0]), CROSSED, conf_level)
    return pd.DataFrame(rows)


def population_rows(run: "Run", cell: Cell, conf_level: float) -> pd.DataFrame:
    """Fit the segmented mixed model, in which every prompt has a break of its own, for each layer and their mean.

    The mean over layers under the general law where it can be fitted (``fit_by_law``); layers under the simple one, for
    single layers are so noisy that the other seldom tells their breaks, and takes several times as long to say so.
    """
    found = prompt_curves(run, cell)
    rows: list[Row] = []
    for place, layer in enumerate(found.groups):
        law = AUTOMATIC if layer == ALL_LAYERS else "simple"
        try:
            model = fit_by_law(found.values[:, place], found.x, found.documents, law=law, conf_level=conf_level)
        except InputError as error:
            names = ("population_threshold", "threshold_sd")
            rows += [{**_row(str(layer), name, str(error)), "method": POPULATION_SIMPLE} for name in names]
            continue
        method = POPULATION_GENERAL if model.law == GENERAL else POPULATION_SIMPLE
        notes = " ".join(filter(None, (found.note, *model.notes)))
        for i, term in enumerate(model.terms):
            reason = model.reasons[i]
            figures = (model.estimate[i], model.std_error[i], model.low[i], model.high[i])
            name = term if term in ("population_threshold", "threshold_sd") else f"population_{term}"
            said = " ".join(filter(None, (reason, notes)))
            rows.append({**_row(str(layer), name, said, figures), "method": method})
    counts = {"n_prompts": len(found.prompts), "n_documents": len(np.unique(found.documents))}
    return pd.DataFrame(rows).assign(**cell._asdict(), **counts)


def _of_groups(products: CrossProducts, groups: list[int]) -> CrossProducts:
    return replace(
        products,
        within=products.within[groups],
        sums=products.sums[:, groups],
        between=products.between[:, groups],
    )


def _fitted(products: CrossProducts, model: BalancedModel, layer: str, method: str, conf_level: float) -> list[Row]:
    try:
        fit = fit_balanced(products, model)
    except InputError as undefined:
        return [{**_row(layer, name, str(undefined)), "method": method} for name in _FIXED]
    df = satterthwaite(fit)
    error = np.sqrt(np.diag(fit.fixed_covariance))
    half = np.asarray(stats.t.isf((1 - conf_level) / 2, df)) * error
    said = " ".join(fit.notes)
    rows = []
    for i, name in enumerate(_FIXED):
        figures = (fit.fixed[i], error[i], fit.fixed[i] - half[i], fit.fixed[i] + half[i])
        rows.append(_row(layer, name, f"{df[i]:.1f} df. {said}".strip(), figures))
    rows += [_row(layer, f"mixed_sd_{name}", said, (value, np.nan, np.nan, np.nan)) for name, value in _spreads(fit)]
    return [{**row, "method": method} for row in rows]


def _spreads(fit: BalancedFit) -> list[tuple[str, float]]:
    found = [
        (f"{level}_{name}", float(np.sqrt(covariance[i, i])))
        for level, covariance in fit.covariances.items()
        for i, name in enumerate(_RANDOM)
    ]
    return [*found, ("residual", fit.sigma)]


def _row(layer: str, quantity: str, note: str, figures: tuple[float, ...] | Floats = (np.nan,) * 4) -> Row:
    names = ("estimate", "std_error", "conf_low", "conf_high")
    return {
        "quantity": quantity,
        "layer": layer,
        "share": np.nan,
        "note": note,
        **dict(zip(names, figures, strict=True)),
    }
