"""The intervals on trial. A new one is one function, data sets → limits, and one entry in ``METHODS``."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ripplestats.fits.bootstrap import Interval, Resamples, bootstrap, resample_documents
from ripplestats.fits.breakpoint import BreakDesign
from ripplestats.fits.contrasts import contrast_of_doses, document_values
from ripplestats.fits.core import SHARES, core_statistic
from ripplestats.fits.curves import DocumentCurves, Floats
from ripplestats.fits.delta_method import break_standard_errors
from ripplestats.fits.inversion import break_interval, core_interval
from ripplestats.fits.random_breaks.layout import GENERAL, SIMPLE, Law
from ripplestats.fits.random_breaks.model import fit_break_model
from ripplestats.fits.rising_contrasts import mean_contrasts
from tests.calibration.simulate import (
    Scenario,
    document_means,
    owners,
    plateau_of_grid,
    simulate_mixed_model,
    simulate_prompts,
)

LEVEL = 0.95
Kind = Literal["expanded", "percentile", "bca"]


@dataclass(frozen=True)
class Study:
    """Data sets of a scenario, resamples of their documents, and what several methods share.

    ``prompts`` is sets × prompts × doses; the groups of ``curves`` are the sets.
    """

    curves: DocumentCurves
    resamples: Resamples
    prompts: Floats
    owners: NDArray[np.intp]

    @cached_property
    def design(self) -> BreakDesign:
        """The design of the two-phase line."""
        return BreakDesign(self.curves.x, self.curves.dose_weights)

    @cached_property
    def breaks(self) -> Interval:
        """Bootstrap intervals of the break."""
        return bootstrap(self.curves, lambda rows: self.design.fit(rows).breakpoint, self.resamples, LEVEL)

    @cached_property
    def core(self) -> Interval:
        """Bootstrap intervals of plateau and core fractions, sets × 4."""
        return bootstrap(self.curves, self._core_statistic, self.resamples, LEVEL)

    @cached_property
    def core_estimates(self) -> Floats:
        """Plateau and core fractions, sets × 4."""
        return self._core_statistic(self.curves.pooled())

    @cached_property
    def threshold_estimates(self) -> Floats:
        """Breaks, NaN where the best one lies at the edge of the grid."""
        found = self.design.fit(self.curves.pooled()).breakpoint
        return np.where((found > self.design.first) & (found < self.design.last), found, np.nan)

    @cached_property
    def simple_models(self) -> Floats:
        """Estimates and limits of the population threshold by the simple segmented mixed model, 3 × sets."""
        return self._break_models(SIMPLE, "reml")

    @cached_property
    def general_models(self) -> Floats:
        """Estimates and limits of the population threshold by the general segmented mixed model, 3 × sets."""
        return self._break_models(GENERAL, "ml")

    def _break_models(self, law: Law, method: str) -> Floats:
        x, owner = self.curves.x, self.owners
        return np.array([_population_threshold(one, x, owner, law, method) for one in self.prompts]).T

    @cached_property
    def _core_statistic(self) -> Callable[[Floats], Floats]:
        return core_statistic(self.curves, plateau_of_grid(), np.array(SHARES))


Limits = tuple[Floats, Floats]
Method = Callable[[Study], Limits]


def draw_study(scenario: Scenario, n_sets: int, n_boot: int, rng: np.random.Generator) -> Study:
    """Draw data sets and resamples of their documents."""
    draw = simulate_mixed_model if scenario.mixed_model else simulate_prompts
    prompts = draw(scenario, n_sets, rng)
    curves = document_means(scenario, prompts)
    return Study(curves, resample_documents(scenario.n_documents, n_boot, rng), prompts, owners(scenario))


def with_fewer_resamples(study: Study, n_boot: int) -> Study:
    """Return the study with the first of its resamples: isotonic fits take longer than all the rest."""
    return replace(study, resamples=Resamples(study.resamples.bootstrap[:n_boot], study.resamples.signs[:n_boot]))


def _population_threshold(
    values: Floats, x: Floats, clusters: NDArray[np.intp], law: Law, method: str
) -> tuple[float, float, float]:
    try:
        found = fit_break_model(values, x, clusters, law=law, method=method, conf_level=LEVEL)
    except np.linalg.LinAlgError as error:  # a fault of the fit, which the table shows as a share undefined
        print(f"the segmented mixed model failed: {error}", file=sys.stderr)
        return np.nan, np.nan, np.nan
    place = found.terms.index("population_threshold")
    return float(found.estimate[place]), float(found.low[place]), float(found.high[place])


def _of_break(kind: Kind) -> Method:
    return lambda study: getattr(study.breaks, kind)


def _break_wald(study: Study) -> Limits:
    fit = study.design.fit(study.curves.pooled())
    error = break_standard_errors(study.curves, study.design, fit)[:, 0]
    half = stats.t.isf((1 - LEVEL) / 2, study.curves.n_documents - 1) * error
    return fit.breakpoint - half, fit.breakpoint + half


def _of_core(kind: Kind, place: int) -> Method:
    def limits(study: Study) -> Limits:
        low, high = getattr(study.core, kind)
        return low[:, place], high[:, place]

    return limits


def _core_inversion(place: int) -> Method:
    def limits(study: Study) -> Limits:
        shares = np.array(SHARES[place - 1 : place])
        estimates = study.core_estimates[:, place : place + 1]
        low, high = core_interval(study.curves, estimates, plateau_of_grid(), shares, LEVEL)
        return low[:, 0], high[:, 0]

    return limits


def _plateau_t(study: Study) -> Limits:
    return contrast_of_doses(study.curves, plateau_of_grid()).interval(LEVEL)


def _plateau_sign_flips(study: Study) -> Limits:
    values, weights = document_values(study.curves, plateau_of_grid())
    return mean_contrasts(values, weights, (), study.resamples.signs).interval(LEVEL, ())


def _plateau_bootstrap_t(study: Study) -> Limits:
    return contrast_of_doses(study.curves, plateau_of_grid(), study.resamples.bootstrap).interval(LEVEL)


_KINDS: tuple[Kind, ...] = ("expanded", "percentile", "bca")
METHODS: Mapping[str, Mapping[str, Method]] = {
    "threshold": {
        **{kind: _of_break(kind) for kind in _KINDS},
        "inversion": lambda study: break_interval(study.curves, study.design, LEVEL),
        "wald": _break_wald,
    },
    "plateau": {
        **{kind: _of_core(kind, 0) for kind in _KINDS},
        "t": _plateau_t,
        "bootstrap-t": _plateau_bootstrap_t,
        "sign flips": _plateau_sign_flips,
    },
    **{
        f"core_fraction_{share:g}": {
            **{kind: _of_core(kind, place) for kind in _KINDS},
            "inversion": _core_inversion(place),
        }
        for place, share in enumerate(SHARES, start=1)
    },
}
#: Methods that take about a second a data set, run on fewer of them.
SLOW_METHODS: Mapping[str, Mapping[str, Method]] = {
    "population_threshold": {"general law": lambda study: (study.general_models[1], study.general_models[2])},
}
SIMPLE_MODEL: Mapping[str, Mapping[str, Method]] = {
    "population_threshold": {"simple law": lambda study: (study.simple_models[1], study.simple_models[2])},
}


def estimates(study: Study, quantity: str, method: str = "") -> Floats:
    """Return the estimates of a quantity, one a data set, as a method has them; NaN where undefined."""
    if quantity == "threshold":
        return study.threshold_estimates
    if quantity == "population_threshold":
        found: Floats = (study.simple_models if method == "simple law" else study.general_models)[0]
        return found
    places = ("plateau", *(f"core_fraction_{share:g}" for share in SHARES))
    return study.core_estimates[:, places.index(quantity)]
