"""Threshold rate ψ: the break of the two-phase line through the pooled dose–response curve."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import stats

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import (
    MINIMUM_DOCUMENTS,
    RESAMPLED,
    Interval,
    Resamples,
    Statistic,
    bootstrap,
    check_bootstrap,
    check_intervals,
    resample_documents,
)
from ripplestats.fits.breakpoint import MINIMUM_DOSES, BreakDesign
from ripplestats.fits.curves import DocumentCurves, Floats, document_curves
from ripplestats.fits.delta_method import break_standard_errors
from ripplestats.fits.inversion import break_interval
from ripplestats.fits.piecewise_lines import piecewise_lines
from ripplestats.fits.result import SHADED, TERMS, FitResult
from ripplestats.fits.several_breaks import WORKING_WEIGHTS, several_breaks
from ripplestats.rendering.charts import draw_curves

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: The terms of a two-phase line; slopes are per unit of dose.
SEGMENTED_TERMS = ("threshold", "intercept", "slope_below", "slope_above")
SCALES = ("linear", "log")
#: A break that explains less than this share of the curve's variation is rounding.
_NOTHING = 1e-12


def segmented(
    frame: "pd.DataFrame",
    *,
    y: str,
    x: str,
    cluster: str,
    by: str | None = None,
    breaks: int | Literal["bic", "cv"] = 1,
    scale: str = "linear",
    level_above: bool = False,
    n_boot: int = 2000,
    seed: int = 0,
    conf_level: float = 0.95,
    interval: str | None = None,
) -> FitResult:
    """Estimate the break of the continuous line a + b·x + c·(x − ψ)₊ in each group, or several breaks.

    The least-squares minimum is global (Hudson 1966); the intervals come from resampling documents. Where prompts
    differ in their break, ψ is the least-squares projection of the mean curve, and that is what the interval covers.

    Args:
        frame: one row a prompt, dose and group. Where documents lack doses that others have, each counts at each dose
            by its rows, and a note says so.
        y, x, cluster, by: columns of effect, dose, document, and group (None for one curve).
        breaks: how many, up to 3, or ``"bic"`` or ``"cv"`` (cross-validation over documents) to choose.
        scale: ``linear``, or ``log``: a line on the logarithm of the dose (slopes per unit of it); the break is given
            as a dose.
        level_above: hold the slope above the break at zero.
        n_boot: bootstrap samples of documents.
        seed: of the resampling.
        conf_level: of the intervals.
        interval: ``inversion`` (of the tests that the residual sum of squares is level at ψ; the other terms are
            ``expanded``), ``expanded`` (percentile, widened for few documents), ``percentile``, ``bca``, or ``wald``
            (delta method, t with documents − 1 degrees of freedom). By default the one that covers best by simulation:
            inversion, of several breaks expanded.

    Returns:
        Terms ``threshold``, ``intercept``, ``slope_below``, ``slope_above`` for each group (with several breaks
        ``threshold_1`` …, ``slope_1`` …); NaN with a note where a break cannot be told.

    Raises:
        InputError: a column is missing or an argument is not allowed.

    Examples:
        With the simulated ``frame`` of ``docs/examples/simulated_frame.py``:

        >>> fit = rs.segmented(frame, y="effect", x="dose", cluster="document")
        >>> fit.tidy()[["term", "estimate", "conf_low", "conf_high"]].round(3)
                  term  estimate  conf_low  conf_high
        0    threshold     0.048     0.046      0.053
        1    intercept     0.002    -0.019      0.033
        2  slope_below    19.063    16.282     20.873
        3  slope_above     0.038    -0.002      0.052
    """
    import pandas as pd

    interval = interval or ("inversion" if breaks == 1 else "expanded")
    check_bootstrap(n_boot, seed, conf_level)
    check_intervals((interval,))
    curves = document_curves(frame, y=y, x=x, cluster=cluster, by=by)
    rng = np.random.default_rng(seed)
    resamples = resample_documents(curves.n_documents, n_boot, rng)
    if breaks == 1:
        terms = segmented_terms(curves, resamples, conf_level, (interval,), scale, level_above).drop(columns="method")
        chosen: tuple[str, ...] = ()
    else:
        if level_above or interval not in RESAMPLED:
            raise InputError(
                f"breaks={breaks!r} goes neither with level_above nor with interval={interval!r}; "
                f"allowed: {', '.join(RESAMPLED)}"
            )
        found = several_breaks(on_scale(curves, scale), breaks, resamples, conf_level, rng, interval=interval)
        terms = _as_doses(found.terms, scale)
        numbers = ", ".join(f"{group}: {number}" for group, number in zip(curves.groups, found.n_breaks, strict=True))
        chosen = (f"Number of breaks by {str(breaks).upper()} ({numbers}); intervals take it for given.",) * (
            breaks in ("bic", "cv")
        ) + (WORKING_WEIGHTS,) * (curves.counts is not None)
    found_breaks = terms[terms["term"].str.startswith("threshold")]
    breaks_of = found_breaks.groupby("group", sort=False)["estimate"].agg(list).to_dict()
    limits = {row.group: (row.conf_low, row.conf_high) for row in found_breaks.itertuples()} if breaks == 1 else {}
    lines = piecewise_lines(terms, curves.x, scale)
    terms = terms.rename(columns={"group": by}) if by else terms.drop(columns="group")

    def draw(ax: "Axes") -> None:
        draw_curves(
            ax, curves.x, curves.pooled(), curves.groups, marks=breaks_of, mark_name="threshold", limits=limits,
            lines=lines, group_name=by or "", x_label=x, y_label=y,
        )  # fmt: skip

    return FitResult(
        title=f"Two-phase line of {y} on {x}" if breaks == 1 else f"Piecewise line of {y} on {x}",
        terms=pd.DataFrame(terms),
        conf_level=conf_level,
        n_prompts=curves.n_prompts,
        n_documents=curves.n_documents,
        notes=(_interval_note(interval, conf_level, n_boot, seed, scale), *chosen, *curves.notes),
        draw=draw,
        picture=f"Points: the mean curve; lines: the fit; broken: the breaks{SHADED}.",
    )


def segmented_terms(
    curves: DocumentCurves,
    resamples: Resamples,
    conf_level: float = 0.95,
    intervals: Sequence[str] = ("expanded", "bca"),
    scale: str = "linear",
    level_above: bool = False,
) -> "pd.DataFrame":
    """Return the terms of the two-phase line for each group and kind of interval, the break as a dose.

    Raises:
        InputError: a scale or a kind of interval is unknown, or a dose has no logarithm.
    """
    import pandas as pd

    check_intervals(intervals)
    scaled = on_scale(curves, scale)
    design = BreakDesign(scaled.x, scaled.pooled_weights(), level_above)
    notes = undefined_breaks(design, scaled.pooled())
    n_groups = len(notes)
    estimate = np.full((n_groups, len(SEGMENTED_TERMS)), np.nan)
    limits = dict.fromkeys(intervals, (estimate, estimate, estimate))
    if len(scaled.x) >= MINIMUM_DOSES:
        estimate = two_phase_statistic(scaled.x, scaled.dose_weights, level_above)(scaled.pooled(), design.weights)
        limits = _limits(scaled, design, resamples, conf_level, intervals)
    rows: list[tuple[Hashable, ...]] = []
    for name in intervals:
        error, low, high = limits[name]
        for i, group in enumerate(curves.groups):
            for j, term in enumerate(SEGMENTED_TERMS):
                numbers = (estimate[i, j], error[i, j], low[i, j], high[i, j])
                rows.append((group, method_name(name), *_term_row(term, numbers, notes[i], curves.n_documents - 1)))
    return _as_doses(pd.DataFrame(rows, columns=["group", "method", *TERMS]), scale)


def method_name(interval: str) -> str:
    """Return the name of a kind of interval as results give it."""
    return f"bootstrap {interval}" if interval in RESAMPLED else interval


def two_phase_statistic(x: Floats, dose_weights: Floats, level_above: bool = False) -> Statistic:
    """Return the statistic that takes curves to break, intercept, slope below and slope above: n × 4."""
    design = BreakDesign(x, dose_weights, level_above)

    def statistic(rows: Floats, weights: Floats | None = None) -> Floats:
        fit = (design if weights is None else BreakDesign(x, weights, level_above)).fit(rows)
        return np.column_stack([fit.breakpoint, fit.intercept, fit.slope_below, fit.slope_above])

    return statistic


def on_scale(curves: DocumentCurves, scale: str) -> DocumentCurves:
    """Return the curves with their doses on a scale, ``linear`` or ``log``.

    Raises:
        InputError: the scale is unknown, or a dose is not positive and has no logarithm.
    """
    if scale not in SCALES:
        raise InputError(f"scale={scale!r} is not known; allowed: {', '.join(SCALES)}")
    if scale == "linear":
        return curves
    if curves.x[0] <= 0:
        raise InputError(f"scale='log' needs positive doses; the smallest is {curves.x[0]:g}")
    return replace(curves, x=np.log(curves.x))


def undefined_breaks(design: BreakDesign, pooled: Floats) -> list[str]:
    """Say of each mean curve why its break is undefined, or nothing if it is not."""
    if len(design.x) < MINIMUM_DOSES:
        return [f"undefined: {len(design.x)} doses, at least {MINIMUM_DOSES} are needed"] * len(pooled)
    fit = design.fit(pooled)
    weights = np.broadcast_to(design.weights, pooled.shape)
    mean = (weights * pooled).sum(axis=1) / weights.sum(axis=1)
    variation = (weights * (pooled - mean[:, None]) ** 2).sum(axis=1)
    flat = variation <= _NOTHING * (weights * pooled**2).sum(axis=1)
    straight = fit.residual_ss_line - fit.residual_ss <= _NOTHING * variation
    edge = ~((design.first < fit.breakpoint) & (fit.breakpoint < design.last))
    return [
        "undefined: the curve is flat" if flat[i]
        else "undefined: the curve is a straight line" if straight[i] and not design.level_above
        else f"undefined: the best break lies at the edge of the grid ({fit.breakpoint[i]:.3g})" if edge[i]
        else ""
        for i in range(len(pooled))
    ]  # fmt: skip


def _limits(
    curves: DocumentCurves, design: BreakDesign, resamples: Resamples, conf_level: float, intervals: Sequence[str]
) -> dict[str, tuple[Floats, Floats, Floats]]:
    """Return standard errors, lower and upper limits for each kind of interval, groups × terms."""
    found: dict[str, tuple[Floats, Floats, Floats]] = {}
    resampled: Interval | None = None
    for name in intervals:
        if name == "wald":
            fit = design.fit(curves.pooled())
            error = break_standard_errors(curves, design, fit)
            half = stats.t.isf((1 - conf_level) / 2, max(curves.n_documents - 1, 1)) * error
            centre = np.column_stack([fit.breakpoint, fit.intercept, fit.slope_below, fit.slope_above])
            found[name] = (error, centre - half, centre + half)
            continue
        statistic = two_phase_statistic(curves.x, curves.dose_weights, design.level_above)
        resampled = resampled or bootstrap(curves, statistic, resamples, conf_level, bca="bca" in intervals)
        low, high = resampled.expanded if name == "inversion" else getattr(resampled, name)
        if name == "inversion":
            inverted = break_interval(curves, design, conf_level)
            low, high = (np.column_stack([one, rest[:, 1:]]) for one, rest in zip(inverted, (low, high), strict=True))
        found[name] = (resampled.std_error, low, high)
    return found


def _term_row(term: str, numbers: tuple[float, float, float, float], note: str, df: int) -> tuple[object, ...]:
    estimate, error, low, high = numbers
    if note:
        return (term, *[np.nan] * 6, note)
    # A break of zero is no hypothesis: whether a break exists is a test of its own.
    statistic = estimate / error if term != "threshold" and error > _NOTHING * abs(estimate) else np.nan
    p_value = 2 * stats.t.sf(abs(statistic), df)
    note = "" if np.isfinite(error) else f"no interval from fewer than {MINIMUM_DOCUMENTS} documents"
    return (term, estimate, error, statistic, p_value, low, high, note)


def _as_doses(terms: "pd.DataFrame", scale: str) -> "pd.DataFrame":
    """Take breaks and their limits from the scale back to doses."""
    if scale == "linear":
        return terms
    terms = terms.copy()
    breaks = terms["term"].str.startswith("threshold")
    for name in ("estimate", "conf_low", "conf_high"):
        terms.loc[breaks, name] = np.exp(terms.loc[breaks, name])
    terms.loc[breaks, "std_error"] *= terms.loc[breaks, "estimate"]
    # The reason of an undefined break names its place.
    terms["note"] = terms["note"].str.replace(
        r"\((-?[\d.e-]+)\)$", lambda found: f"({np.exp(float(found[1])):.3g})", regex=True
    )
    return terms


def _interval_note(interval: str, conf_level: float, n_boot: int, seed: int, scale: str) -> str:
    how = {
        "expanded": f"expanded percentile intervals from {n_boot} resamples of documents (seed {seed})",
        "percentile": f"percentile intervals from {n_boot} resamples of documents (seed {seed})",
        "bca": f"bca intervals from {n_boot} resamples of documents (seed {seed})",
        "inversion": "interval of the break by inverting its t tests over documents, the others expanded percentile "
        f"intervals from {n_boot} resamples (seed {seed})",
        "wald": "intervals by the delta method, clustered by documents",
    }[interval]
    return f"{conf_level:.0%} {how}." + (" The line is on the logarithm of the dose." if scale == "log" else "")
