"""The claims of a run: one row a claim and layer, the columns of claims.csv."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ripplestats.fits.bootstrap import MINIMUM_DOCUMENTS, Resamples, bootstrap, resample_documents
from ripplestats.fits.breakpoint import MINIMUM_DOSES, BreakDesign
from ripplestats.fits.contrasts import Contrast, contrast, contrast_of_doses, nearest_dose
from ripplestats.fits.core import SHARES, core_statistic
from ripplestats.fits.curves import DocumentCurves
from ripplestats.fits.run_estimates import ALL_LAYERS, MAIN_METRIC, layer_curves
from ripplestats.fits.saturation import plateau_weights
from ripplestats.fits.segmented import undefined_break
from ripplestats.hypotheses.breaks import sup_f
from ripplestats.hypotheses.claims import CLAIMS
from ripplestats.hypotheses.decisions import above_limit, below_limit, within_margin
from ripplestats.store.schema import CLAIM_COLUMNS

if TYPE_CHECKING:
    from ripplestats.store.run_directory import Run

ALPHA = 0.05
Rows = list[dict[str, object]]


def claims(run_or_frame: "Run | pd.DataFrame", *, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Test the claims that the arms and replacements of a run allow.

    Args:
        run_or_frame: a run, or its effects.
        n_boot, seed: of the bootstraps over documents.

    Returns:
        One row a claim and layer (``all`` is the mean over all blocks but the first). P-values of a claim are adjusted
        over its layers by Holm's method; ``all`` stands alone. A decision follows from interval and margin only, but
        that a threshold is *supported* only where a break exists (adjusted p below 0.05).
    """
    effects = run_or_frame if isinstance(run_or_frame, pd.DataFrame) else run_or_frame.effects()
    site = effects["site"].iloc[0]
    curves = {
        (str(arm), str(replacement)): layer_curves(frame, MAIN_METRIC)
        for (arm, replacement), frame in effects[effects["site"] == site].groupby(["arm", "replacement"], observed=True)
    }
    main = curves.get(("top", "median"))
    if main is None:
        return pd.DataFrame(columns=list(CLAIM_COLUMNS))
    rng = np.random.default_rng(seed)
    resamples = resample_documents(main.n_documents, n_boot, rng)
    rows = [*_insensitivity(main), *_threshold(main, resamples, rng), *_core(main, resamples)]
    top = effects[(effects["arm"] == "top") & (effects["replacement"] == "median") & (effects["site"] == site)]
    rows += [*_first_block(main, "4 first block, effect")]
    rows += [*_first_block(layer_curves(top, "top1_changed"), "4 first block, top-1 lost")]
    if ("random", "median") in curves:
        rows += _difference("5 specificity", main, curves["random", "median"], (0.0, 0.1))
    for other in ("zero", "mean"):
        if ("top", other) in curves:
            rows += _difference(f"6 median against {other}", curves["top", other], main)
    return _adjusted(pd.DataFrame(rows))


def _insensitivity(curves: DocumentCurves) -> Rows:
    name = "1 insensitivity"
    weights = nearest_dose(curves.x, 0.9) - nearest_dose(curves.x, 0.1)
    if not np.isfinite(weights).all():
        return []
    found = contrast_of_doses(curves, weights)
    margin = CLAIMS[name].margin
    statistic, p_value = found.two_one_sided_tests(margin)
    low, high = found.interval(1 - 2 * ALPHA)
    return [
        _row(name, group, statistic[i], p_value[i], found.estimate[i], low[i], high[i], found.df,
             within_margin(low[i], high[i], margin))
        for i, group in enumerate(curves.groups)
    ]  # fmt: skip


def _threshold(curves: DocumentCurves, resamples: Resamples, rng: np.random.Generator) -> Rows:
    name = "2 threshold"
    if len(curves.x) < MINIMUM_DOSES or curves.n_documents < MINIMUM_DOCUMENTS:
        return []
    design = BreakDesign(curves.x, curves.dose_weights)
    pooled = curves.pooled()
    estimate = design.fit(pooled).breakpoint
    low, high = bootstrap(curves, lambda rows: design.fit(rows).breakpoint, resamples, 1 - ALPHA).percentile
    statistic, p_value = sup_f(curves, len(resamples.bootstrap), rng)
    rows = []
    for i, group in enumerate(curves.groups):
        defined = not undefined_break(design, pooled[i])
        value, below, above = (one[i] if defined else np.nan for one in (estimate, low, high))
        decision = below_limit(below, above, CLAIMS[name].margin)
        rows.append(_row(name, group, statistic[i], p_value[i], value, below, above, np.nan, decision))
    return rows


