"""Plateau Π and core fraction φ: the smallest rate whose effect reaches a share of the plateau."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import (
    MINIMUM_DOCUMENTS,
    RESAMPLED,
    Resamples,
    Statistic,
    bootstrap,
    check_bootstrap,
    check_intervals,
    of_pooled,
    resample_documents,
)
from ripplestats.fits.contrasts import document_values
from ripplestats.fits.curves import DocumentCurves, Floats, document_curves
from ripplestats.fits.inversion import core_interval
from ripplestats.fits.result import SHADED, TERMS, FitResult
from ripplestats.fits.rising_contrasts import mean_contrasts
from ripplestats.fits.saturation import PLATEAU, isotonic_dose_reaching, plateau_weights
from ripplestats.fits.saturation_curves import saturation_terms
from ripplestats.fits.saturation_shapes import MODELS
from ripplestats.fits.segmented import method_name
from ripplestats.rendering.charts import draw_curves
from ripplestats.rendering.numbers import percent

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

SHARES = (0.5, 0.8, 0.9)
_ROUNDING = 1e-12
INTERVALS = (*RESAMPLED, "inversion")
#: Shapes of the curve; isotonic takes none for granted but that it does not fall.
CURVES = ("isotonic", *(model.name.lower() for model in MODELS))


def core_fraction(
    frame: "pd.DataFrame",
    *,
    y: str,
    x: str,
    cluster: str,
    by: str | None = None,
    share: Sequence[float] = SHARES,
    plateau: tuple[float, float] = PLATEAU,
    curve: str = "isotonic",
    n_boot: int = 2000,
    seed: int = 0,
    conf_level: float = 0.95,
    interval: str | None = None,
) -> FitResult:
    """Estimate the dose at which the mean curve reaches shares of its plateau.

    Args:
        frame: one row a prompt, dose and group. Where documents lack doses that others have, each counts at each dose
            by its rows, and a note says so.
        y, x, cluster, by: columns of effect, dose, document, and group (None for one curve).
        share: shares q of the plateau, each between 0 and 1.
        plateau: the doses over which the plateau is the mean effect.
        curve: ``isotonic``, or as a check ``exponential`` or ``hill``: a curve of that shape fitted by least squares.
        n_boot, seed, conf_level: of the bootstrap over documents.
        interval: ``inversion`` (of the t test that the mean curve is at its level; for the plateau of the sign-flip test
            that the claims use, or with fewer than 6 documents the t test),
            ``expanded`` (percentile, widened for few documents), ``percentile`` or ``bca``. By default the one that
            covers best by simulation: inversion, of parametric curves expanded.

    Returns:
        Terms ``plateau`` and ``core_fraction_q`` for each group. A core fraction is NaN with a note where the
        plateau's interval holds zero.

    Raises:
        InputError: a column is missing or an argument is not allowed.

    Examples:
        With the simulated ``frame`` of ``docs/examples/simulated_frame.py``:

        >>> fit = rs.core_fraction(frame, y="effect", x="dose", cluster="document", share=(0.5, 0.9))
        >>> fit.tidy()[["term", "estimate", "conf_low", "conf_high"]].round(3)
                        term  estimate  conf_low  conf_high
        0            plateau     0.931     0.856      1.019
        1  core_fraction_0.5     0.024     0.022      0.025
        2  core_fraction_0.9     0.048     0.046      0.051
    """
    interval = interval or ("inversion" if curve == "isotonic" else "expanded")
    check_bootstrap(n_boot, seed, conf_level)
    _check_arguments(tuple(share), plateau, curve, interval)
    curves = document_curves(frame, y=y, x=x, cluster=cluster, by=by)
    resamples = resample_documents(curves.n_documents, n_boot, np.random.default_rng(seed))
    if curve == "isotonic":
        terms = core_terms(curves, resamples, conf_level, tuple(share), plateau, (interval,))
    else:
        chosen = tuple(model for model in MODELS if model.name.lower() == curve)
        terms = saturation_terms(curves, resamples, conf_level, tuple(share), plateau, chosen, interval)
    first = [row for row in terms.itertuples() if share and row.share == share[0]]
    half = {row.group: row.estimate for row in first}
    limits = {row.group: (row.conf_low, row.conf_high) for row in first}
    terms["term"] = [row.term if np.isnan(row.share) else f"{row.term}_{row.share:g}" for row in terms.itertuples()]
    terms = terms.rename(columns={"group": by}) if by else terms.drop(columns="group")

    mark_name = f"{percent(share[0])} of the plateau" if share else ""
    marked = f"; broken: the doses that reach {mark_name}{SHADED}" if share else ""

    def draw(ax: "Axes") -> None:
        draw_curves(
            ax, curves.x, curves.pooled(), curves.groups, marks=half, mark_name=mark_name, limits=limits,
            group_name=by or "", x_label=x, y_label=y,
        )  # fmt: skip

    shape = "Isotonic mean curve through zero" if curve == "isotonic" else f"{curve.capitalize()} curve"
    how = (
        "intervals by inverting t tests over documents"
        + (
            f", the plateau's {n_boot} sign flips (seed {seed})"
            if 0.5**curves.n_documents < (1 - conf_level) / 2
            else ""
        )
        if interval == "inversion"
        else f"{'expanded percentile' if interval == 'expanded' else interval} intervals from {n_boot} resamples of documents (seed {seed})"
    )
    return FitResult(
        title=f"Core fraction of {y} on {x}",
        terms=terms.drop(columns=["method", "share"]),
        conf_level=conf_level,
        n_prompts=curves.n_prompts,
        n_documents=curves.n_documents,
        notes=(
            f"Plateau: mean effect over {plateau[0]:.0%} to {plateau[1]:.0%}. {shape}.",
            f"{conf_level:.0%} {how}.",
            *curves.notes,
        ),
        draw=draw,
        picture=f"Lines: the mean curve{marked}.",
    )


def core_terms(
    curves: DocumentCurves,
    resamples: Resamples,
    conf_level: float = 0.95,
    shares: tuple[float, ...] = SHARES,
    plateau: tuple[float, float] = PLATEAU,
    intervals: tuple[str, ...] = ("expanded", "bca"),
) -> "pd.DataFrame":
    """Return plateau and core fractions for each group and kind of interval; ``share`` is NaN for the plateau.

    Raises:
        InputError: a share or a kind of interval is not allowed.
    """
    import pandas as pd

    for name in intervals:
        _check_arguments(shares, plateau, "isotonic", name)
    weights = plateau_weights(curves.x, plateau)
    keys = [("plateau", np.nan), *(("core_fraction", share) for share in shares)]
    rows: list[tuple[Hashable, ...]] = []
    if weights is None:
        why = f"undefined: the doses do not cover {plateau[0]:.0%} to {plateau[1]:.0%}"
        for name in intervals:
            for group in curves.groups:
                rows += [(group, method_name(name), share, term, *[np.nan] * 6, why) for term, share in keys]
        return pd.DataFrame(rows, columns=["group", "method", "share", *TERMS])
    estimate = of_pooled(curves, core_statistic(curves, weights, np.array(shares)))
    for name, (error, low, high) in _limits(
        curves, estimate, weights, resamples, conf_level, shares, intervals
    ).items():
        for i, group in enumerate(curves.groups):
            why = _undefined(low[i, 0], high[i, 0])
            for j, (term, share) in enumerate(keys):
                numbers = (estimate[i, j], error[i, j], low[i, j], high[i, j])
                row = _term_row(term, numbers, why if j else "", curves.n_documents - 1)
                rows.append((group, method_name(name), share, *row))
    return pd.DataFrame(rows, columns=["group", "method", "share", *TERMS])


def core_statistic(curves: DocumentCurves, weights: Floats, shares: Floats) -> Statistic:
    """Return the statistic that takes mean curves to plateau and core fractions: n × (1 + shares)."""

    def statistic(rows: Floats, dose_weights: Floats | None = None) -> Floats:
        level = rows @ weights
        weights_used = curves.dose_weights if dose_weights is None else dose_weights
        doses = isotonic_dose_reaching(rows, weights_used, curves.x, level[:, None] * shares)
        return np.column_stack([level, doses])

    return statistic


def _check_arguments(shares: tuple[float, ...], plateau: tuple[float, float], curve: str, interval: str) -> None:
    for one in shares:
        if not 0 < one < 1:
            raise InputError(f"share={one} is not allowed; a share lies between 0 and 1")
    if not 0 <= plateau[0] < plateau[1]:
        raise InputError(f"plateau={plateau} is not allowed; it is a lower and an upper dose")
    if curve not in CURVES:
        raise InputError(f"curve={curve!r} is not known; allowed: {', '.join(CURVES)}")
    check_intervals((interval,), INTERVALS if curve == "isotonic" else ("expanded", "percentile"))


def _limits(
    curves: DocumentCurves,
    estimate: Floats,
    weights: Floats,
    resamples: Resamples,
    conf_level: float,
    shares: tuple[float, ...],
    intervals: tuple[str, ...],
) -> dict[str, tuple[Floats, Floats, Floats]]:
    """Return standard errors, lower and upper limits for each kind of interval: groups × (1 + shares)."""
    statistic = core_statistic(curves, weights, np.array(shares))
    found = bootstrap(curves, statistic, resamples, conf_level, bca="bca" in intervals)
    limits = {}
    for name in intervals:
        if name != "inversion":
            limits[name] = (found.std_error, *getattr(found, name))
            continue
        level = _plateau_interval(curves, weights, resamples, conf_level)
        doses = core_interval(curves, estimate[:, 1:], weights, np.array(shares), conf_level)
        limits[name] = (found.std_error, *(np.column_stack(both) for both in zip(level, doses, strict=True)))
    return limits


def _plateau_interval(
    curves: DocumentCurves, weights: Floats, resamples: Resamples, conf_level: float
) -> tuple[Floats, Floats]:
    """Return what sign flips do not refuse; the t interval where documents, or flips, are too few to refuse anything."""
    n = curves.n_documents
    level, moved = curves.influences(weights)
    error = np.sqrt((moved**2).sum(axis=0) * n / max(n - 1, 1))
    half = stats.t.isf((1 - conf_level) / 2, n - 1) * error if n >= MINIMUM_DOCUMENTS else np.nan * error
    low, high = mean_contrasts(*document_values(curves, weights), (), resamples.signs).interval(conf_level, ())
    return np.where(np.isfinite(low), low, level - half), np.where(np.isfinite(high), high, level + half)


def _undefined(low: float, high: float) -> str:
    """Say why there are no core fractions, from the limits of the plateau."""
    if high < 0:
        return "undefined: the plateau is negative"
    return "undefined: the plateau's interval holds zero" if low <= 0 else ""


def _term_row(term: str, numbers: tuple[float, float, float, float], note: str, df: int) -> tuple[object, ...]:
    estimate, error, low, high = numbers
    if note or np.isnan(estimate):
        return (term, *[np.nan] * 6, note or "undefined: not reached")
    # Less spread than rounding makes is none.
    spread = error > _ROUNDING * abs(estimate)
    statistic = estimate / error if term == "plateau" and spread else np.nan
    p_value = 2 * stats.t.sf(abs(statistic), df)
    note = "" if np.isfinite(error) else f"no interval from fewer than {MINIMUM_DOCUMENTS} documents"
    return (term, estimate, error, statistic, p_value, low, high, note)
