"""Threshold rate ψ: the break of the two-phase line through the pooled dose–response curve."""

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import (
    MINIMUM_DOCUMENTS,
    Resamples,
    bootstrap,
    check_bootstrap,
    check_intervals,
    resample_documents,
)
from ripplestats.fits.breakpoint import MINIMUM_DOSES, BreakDesign
from ripplestats.fits.curves import DocumentCurves, Floats, document_curves
from ripplestats.fits.result import TERMS, FitResult
from ripplestats.rendering.charts import draw_curves

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: The terms of a two-phase line; slopes are per unit of dose.
SEGMENTED_TERMS = ("threshold", "intercept", "slope_below", "slope_above")
#: A break that explains less than this share of the curve's variation is rounding.
_NOTHING = 1e-12


def segmented(
    frame: "pd.DataFrame",
    *,
    y: str,
    x: str,
    cluster: str,
    by: str | None = None,
    breaks: int = 1,
    n_boot: int = 2000,
    seed: int = 0,
    conf_level: float = 0.95,
    interval: str = "percentile",
) -> FitResult:
    """Estimate the break of the continuous line a + b·x + c·(x − ψ)₊ in each group.

    The least-squares minimum is global (Hudson 1966); the intervals come from resampling documents. Where prompts
    differ in their break, ψ is the least-squares projection of the mean curve, and that is what the interval covers.

    Args:
        frame: one row a prompt, dose and group; every document has every dose.
        y, x, cluster, by: columns of effect, dose, document, and group (None for one curve).
        breaks: must be 1.
        n_boot: bootstrap samples of documents.
        seed: of the resampling.
        conf_level: of the intervals.
        interval: ``percentile`` or ``bca``.

    Returns:
        Terms ``threshold``, ``intercept``, ``slope_below``, ``slope_above`` for each group; NaN with a note where a
        break cannot be told.

    Raises:
        InputError: the frame is not balanced or an argument is not allowed.
    """
    if breaks != 1:
        raise InputError(f"breaks={breaks} is not allowed; one break is what is fitted")
    check_bootstrap(n_boot, seed, conf_level)
    curves = document_curves(frame, y=y, x=x, cluster=cluster, by=by)
    resamples = resample_documents(curves.n_documents, n_boot, np.random.default_rng(seed))
    terms = segmented_terms(curves, resamples, conf_level, (interval,))
    fits = {row.group: row.estimate for row in terms.itertuples() if row.term == "threshold"}
    terms = terms.rename(columns={"group": by}) if by else terms.drop(columns="group")

    def draw(ax: "Axes") -> None:
        draw_curves(ax, curves.x, curves.pooled(), curves.groups, marks=fits, x_label=x, y_label=y)

    return FitResult(
        title=f"Two-phase line of {y} on {x}",
        terms=terms.drop(columns="method"),
        conf_level=conf_level,
        n_prompts=curves.n_prompts,
        n_documents=curves.n_documents,
        notes=(f"{conf_level:.0%} {interval} intervals from {n_boot} resamples of documents (seed {seed}).",),
        draw=draw,
    )


def segmented_terms(
    curves: DocumentCurves,
    resamples: Resamples,
    conf_level: float = 0.95,
    intervals: tuple[str, ...] = ("percentile", "bca"),
) -> "pd.DataFrame":
    """Return the terms of the two-phase line for each group and kind of interval.

    Raises:
        InputError: a kind of interval is unknown.
    """
    import pandas as pd

    check_intervals(intervals)
    pooled = curves.pooled()
    design = BreakDesign(curves.x, curves.dose_weights)
    notes = [undefined_break(design, row) for row in pooled]
    fitted = len(curves.x) >= MINIMUM_DOSES
    estimate = _terms(design)(pooled) if fitted else np.full((len(pooled), 4), np.nan)
    found = bootstrap(curves, _terms(design), resamples, conf_level) if fitted else None
    df = curves.n_documents - 1
    rows: list[tuple[Hashable, ...]] = []
    for name in intervals:
        for i, group in enumerate(curves.groups):
            for j, term in enumerate(SEGMENTED_TERMS):
                if notes[i] or found is None:
                    rows.append((group, f"bootstrap {name}", term, *[np.nan] * 6, notes[i]))
                    continue
                low, high = getattr(found, name)
                error = found.std_error[i, j]
                # A break of zero is no hypothesis: whether a break exists is a test of its own.
                statistic = estimate[i, j] / error if term != "threshold" and error > 0 else np.nan
                p_value = 2 * stats.t.sf(abs(statistic), df)
                note = "" if np.isfinite(error) else f"no interval from fewer than {MINIMUM_DOCUMENTS} documents"
                rows.append(
                    (group, f"bootstrap {name}", term, estimate[i, j], error, statistic, p_value, low[i, j],
                     high[i, j], note)
                )  # fmt: skip
    return pd.DataFrame(rows, columns=["group", "method", *TERMS])


def _terms(design: BreakDesign) -> Callable[[Floats], Floats]:
    def statistic(rows: Floats) -> Floats:
        fit = design.fit(rows)
        return np.column_stack([fit.breakpoint, fit.intercept, fit.slope_below, fit.slope_above])

    return statistic


def undefined_break(design: BreakDesign, curve: Floats) -> str:
    """Say why the break of a mean curve is undefined, or nothing if it is not."""
    if len(design.x) < MINIMUM_DOSES:
        return f"undefined: {len(design.x)} doses, at least {MINIMUM_DOSES} are needed"
    fit = design.fit(curve[None])
    weights = design.weights / design.weights.sum()
    variation = float(weights @ (curve - weights @ curve) ** 2) * design.weights.sum()
    if variation <= _NOTHING * float(weights @ curve**2):
        return "undefined: the curve is flat"
    if float(fit.residual_ss_line[0] - fit.residual_ss[0]) <= _NOTHING * variation:
        return "undefined: the curve is a straight line"
    if not design.first < fit.breakpoint[0] < design.last:
        return f"undefined: the best break lies at the edge of the grid ({fit.breakpoint[0]:.3g})"
    return ""
