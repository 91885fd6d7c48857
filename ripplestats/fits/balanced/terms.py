"""The rows that a balanced mixed model puts into a result."""

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from ripplestats.fits.balanced.fit import BalancedFit, fit_curves
from ripplestats.fits.balanced.frame import BalancedFrame
from ripplestats.fits.balanced.inference import Replicates, parametric_bootstrap, satterthwaite
from ripplestats.fits.curves import Floats
from ripplestats.fits.result import TERMS

if TYPE_CHECKING:
    import pandas as pd

_NO_CORRELATION = "undefined: a variance is zero"
Draws = tuple[int, np.random.Generator]


def balanced_terms(
    data: BalancedFrame, reml: bool, conf_level: float, with_df: bool, draws: Draws | None
) -> tuple["pd.DataFrame", str, tuple[str, ...]]:
    """Fit a balanced frame.

    Args:
        data: curves and model.
        reml: restricted likelihood.
        conf_level: of the intervals.
        with_df: t tests with Satterthwaite's degrees of freedom, otherwise normal ones.
        draws: replicates and generator of a parametric bootstrap in place of either.

    Returns:
        The terms, the method in words, and notes on the fit.

    Raises:
        InputError: the data do not identify the model.
    """
    import pandas as pd

    fit = fit_curves(data.values, data.documents, data.model, reml=reml)
    replicates = parametric_bootstrap(fit, *draws) if draws else None
    if replicates is not None:
        words = f"bootstrap t intervals at {conf_level:.0%} ({len(replicates.sigma)} parametric replicates)"
        fixed = _bootstrap_rows(data, fit, replicates, conf_level)
    else:
        words = f"{'t' if with_df else 'normal'} intervals at {conf_level:.0%}"
        words += " with Satterthwaite's degrees of freedom" if with_df else ""
        fixed = _wald_rows(data, fit, conf_level, satterthwaite(fit) if with_df else np.full(len(fit.fixed), np.inf))
    terms = pd.DataFrame([*fixed, *_random_rows(data, fit, replicates, conf_level)], columns=list(TERMS))
    notes = tuple(_named(note, data.levels) for note in fit.notes)
    if replicates is not None and replicates.n_failed:
        notes = (*notes, f"{replicates.n_failed} bootstrap replicates did not converge and are left out.")
    return terms, f"{'REML' if reml else 'ML'}, log-likelihood {fit.log_likelihood:.2f}; {words}", notes


def _wald_rows(data: BalancedFrame, fit: BalancedFit, conf_level: float, df: Floats) -> Iterator[tuple[Any, ...]]:
    error = np.sqrt(np.diag(fit.fixed_covariance))
    statistic = fit.fixed / error
    p_value = np.asarray(2 * stats.t.sf(np.abs(statistic), df))
    half = stats.t.isf((1 - conf_level) / 2, df) * error
    notes = [f"{one:.1f} df" if np.isfinite(one) else "" for one in df]
    notes = ["undefined: no degrees of freedom" if np.isnan(one) else note for one, note in zip(df, notes, strict=True)]
    return zip(data.fixed, fit.fixed, error, statistic, p_value, fit.fixed - half, fit.fixed + half, notes, strict=True)


def _bootstrap_rows(
    data: BalancedFrame, fit: BalancedFit, replicates: Replicates, conf_level: float
) -> Iterator[tuple[Any, ...]]:
    """Return rows with the distribution of t taken from the replicates (Efron & Tibshirani 1993, ch. 12.5)."""
    error = np.sqrt(np.diag(fit.fixed_covariance))
    statistic = fit.fixed / error
    drawn = (replicates.fixed - fit.fixed) / replicates.std_error
    as_far = (np.abs(drawn) >= np.abs(statistic)).sum(axis=0)
    p_value = (1 + as_far) / (1 + len(drawn))
    tail = (1 - conf_level) / 2
    low, high = np.quantile(drawn, [1 - tail, tail], axis=0)
    blank = [""] * len(error)
    columns = (fit.fixed, error, statistic, p_value, fit.fixed - low * error, fit.fixed - high * error, blank)
    return zip(data.fixed, *columns, strict=True)


def _random_rows(
    data: BalancedFrame, fit: BalancedFit, replicates: Replicates | None, conf_level: float
) -> Iterator[tuple[Any, ...]]:
    for level, column in data.levels.items():
        names, covariance = data.random[level], fit.covariances[level]
        drawn = replicates.covariances[level] if replicates is not None else None
        for i, name in enumerate(names):
            spread = np.sqrt(drawn[:, i, i]) if drawn is not None else None
            yield _row(f"sd {column} {name}", float(np.sqrt(covariance[i, i])), spread, conf_level)
        for i, j in combinations(range(len(names)), 2):
            spread = _correlation(drawn, i, j) if drawn is not None else None
            value = float(_correlation(covariance, i, j))
            yield _row(f"correlation {column} {names[i]} {names[j]}", value, spread, conf_level)
    yield _row("sd residual", fit.sigma, replicates.sigma if replicates is not None else None, conf_level)


def _row(term: str, estimate: float, drawn: Floats | None, conf_level: float) -> tuple[Any, ...]:
    """Return a row with the replicates' percentiles, or without an interval."""
    error = low = high = np.nan
    drawn = drawn[np.isfinite(drawn)] if drawn is not None else np.empty(0)
    if len(drawn) > 1 and np.isfinite(estimate):
        error = float(drawn.std(ddof=1))
        low, high = np.quantile(drawn, [(1 - conf_level) / 2, (1 + conf_level) / 2])
    return term, estimate, error, np.nan, np.nan, low, high, "" if np.isfinite(estimate) else _NO_CORRELATION


def _correlation(covariance: Floats, i: int, j: int) -> Floats:
    product = covariance[..., i, i] * covariance[..., j, j]
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(product > 0, covariance[..., i, j] / np.sqrt(product), np.nan)
    return found


def _named(note: str, levels: dict[str, str]) -> str:
    """Call levels by their columns."""
    for level, column in levels.items():
        note = note.replace(f"of the {level} ", f"of {column} ")
    return note
