"""Plateau Π and core fraction φ: the smallest rate whose effect reaches a share of the plateau."""

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import (
    MINIMUM_DOCUMENTS,
    Interval,
    Resamples,
    bootstrap,
    check_bootstrap,
    check_intervals,
    resample_documents,
)
from ripplestats.fits.curves import DocumentCurves, Floats, document_curves
from ripplestats.fits.result import TERMS, FitResult
from ripplestats.fits.saturation import PLATEAU, first_dose_reaching, isotonic, plateau_weights
from ripplestats.rendering.charts import draw_curves

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

SHARES = (0.5, 0.8, 0.9)


def core_fraction(
    frame: "pd.DataFrame",
    *,
    y: str,
    x: str,
    cluster: str,
    by: str | None = None,
    share: Sequence[float] = SHARES,
    plateau: tuple[float, float] = PLATEAU,
    n_boot: int = 2000,
    seed: int = 0,
    conf_level: float = 0.95,
    interval: str = "percentile",
) -> FitResult:
    """Estimate the dose at which the isotonic mean curve reaches shares of its plateau.

    Args:
        frame: one row a prompt, dose and group; every document has every dose.
        y, x, cluster, by: columns of effect, dose, document, and group (None for one curve).
        share: shares q of the plateau, each between 0 and 1.
        plateau: the doses over which the plateau is the mean effect.
        n_boot, seed, conf_level: of the bootstrap over documents.
        interval: ``percentile`` or ``bca``.

    Returns:
        Terms ``plateau`` and ``core_fraction_q`` for each group. A core fraction is NaN with a note where the
        plateau's interval holds zero.

    Raises:
        InputError: the frame is not balanced or an argument is not allowed.
    """
    check_bootstrap(n_boot, seed, conf_level)
    if not 0 <= plateau[0] < plateau[1]:
        raise InputError(f"plateau={plateau} is not allowed; it is a lower and an upper dose")
    curves = document_curves(frame, y=y, x=x, cluster=cluster, by=by)
    resamples = resample_documents(curves.n_documents, n_boot, np.random.default_rng(seed))
    terms = core_terms(curves, resamples, conf_level, tuple(share), plateau, (interval,))
    half = {row.group: row.estimate for row in terms.itertuples() if share and row.share == share[0]}
    terms["term"] = [row.term if np.isnan(row.share) else f"{row.term}_{row.share:g}" for row in terms.itertuples()]
    terms = terms.rename(columns={"group": by}) if by else terms.drop(columns="group")

    def draw(ax: "Axes") -> None:
        draw_curves(ax, curves.x, curves.pooled(), curves.groups, marks=half, x_label=x, y_label=y)

    return FitResult(
        title=f"Core fraction of {y} on {x}",
        terms=terms.drop(columns=["method", "share"]),
        conf_level=conf_level,
        n_prompts=curves.n_prompts,
        n_documents=curves.n_documents,
        notes=(
            f"Plateau: mean effect over {plateau[0]:.0%} to {plateau[1]:.0%}. Isotonic mean curve through zero.",
            f"{conf_level:.0%} {interval} intervals from {n_boot} resamples of documents (seed {seed}).",
        ),
        draw=draw,
    )


def core_terms(
    curves: DocumentCurves,
    resamples: Resamples,
    conf_level: float = 0.95,
    shares: tuple[float, ...] = SHARES,
    plateau: tuple[float, float] = PLATEAU,
    intervals: tuple[str, ...] = ("percentile", "bca"),
) -> "pd.DataFrame":
    """Return plateau and core fractions for each group and kind of interval; ``share`` is NaN for the plateau.

    Raises:
        InputError: a share or a kind of interval is not allowed.
    """
    import pandas as pd

    for one in shares:
        if not 0 < one < 1:
            raise InputError(f"share={one} is not allowed; a share lies between 0 and 1")
    check_intervals(intervals)
    estimate, found, notes = _estimates(curves, resamples, conf_level, shares, plateau)
    df = curves.n_documents - 1
    rows: list[tuple[Hashable, ...]] = []
    for name in intervals:
        low, high = getattr(found, name)
        for i, group in enumerate(curves.groups):
            for j, share in enumerate([np.nan, *shares]):
                if notes[i][j]:
                    rows.append((group, f"bootstrap {name}", share, _term(j), *[np.nan] * 6, notes[i][j]))
                    continue
                error = found.std_error[i, j]
                note = "" if np.isfinite(error) else f"no interval from fewer than {MINIMUM_DOCUMENTS} documents"
                statistic = estimate[i, j] / error if j == 0 and error > 0 else np.nan
                p_value = 2 * stats.t.sf(abs(statistic), df)
                limits = (low[i, j], high[i, j])
                rows.append(
                    (
                        group,
                        f"bootstrap {name}",
                        share,
                        _term(j),
                        estimate[i, j],
                        error,
                        statistic,
                        p_value,
                        *limits,
                        note,
                    )
                )
    return pd.DataFrame(rows, columns=["group", "method", "share", *TERMS])


def _term(position: int) -> str:
    return "core_fraction" if position else "plateau"


def _estimates(
    curves: DocumentCurves,
    resamples: Resamples,
    conf_level: float,
    shares: tuple[float, ...],
    plateau: tuple[float, float],
) -> tuple[Floats, Interval, list[list[str]]]:
    """Return estimates (groups × (1 + shares)), their intervals, and why each is undefined, or nothing."""
    weights = plateau_weights(curves.x, plateau)
    if weights is None:
        why = f"undefined: the doses do not cover {plateau[0]:.0%} to {plateau[1]:.0%}"
        blank = np.full((len(curves.groups), 1 + len(shares)), np.nan)
        nothing = Interval(blank, (blank, blank), (blank, blank), blank)
        return blank, nothing, [[why] * (1 + len(shares)) for _ in curves.groups]
    statistic = core_statistic(curves, weights, np.array(shares))
    estimate = statistic(curves.pooled())
    found = bootstrap(curves, statistic, resamples, conf_level)
    notes = []
    for i in range(len(curves.groups)):
        low, high = (limits[i, 0] for limits in found.percentile)
        why = ""
        if high < 0:
            why = "undefined: the plateau is negative"
        elif low <= 0:
            why = "undefined: the plateau's interval holds zero"
        notes.append(["", *[why or ("" if np.isfinite(e) else "undefined: not reached") for e in estimate[i, 1:]]])
    return estimate, found, notes


def core_statistic(curves: DocumentCurves, weights: Floats, shares: Floats) -> Callable[[Floats], Floats]:
    """Return the function that takes mean curves to plateau and core fractions: n × (1 + shares)."""

    def statistic(rows: Floats) -> Floats:
        level = rows @ weights
        fitted = isotonic(rows, curves.dose_weights)
        doses = first_dose_reaching(fitted, curves.x, level[:, None] * shares)
        return np.column_stack([level, doses])

    return statistic
