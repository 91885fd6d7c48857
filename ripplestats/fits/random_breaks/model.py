"""The segmented mixed model of curves: fit, standard errors robust to clusters, and what a reader must know."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ripplestats.errors import InputError
from ripplestats.fits.breakpoint import MINIMUM_DOSES
from ripplestats.fits.curves import Floats
from ripplestats.fits.random_breaks.break_law import LOG_NORMAL
from ripplestats.fits.random_breaks.climbing import STAGES, Stage
from ripplestats.fits.random_breaks.inference import Natural, covariances
from ripplestats.fits.random_breaks.layout import BREAK, N_FIXED, RANDOM, SIMPLE, Block, Law, Layout
from ripplestats.fits.random_breaks.optimum import (
    NEAR,
    Optimum,
    search,
    without_idle_spreads,
)
from ripplestats.fits.random_breaks.problem import Problem
from ripplestats.fits.random_breaks.remarks import notes_on, where_search_ended, with_doubt
from ripplestats.fits.random_breaks.restricted import restricted
from ripplestats.fits.random_breaks.starts import generalised_places, starts

METHODS = ("auto", "reml", "ml")
#: Fewer prompts than this hold no spread between prompts that is worth a figure.
MINIMUM_PROMPTS = 5
#: A spread whose loss costs less log-likelihood than this is zero.
_COSTS_NOTHING = 1e-2
_NOTHING = 1e-7
_CONVERGED = 1e-4
#: How far below the least log residual of the starts a search may go.
_OVERSHOOT = 5.0


@dataclass(frozen=True)
class BreakModel:
    """A fitted segmented mixed model.

    ``terms`` (of length T) and their arrays: ``estimate``, ``std_error`` (robust to clusters; of spreads, if that is
    larger, as if the model were true), ``low`` and ``high``; ``reasons`` say why a figure is undefined, or nothing.
    ``breaks`` and ``break_errors`` (P,) are mean and SD of each prompt's break given its curve (empirical Bayes).
    ``log_likelihood`` is exact at the estimates, ``restricted`` NaN unless REML; ``quadrature_error`` is its change
    with twice the nodes; ``rivals`` are breaks of other optima, each with the log-likelihood it lacks.
    """

    terms: tuple[str, ...]
    estimate: Floats
    std_error: Floats
    low: Floats
    high: Floats
    reasons: tuple[str, ...]
    breaks: Floats
    break_errors: Floats
    log_likelihood: float
    restricted: float
    quadrature_error: float
    rivals: tuple[tuple[float, float], ...]
    n_clusters: int
    notes: tuple[str, ...]
    law: Law

    @property
    def undefined(self) -> str:
        """Why there are no estimates, or nothing."""
        return self.reasons[0] if np.isnan(self.estimate).all() else ""


def fit_break_model(
    values: Floats,
    x: Floats,
    clusters: Sequence[Hashable] | NDArray[np.generic] | None = None,
    *,
    method: str = "auto",
    random: Sequence[str] = RANDOM,
    law: Law = SIMPLE,
    conf_level: float = 0.95,
) -> BreakModel:
    """Fit the segmented mixed model of Muggeo et al. (2014) to curves by the exact likelihood.

    Args:
        values: prompts × doses; NaN where a prompt lacks a dose (slower: one pass for each pattern of doses).
        x: the doses, sorted and distinct.
        clusters: the document of each prompt; by default each its own.
        method: ``reml``, ``ml``, or ``auto`` (see ``chosen_method``).
        random: which of ``intercept``, ``slope_below``, ``slope_change`` and ``break`` differ between prompts; where breaks
            are log-normal the second and third stand for the height at the break and the slope above.
        law: of breaks, effects and errors.
        conf_level: of the intervals: t with one degree of freedom less than documents, those of spreads on the
            logarithmic scale.

    Raises:
        InputError: an argument is not allowed, or there are too few prompts or doses.
    """
    _check(values, x, method, random, law, conf_level)
    labels = np.arange(len(values)) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    names = term_names(random, law)
    undefined = partial(_undefined, names, law, len(values), labels)
    centre, unit = float(np.nanmean(values)), float(np.nanstd(values))
    if unit <= _NOTHING * max(abs(centre), np.finfo(float).tiny):
        return undefined("undefined: the curves are flat")
    scale = float(x[len(x) // 2] - x[0])
    simple = _problem((values - centre) / unit, x / scale, random)
    candidates = starts(simple)
    if min(start[N_FIXED] for start in candidates) < np.log(_NOTHING):
        return undefined("undefined: two-phase lines leave nothing over as residual")
    lowest = min(start[N_FIXED] for start in candidates) - _OVERSHOOT
    simple = replace(simple, least_residual=lowest)
    problem, stages = simple.under(law), tuple(STAGES)
    try:
        if problem.layout != simple.layout:
            candidates, stages = generalised_places(simple, candidates, law), ()
        problem, optima = _fit(problem, candidates, stages)
    except np.linalg.LinAlgError:
        return undefined("undefined: double precision does not hold the likelihood")
    best = optima[0]
    if not problem.x[1] < best.parameters[BREAK] < problem.x[-2]:
        return undefined(
            f"undefined: the best break lies at the edge of the doses ({best.parameters[BREAK] * scale:.3g})"
        )
    best, said = _by_method(problem, best, chosen_method(method, law))
    if best.decrement > _CONVERGED:
        return undefined(where_search_ended(problem, best))
    return _finish(problem, best, optima, labels, Natural(names, centre, unit, scale), conf_level, said, law)


def chosen_method(name: str, law: Law) -> str:
    """Return ``ml`` or ``reml``; ``auto`` is maximum likelihood where errors are serial.

    There REML takes twice as long, and moves the threshold by less than 0.05 standard errors.
    """
    return name if name != METHODS[0] else ("ml" if law.serial else "reml")


def _by_method(problem: Problem, best: Optimum, method: str) -> tuple[Optimum, tuple[str, ...]]:
    """Return the optimum by REML where asked for, and by maximum likelihood, with a note, where that does not converge."""
    if method == "ml":
        return best, ()
    corrected = restricted(problem, best)
    if corrected.decrement <= _CONVERGED:
        return corrected, ()
    return best, ("REML did not converge: these are maximum-likelihood estimates.",)


def term_names(random: Sequence[str], law: Law = SIMPLE) -> tuple[str, ...]:
    """Return the terms of the model."""
    correlated = [called for name, called in zip(RANDOM, law.effects, strict=True) if name in random]
    effects = [name for name in correlated if name != "break"]
    pairs = [(a, b) for i, b in enumerate(correlated) for a in correlated[:i]] if law.correlated else []
    spread: tuple[str, ...] = ("threshold_sd",) if "break" in random else ()
    if spread and law.breaks == LOG_NORMAL:
        spread += ("threshold_median",)
    shape = ("autocorrelation", "residual_growth") if law.serial else ()
    height = ("height",) if law.breaks == LOG_NORMAL else ()
    return (
        "population_threshold", *spread, "intercept", *height, "slope_below", "slope_change", "slope_above",
        *(f"sd_{name}" for name in effects), *(f"correlation_{a}_{b}" for a, b in pairs), "residual", *shape,
    )  # fmt: skip


def _check(values: Floats, x: Floats, method: str, random: Sequence[str], law: Law, conf_level: float) -> None:
    if values.ndim != 2 or x.shape != values.shape[1:]:
        raise InputError(
            f"values of shape {values.shape} do not fit doses of shape {x.shape}; prompts × doses is asked"
        )
    if not (np.isfinite(x).all() and (np.diff(x) > 0).all()):
        raise InputError("the doses are not finite numbers in rising order")
    if np.isinf(values).any() or np.isnan(values).all(axis=1).any():
        raise InputError("a curve holds infinite values, or none at all")
    if len(x) < MINIMUM_DOSES:
        raise InputError(f"{len(x)} doses; a break between two lines needs at least {MINIMUM_DOSES}")
    if len(values) < MINIMUM_PROMPTS:
        raise InputError(f"{len(values)} prompts; a spread between prompts needs at least {MINIMUM_PROMPTS}")
    if method not in METHODS:
        raise InputError(f"method={method!r} is not known; allowed: {', '.join(METHODS)}")
    if unknown := [name for name in random if name not in RANDOM]:
        raise InputError(f"random={unknown[0]!r} is not known; allowed: {', '.join(RANDOM)}")
    if law.breaks == LOG_NORMAL and x[0] < 0:
        raise InputError(f"the least dose is {x[0]:.4g}; log-normal breaks need doses that are not negative")
    if not 0 < conf_level < 1:
        raise InputError(f"conf_level={conf_level} is not allowed; it lies between 0 and 1")


def _problem(values: Floats, x: Floats, random: Sequence[str]) -> Problem:
    seen = np.isfinite(values)
    patterns, which = np.unique(seen, axis=0, return_inverse=True)
    mean = np.nanmean(values, axis=0)
    growth = (mean - mean.min()) / max(np.ptp(mean), _NOTHING)
    blocks = tuple(
        Block(
            x[pattern], values[which == number][:, pattern], np.flatnonzero(which == number),
            np.flatnonzero(pattern), growth[pattern],
        )
        for number, pattern in enumerate(patterns)
    )  # fmt: skip
    columns = tuple(place for place, name in enumerate(RANDOM[:3]) if name in random)
    layout = Layout(columns, "break" in random, unstructured=False, no_spread=1e-3 * float(np.diff(x).min()))
    return Problem(blocks, x, layout)


def _fit(problem: Problem, candidates: list[Floats], stages: Sequence[Stage]) -> tuple[Problem, list[Optimum]]:
    """Return the optima; where breaks hardly differ, those of equal breaks, whose likelihood has a kink at each dose."""
    found = search(problem, candidates, stages)
    if problem.layout.random_break:
        best = found[0].parameters
        gap = np.diff(problem.x)[np.clip(np.searchsorted(problem.x, best[BREAK]) - 1, 0, len(problem.x) - 2)]
        if problem.layout.spread(best) < gap / 2:
            equal = problem.with_equal_breaks()
            others = search(equal, starts(equal))
            if others[0].log_likelihood > found[0].log_likelihood - _COSTS_NOTHING:
                problem, found = equal, others
    return problem, [without_idle_spreads(problem, found[0], _COSTS_NOTHING), *found[1:]]


def _finish(
    problem: Problem,
    best: Optimum,
    optima: list[Optimum],
    labels: NDArray[np.intp],
    scales: Natural,
    conf_level: float,
    said: tuple[str, ...],
    law: Law,
) -> BreakModel:
    here = problem.evaluate(best.parameters, best.order)
    free = scales.free(problem.layout, best.parameters)
    found = covariances(problem, best, here.scores, labels)
    robust, model = (scales.free_errors(problem.layout, best.parameters, one) for one in found)
    # With few documents the sandwich is too narrow for spreads: 92 % of 95 % intervals held τ at 30 prompts.
    error = np.where(scales.spreads, np.maximum(robust, model), robust)
    n_clusters = int(labels.max()) + 1
    half = error * (float(stats.t.ppf((1 + conf_level) / 2, n_clusters - 1)) if n_clusters > 1 else np.nan)
    estimate, std_error = scales.data_scale(free), scales.slope(free) * error
    reasons = with_doubt(scales.reasons(estimate, std_error), scales.names, free, half)
    rivals = _rivals(optima, best, scales.dose, float(std_error[0]) / 10)
    return BreakModel(
        scales.names, estimate, std_error, scales.data_scale(free - half), scales.data_scale(free + half), reasons,
        breaks=here.break_mean * scales.dose,
        break_errors=np.sqrt(here.break_variance) * scales.dose,
        log_likelihood=best.log_likelihood - scales.jacobian(problem.blocks),
        restricted=best.restricted - scales.jacobian(problem.blocks) + scales.restricted_jacobian,
        quadrature_error=best.quadrature_error,
        rivals=rivals,
        n_clusters=n_clusters,
        notes=(*said, *notes_on(problem, best, rivals, bool(np.isfinite(found[1]).all()))),
        law=law,
    )  # fmt: skip


def _rivals(optima: list[Optimum], best: Optimum, dose: float, apart: float) -> tuple[tuple[float, float], ...]:
    """Return breaks of other optima as likely, each with the log-likelihood it lacks; of those at one break the best."""
    found: list[tuple[float, float]] = []
    taken = [float(best.parameters[BREAK]) * dose]
    for one in optima[1:]:
        at, lack = float(one.parameters[BREAK]) * dose, optima[0].log_likelihood - one.log_likelihood
        if lack < NEAR and all(abs(at - other) > apart for other in taken):
            found.append((at, lack))
            taken.append(at)
    return tuple(found)


def _undefined(names: tuple[str, ...], law: Law, n_prompts: int, labels: NDArray[np.intp], why: str) -> BreakModel:
    blank = np.full(len(names), np.nan)
    nothing = np.full(n_prompts, np.nan)
    return BreakModel(
        names, blank, blank, blank, blank, (why,) * len(names), nothing, nothing,
        np.nan, np.nan, np.nan, (), int(labels.max()) + 1, (), law,
    )  # fmt: skip