def _core(curves: DocumentCurves, resamples: Resamples) -> Rows:
    weights = plateau_weights(curves.x)
    if weights is None or curves.n_documents < MINIMUM_DOCUMENTS:
        return []
    shares = np.array(SHARES)
    statistic = core_statistic(curves, weights, shares)
    estimate = statistic(curves.pooled())
    found = bootstrap(curves, statistic, resamples, 1 - ALPHA)
    replicates = statistic(curves.pooled(resamples.bootstrap).reshape(-1, len(curves.x)))
    replicates = replicates.reshape(len(resamples.bootstrap), *estimate.shape)
    rows: Rows = []
    for j, share in enumerate(shares, start=1):
        name = f"3 core group, {share} of the plateau"
        limit = CLAIMS[name].margin
        for i, group in enumerate(curves.groups):
            if not found.percentile[0][i, 0] > 0:  # the plateau's interval holds zero: nothing to have a share of
                rows.append(_row(name, group, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, "undecided"))
                continue
            low, high = (limits[i, j] for limits in found.percentile)
            # A replicate without a core fraction speaks against the claim, not for it.
            p_value = (1 + (~(replicates[:, i, j] <= limit)).sum()) / (1 + len(replicates))
            decision = below_limit(low, high, limit)
            rows.append(_row(name, group, np.nan, p_value, estimate[i, j], low, high, np.nan, decision))
    return rows


def _first_block(curves: DocumentCurves, name: str) -> Rows:
    weights = plateau_weights(curves.x)
    if weights is None or not {0, ALL_LAYERS} <= set(curves.groups):
        return []
    level = curves.values @ weights
    difference = level[:, curves.groups.index(0)] - level[:, curves.groups.index(ALL_LAYERS)]
    return _positive(name, contrast(difference[:, None], curves.weights, (0,)))


def _difference(name: str, one: DocumentCurves, other: DocumentCurves, doses: tuple[float, float] = (0.1, 0.9)) -> Rows:
    """Return rows for the claim that the mean effect of ``one`` over some doses is above that of ``other``."""
    weights = plateau_weights(one.x, doses)
    if weights is None:
        return []
    return _positive(name, contrast((one.values - other.values) @ weights, one.weights, one.groups))


def _positive(name: str, found: Contrast) -> Rows:
    statistic, p_value = found.greater_than(0.0)
    low, high = found.interval(1 - ALPHA)
    return [
        _row(name, group, statistic[i], p_value[i], found.estimate[i], low[i], high[i], found.df,
             above_limit(low[i], high[i], 0.0))
        for i, group in enumerate(found.groups)
    ]  # fmt: skip


def _row(
    name: str,
    layer: object,
    statistic: float,
    p_value: float,
    estimate: float,
    low: float,
    high: float,
    df: float,
    decision: str,
) -> dict[str, object]:
    claim = CLAIMS[name]
    return {
        "claim": name, "layer": str(layer), "null": claim.null, "statistic": statistic, "df": df, "p_value": p_value,
        "estimate": estimate, "conf_low": low, "conf_high": high, "decision": decision, "margin": claim.margin,
    }  # fmt: skip


def _adjusted(table: pd.DataFrame) -> pd.DataFrame:
    """Adjust p-values over the layers of each claim, and hold a threshold to the existence of a break."""
    from statsmodels.stats.multitest import multipletests

    table["p_adjusted"], table["adjustment"] = table["p_value"], "none"
    for _, rows in table[table["layer"] != ALL_LAYERS].groupby("claim", sort=False):
        known = rows.index[rows["p_value"].notna()]
        if len(known) > 1:
            table.loc[known, "p_adjusted"] = multipletests(table.loc[known, "p_value"], method="holm")[1]
            table.loc[known, "adjustment"] = "holm"
    no_break = (table["claim"] == "2 threshold") & ~(table["p_adjusted"] < ALPHA)
    table.loc[no_break & (table["decision"] == "supported"), "decision"] = "undecided"
    return table[list(CLAIM_COLUMNS)]
