"""The claims of a run: one row a claim and layer, the columns of claims.csv."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ripplestats.errors import InputError
from ripplestats.fits.blas import one_blas_thread
from ripplestats.fits.bootstrap import check_bootstrap, resample_documents
from ripplestats.fits.curve_layout import ALL_LAYERS, Cell
from ripplestats.fits.curves import DocumentCurves, Floats
from ripplestats.fits.run_estimates import UNITS, cell_curves, main_metric
from ripplestats.hypotheses import claim_tests
from ripplestats.hypotheses.claim_tests import MAIN, Evidence, RunCurves
from ripplestats.hypotheses.claims import CLAIMS, THRESHOLD, UNDEFINED
from ripplestats.hypotheses.multiplicity import adjusted_p_values, max_t_step_down, min_p_step_down
from ripplestats.hypotheses.sensitivity import sensitivity_rows
from ripplestats.store.schema import CLAIM_COLUMNS

if TYPE_CHECKING:
    from ripplestats.store.run_directory import Run

ADJUSTMENTS = ("max-t", "holm", "bh", "none")
#: A threshold is supported only where the adjusted p-value of its break is below this.
ALPHA = 0.05
_TESTS: tuple[Callable[[RunCurves], Iterator[Evidence]], ...] = (
    claim_tests.insensitivity,
    claim_tests.threshold,
    claim_tests.core_group,
    claim_tests.first_block,
    claim_tests.specificity,
    claim_tests.other_replacements,
)


@one_blas_thread
def claims(
    run_or_frame: "Run | pd.DataFrame | Mapping[Cell, DocumentCurves]",
    *,
    n_boot: int = 2000,
    seed: int = 0,
    adjustment: str = "max-t",
) -> pd.DataFrame:
    """Test the claims that the arms and replacements of a run allow.

    Args:
        run_or_frame: a run, its effects, or the curves of its cells by layer.
        n_boot, seed: sign flips of documents, which all tests share, and as many resamples for the break's interval.
        adjustment: of p-values over the layers of a claim: step-down by the samples (``max-t``; for the break test, whose
            statistics differ in distribution, ``min-p``), ``holm``, ``bh`` (Benjamini–Hochberg), or ``none``.

    Returns:
        One row a claim and layer; ``all``, the mean over all blocks but the first, stands alone and is not adjusted. A
        decision follows from interval and margin only, but that a threshold is *supported* only where a break exists
        (adjusted p below 0.05). Intervals, and so decisions of single layers, are not adjusted. Rows of sensitivity
        analyses come last and have no decision. Where the log-probability was not recorded, effects are changes of the
        logit: margins in nats are then the same numbers of logits, and the null says so. Where a claim cannot be
        tested on what was recorded, its numbers are NaN, it is undecided, and the null says why.

    Raises:
        InputError: an argument is not allowed, or the effects are not balanced.

    Examples:
        With the simulated ``effects`` of ``docs/examples/simulated_effects.py``:

        >>> table = rs.claims(effects, n_boot=200)
        >>> table.loc[table["layer"] == "all", ["claim", "estimate", "decision"]].head(3).round(3)
                                                  claim  estimate   decision
        0                               1 insensitivity    -0.001  supported
        5   1 insensitivity, margin 20 % of the plateau    -0.002  supported
        10                                  2 threshold     0.030  supported
    """
    check_bootstrap(n_boot, seed)
    if adjustment not in ADJUSTMENTS:
        raise InputError(f"adjustment={adjustment!r} is not known; allowed: {', '.join(ADJUSTMENTS)}")
    curves = run_or_frame if isinstance(run_or_frame, Mapping) else cell_curves(run_or_frame)
    run = run_curves(curves, n_boot, seed)
    if run is None:
        return pd.DataFrame(columns=list(CLAIM_COLUMNS))
    unit = UNITS[main_metric(cell.metric for cell in curves)]
    rows = [row for test in _TESTS for found in test(run) for row in _rows(found, adjustment, unit)]
    rows += sensitivity_rows(run)
    return pd.DataFrame(rows, columns=list(CLAIM_COLUMNS))


def run_curves(curves: Mapping[Cell, DocumentCurves], n_boot: int, seed: int) -> RunCurves | None:
    """Return the curves of the first site and the resamples that the claims are tested on, None without the main cell."""
    site = next(iter(curves)).site
    metric = main_metric(cell.metric for cell in curves)
    effects = {
        (cell.arm, cell.replacement): one for cell, one in curves.items() if cell.site == site and cell.metric == metric
    }
    if MAIN not in effects:
        return None
    resamples = resample_documents(effects[MAIN].n_documents, n_boot, np.random.default_rng(seed))
    return RunCurves(effects, curves.get(Cell(*MAIN, site, "top1_changed")), resamples)


def _rows(found: Evidence, adjustment: str, unit: str) -> Iterator[dict[str, object]]:
    claim = CLAIMS[found.claim]
    null = claim.null.replace("nats", unit) + (f"{UNDEFINED}{found.reason})" if found.reason else "")
    adjusted, names = _adjusted(found, adjustment)
    for i, group in enumerate(found.groups):
        low, high = float(found.conf_low[i]), float(found.conf_high[i])
        decision = claim.decide(low, high, claim.margin)
        if claim.name == THRESHOLD and decision == "supported" and not adjusted[i] < ALPHA:
            decision = "undecided"
        yield {
            "claim": claim.name, "layer": str(group), "null": null, "statistic": found.test.statistic[i],
            "df": np.nan, "p_value": found.test.p_value[i], "p_adjusted": adjusted[i], "adjustment": names[i],
            "estimate": found.estimate[i], "conf_low": low, "conf_high": high, "decision": decision,
            "margin": claim.margin,
        }  # fmt: skip


def _adjusted(found: Evidence, adjustment: str) -> "tuple[Floats, list[str]]":
    """Adjust the p-values of single layers; return them with the name of the method, ``none`` where none was needed."""
    p_values = found.test.p_value.copy()
    names = ["none"] * len(p_values)
    layers = np.array([i for i, group in enumerate(found.groups) if group != ALL_LAYERS], int)
    known = layers[~np.isnan(p_values[layers])]
    if adjustment == "none" or len(known) < 2:
        return p_values, names
    step_down = CLAIMS[found.claim].step_down
    if adjustment == "max-t":
        one_by_one = min_p_step_down if step_down == "min-p" else max_t_step_down
        p_values[known] = one_by_one(found.test.statistic[known], found.test.replicates[:, known]).p_adjusted
    else:
        p_values[known] = adjusted_p_values(p_values[known], adjustment)
    for i in known:
        names[i] = step_down if adjustment == "max-t" else adjustment
    return p_values, names
