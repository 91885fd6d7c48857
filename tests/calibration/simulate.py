"""Data sets with known truths on our rate grid: documents, prompts with breaks of their own, heavy tails.

A prompt's curve is

    y(x) = level_d · level_p · f(x; ψ_p, s_p) + a_d + a_p + noise · sd(x) · e(x),    f = min(x, ψ_p)/ψ_p + s_p·(x − ψ_p)₊

with gamma levels, log-normal breaks (a document part and a prompt part), normal slopes above the break and normal
intercepts; e is AR(1) over the doses, a document part plus a prompt part, times the prompt's own scale, which makes it
Student t with three degrees of freedom. The unit is the plateau of the mean curve (1.0, about 0.1 nats in our run).

The population mean curve has a closed form (``population_curve``), so the truths carry no Monte-Carlo error.
How the numbers were chosen from a real run: README.md beside this file.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ripplestats.fits.breakpoint import BreakDesign
from ripplestats.fits.core import SHARES, core_statistic
from ripplestats.fits.curves import DocumentCurves, Floats
from ripplestats.fits.saturation import plateau_weights
from ripplestats.sweeps.grid import make_grid

N_NEURONS = 1536
QUANTITIES = ("threshold", "population_threshold", "plateau", *(f"core_fraction_{share:g}" for share in SHARES))


@cache
def doses() -> Floats:
    """Return the distinct effective rates k/n of the ``seed`` grid for 1,536 neurons."""
    branches = make_grid(30, N_NEURONS, rates="seed", arms=("top",)).branches()
    return np.array([branch.k for branch in branches]) / N_NEURONS


@dataclass(frozen=True)
class Scenario:
    """A population of documents, and how many of them one data set holds.

    ``kind`` is the family of designs that it belongs to. ``break_mean`` is the mean of the prompts' breaks; ``break_spread`` the standard deviations of their logarithm
    (document, prompt); ``level_spread`` the coefficients of variation of the levels (document, prompt); ``slope_above``
    mean and standard deviation, per unit of dose; ``intercepts`` standard deviations (document, prompt); ``noise`` the
    standard deviation of a prompt's noise on the plateau, of which documents have a share; ``slope_change`` the part of
    the curve that has a kink, the rest is a straight line. ``mixed_model`` draws by ``simulate_mixed_model``, which takes
    nothing else from here but the documents and the mean break.
    """

    kind: str = "clear"
    n_documents: int = 100
    break_mean: float = 0.05
    break_spread: tuple[float, float] = (0.2, 0.2)
    level_spread: tuple[float, float] = (0.5, 0.5)
    slope_above: tuple[float, float] = (0.1, 0.2)
    slope_change: float = 1.0
    intercepts: tuple[float, float] = (0.2, 0.2)
    noise: float = 0.3
    noise_of_document: float = 0.3
    correlation: float = 0.95
    tails: float = 3.0
    mixed_model: bool = False

    @property
    def name(self) -> str:
        """What the scenario is called in results."""
        return f"{self.kind} psi={100 * self.break_mean:g}% n={self.n_documents}"

    @property
    def prompts(self) -> Floats:
        """Prompts in each document: 1, 2, 3, 4, 1, 2, …"""
        return 1.0 + np.arange(self.n_documents) % 4


def _two_phase(x: Floats, breaks: Floats, slopes: Floats, change: float) -> Floats:
    """Return f at each dose; ``change`` below 1 turns it towards the straight line x."""
    kinked = np.minimum(x, breaks) / breaks + slopes * np.maximum(x - breaks, 0)
    return change * kinked + (1 - change) * x


def population_curve(scenario: Scenario, x: Floats) -> Floats:
    """Return the mean curve of the population, by the partial moments of the log-normal break."""
    spread = np.hypot(*scenario.break_spread)
    mean = scenario.break_mean
    if spread == 0:
        return _two_phase(x, np.array(mean), np.array(scenario.slope_above[0]), scenario.slope_change)
    centre = np.log(mean) - spread**2 / 2
    z = (np.log(x) - centre) / spread
    reached = stats.norm.cdf(z)
    inverse_beyond = np.exp(-centre + spread**2 / 2) * stats.norm.sf(z + spread)  # E[1/ψ; ψ > x]
    below = mean * stats.norm.cdf(z - spread)  # E[ψ; ψ < x]
    kinked = reached + x * inverse_beyond + scenario.slope_above[0] * (x * reached - below)
    return scenario.slope_change * kinked + (1 - scenario.slope_change) * x


def _ar1(rng: np.random.Generator, shape: tuple[int, ...], correlation: float) -> Floats:
    steps = rng.standard_normal(shape)
    steps[..., 1:] *= np.sqrt(1 - correlation**2)
    for i in range(1, shape[-1]):
        steps[..., i] += correlation * steps[..., i - 1]
    return steps


def _gamma(rng: np.random.Generator, shape: tuple[int, ...], variation: float) -> Floats:
    """Return gamma variates with mean 1."""
    if variation == 0:
        return np.ones(shape)
    return rng.gamma(variation**-2, variation**2, shape)


def simulate_prompts(scenario: Scenario, n_sets: int, rng: np.random.Generator) -> Floats:
    """Draw the curves of all prompts of data sets: sets × prompts × doses, prompts in the order of ``owners``."""
    x, owner = doses(), owners(scenario)
    of_documents, of_prompts = (n_sets, scenario.n_documents, 1), (n_sets, len(owner), 1)

    def effects(spreads: tuple[float, float]) -> Floats:
        shared, own = (rng.standard_normal(shape) for shape in (of_documents, of_prompts))
        return shared[:, owner] * spreads[0] + own * spreads[1]

    level = _gamma(rng, of_documents, scenario.level_spread[0])[:, owner]
    level = level * _gamma(rng, of_prompts, scenario.level_spread[1])
    variance = np.sum(np.square(scenario.break_spread))
    breaks = scenario.break_mean * np.exp(effects(scenario.break_spread) - variance / 2)
    slopes = scenario.slope_above[0] + scenario.slope_above[1] * rng.standard_normal(of_prompts)
    curves = level * _two_phase(x, breaks, slopes, scenario.slope_change) + effects(scenario.intercepts)
    share = scenario.noise_of_document
    noise = np.sqrt(share) * _ar1(rng, (*of_documents[:2], len(x)), scenario.correlation)[:, owner]
    noise += np.sqrt(1 - share) * _ar1(rng, (*of_prompts[:2], len(x)), scenario.correlation)
    # Divided by the standard deviation of t: the noise has the standard deviation that it says.
    noise *= np.sqrt((scenario.tails - 2) / rng.chisquare(scenario.tails, of_prompts))
    shape = population_curve(scenario, x)
    curves += scenario.noise * (0.4 + 0.6 * shape / shape[-1]) * noise
    return curves


def simulate_mixed_model(scenario: Scenario, n_sets: int, rng: np.random.Generator) -> Floats:
    """Draw prompts as the segmented mixed model has them: normal effects and breaks, equal independent normal noise.

    The mean curve rises by 1 up to the mean break and is level above it; of each effect's variance 0.36 is the
    document's. Breaks have a coefficient of variation of 0.25 and stay above 0.3 of their mean.
    """
    x, owner, mean = doses(), owners(scenario), scenario.break_mean

    def effect() -> Floats:
        shared, own = (rng.standard_normal((n_sets, n, 1)) for n in (scenario.n_documents, len(owner)))
        return 0.6 * shared[:, owner] + 0.8 * own

    breaks = np.maximum(mean * (1 + 0.25 * effect()), 0.3 * mean)
    below, change = (1 + 0.4 * effect()) / mean, -(1 + 0.3 * effect()) / mean
    noise = 0.15 * rng.standard_normal((n_sets, len(owner), len(x)))
    curves: Floats = 0.2 * effect() + below * x + change * np.maximum(x - breaks, 0) + noise
    return curves


def owners(scenario: Scenario) -> NDArray[np.intp]:
    """Return the document of each prompt."""
    return np.repeat(np.arange(scenario.n_documents), scenario.prompts.astype(int))


def document_means(scenario: Scenario, prompts: Floats) -> DocumentCurves:
    """Average prompts over documents. A group is a data set: what is vectorised over layers is so over data sets."""
    starts = np.flatnonzero(np.diff(owners(scenario), prepend=-1))
    means = np.add.reduceat(prompts, starts, axis=1) / scenario.prompts[:, None]
    return as_curves(means, scenario.prompts)


def as_curves(values: Floats, weights: Floats) -> DocumentCurves:
    """Return curves of units (sets × units × doses) as the package has them."""
    return DocumentCurves(
        x=doses(),
        dose_weights=np.ones(values.shape[2]),
        values=np.ascontiguousarray(values.swapaxes(0, 1)),
        weights=weights,
        groups=tuple(range(len(values))),
    )


def simulate(scenario: Scenario, n_sets: int, rng: np.random.Generator) -> DocumentCurves:
    """Draw data sets as documents' mean curves."""
    return document_means(scenario, simulate_prompts(scenario, n_sets, rng))


def truths(scenario: Scenario) -> dict[str, float]:
    """Return what the estimators estimate: each applied to the population's mean curve, and E[ψ_p]."""
    x = doses()
    curve = population_curve(scenario, x)
    core = core_statistic(as_curves(curve[None, None], np.ones(1)), plateau_of_grid(), np.array(SHARES))(curve[None])[0]
    threshold = BreakDesign(x, np.ones(len(x))).fit(curve[None]).breakpoint[0]
    values = (float(threshold), scenario.break_mean, *core.tolist())
    return dict(zip(QUANTITIES, values, strict=True))


@cache
def plateau_of_grid() -> Floats:
    """Return the weights of the doses in the plateau."""
    weights = plateau_weights(doses())
    assert weights is not None
    return weights
