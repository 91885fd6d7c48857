"""Data sets on the boundary of each null hypothesis, and the p-values of its tests.

A null is one function: (documents, sets, resamples or sign flips, rng) → p-values by test: the one that is used, and on
means the t test and bootstrap-t beside it. Differences between conditions have a skew, which is where a t test loses its
size: each sign is tried.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial

import numpy as np
from scipy import optimize

from ripplestats.fits.bootstrap import flip_signs, resample_documents
from ripplestats.fits.contrasts import Contrast, contrast, nearest_dose
from ripplestats.fits.curves import Floats
from ripplestats.fits.one_sided import weaker
from ripplestats.fits.rising_contrasts import RisingContrasts, core_contrasts, mean_contrasts, ratio_contrasts
from ripplestats.fits.saturation import plateau_weights
from ripplestats.hypotheses.breaks import sup_f
from tests.calibration.simulate import Scenario, doses, plateau_of_grid, population_curve, simulate, truths

PValues = Mapping[str, Floats]
Null = Callable[[int, int, int, np.random.Generator], PValues]

#: 0.05 nats where the plateau is 0.1 nats.
MARGIN = 0.5
CORE_LIMIT = 0.02
SHARE_LIMIT = 0.2
#: Spreads of two conditions with the same mean curve: the difference is skewed.
_MUCH, _LITTLE = (1.0, 0.8), (0.3, 0.3)


def straight(heavy: bool, n: int, n_sets: int, n_boot: int, rng: np.random.Generator) -> PValues:
    """The mean curve is a straight line; ``heavy``: documents that differ much, and noise that they share."""
    plain = Scenario(n_documents=n, slope_change=0.0, break_spread=(0, 0))
    clustered = Scenario(
        n_documents=n, slope_change=0.0, break_spread=(0, 0), level_spread=(1.0, 0.5), noise_of_document=0.6
    )
    curves = simulate(clustered if heavy else plain, n_sets, rng)
    return {"sup-F": sup_f(curves, flip_signs(n, n_boot, rng)).p_value}


def skewed_bends(n: int, n_sets: int, n_boot: int, rng: np.random.Generator) -> PValues:
    """The mean curve is a straight line; at 5 % most documents bend down a little, some up far."""
    plain = simulate(Scenario(n_documents=n, slope_change=0.0, break_spread=(0, 0)), n_sets, rng)
    bends = (rng.standard_exponential((n, n_sets, 1)) - 1) * np.minimum(plain.x / 0.05, 1)
    curves = replace(plain, values=plain.values + bends)
    return {"sup-F": sup_f(curves, flip_signs(n, n_boot, rng)).p_value}


def insensitivity(sign: int, n: int, n_sets: int, n_boot: int, rng: np.random.Generator) -> PValues:
    """The effects at 10 % and 90 % differ by exactly the margin."""
    ends = _ends()
    rise = optimize.brentq(lambda slope: _mean(slope) @ ends - sign * MARGIN, -2, 2)
    curves = simulate(_sloping(rise, n), n_sets, rng)
    values, weights = curves.values @ ends, curves.weights
    return {
        **_by_t(values, weights, n_boot, rng, lambda one: one.two_one_sided_tests(MARGIN)[1]),
        "sign flips": _within(mean_contrasts(values, weights, (-MARGIN, MARGIN), flip_signs(n, n_boot, rng)), MARGIN),
    }


def insensitivity_share(sign: int, n: int, n_sets: int, n_boot: int, rng: np.random.Generator) -> PValues:
    """The effects at 10 % and 90 % differ by exactly a fifth of the plateau."""
    ends, plateau = _ends(), plateau_of_grid()
    rise = optimize.brentq(lambda slope: _mean(slope) @ (ends - sign * SHARE_LIMIT * plateau), -1, 1)
    curves = simulate(_sloping(rise, n), n_sets, rng)
    both, limits = (curves.values @ ends, curves.values @ plateau), (-SHARE_LIMIT, SHARE_LIMIT)
    ratios = ratio_contrasts(*both, curves.weights, limits, flip_signs(n, n_boot, rng))
    one_side = ratios.below(SHARE_LIMIT) if sign > 0 else ratios.above(-SHARE_LIMIT)
    return {"sign flips": _within(ratios, SHARE_LIMIT), "sign flips, this limit alone": one_side.p_value}


def core(share: float, n: int, n_sets: int, n_boot: int, rng: np.random.Generator) -> PValues:
    """The core fraction is exactly 2 %."""
    curves = simulate(Scenario(n_documents=n, break_mean=_break_with_core(share)), n_sets, rng)
    roots = core_contrasts(curves, plateau_of_grid(), share, CORE_LIMIT, flip_signs(n, n_boot, rng))
    return {"sign flips": roots.below(CORE_LIMIT).p_value}


def no_more(
    sign: int, upto: tuple[float, float], n: int, n_sets: int, n_boot: int, rng: np.random.Generator
) -> PValues:
    """Two conditions with the same mean effect over some doses; the difference is skewed to one side."""
    weights = plateau_weights(doses(), upto)
    one, other = (
        simulate(Scenario(n_documents=n, noise=1.0, level_spread=spread), n_sets, rng) for spread in (_MUCH, _LITTLE)
    )
    return _more(sign * ((one.values - other.values) @ weights), one.weights, n_boot, rng)


def first_block_top1(n: int, n_sets: int, n_boot: int, rng: np.random.Generator) -> PValues:
    """The most likely token changes as often at block 0 as in the mean of 29 others (12 % of prompts)."""
    prompts = Scenario(n_documents=n).prompts
    chance = rng.beta(0.6, 4.4, (n, n_sets))
    first = rng.binomial(prompts[:, None].astype(int), chance) / prompts[:, None]
    others = rng.binomial(29 * prompts[:, None].astype(int), rng.beta(3, 22, (n, n_sets))) / (29 * prompts[:, None])
    return _more(first - others, prompts, n_boot, rng)


def _more(values: Floats, weights: Floats, n_boot: int, rng: np.random.Generator) -> PValues:
    by_t = _by_t(values, weights, n_boot, rng, lambda one: one.greater_than(0.0)[1])
    means = mean_contrasts(values, weights, (0.0,), flip_signs(len(weights), n_boot, rng))
    return {**by_t, "sign flips": means.above(0.0).p_value}


def _within(means: RisingContrasts, margin: float) -> Floats:
    return weaker(means.above(-margin), means.below(margin)).p_value


def _by_t(
    values: Floats, weights: Floats, n_boot: int, rng: np.random.Generator, test: Callable[[Contrast], Floats]
) -> PValues:
    counts = resample_documents(len(weights), n_boot, rng).bootstrap
    groups = tuple(range(values.shape[1]))
    return {
        "t": test(contrast(values, weights, groups)),
        "bootstrap-t": test(contrast(values, weights, groups, counts)),
    }


def _ends() -> Floats:
    return nearest_dose(doses(), 0.9) - nearest_dose(doses(), 0.1)


def _sloping(slope: float, n: int) -> Scenario:
    return Scenario(n_documents=n, noise=0.6, slope_above=(slope, 0.4))


def _mean(slope: float) -> Floats:
    return population_curve(_sloping(slope, 30), doses())


@cache
def _break_with_core(share: float) -> float:
    """Return the mean break with which the population's core fraction is the limit."""
    name = f"core_fraction_{share:g}"
    return float(optimize.brentq(lambda at: truths(Scenario(break_mean=at))[name] - CORE_LIMIT, 0.005, 0.15))


NULLS: Mapping[str, Null] = {
    "2 break: straight line": partial(straight, False),
    "2 break: straight line, clustered": partial(straight, True),
    "2 break: straight line, skewed bends of documents": skewed_bends,
    "1 insensitivity: difference = margin": partial(insensitivity, 1),
    "1 insensitivity: difference = -margin": partial(insensitivity, -1),
    "1 insensitivity: difference = 20% of plateau": partial(insensitivity_share, 1),
    "1 insensitivity: difference = -20% of plateau": partial(insensitivity_share, -1),
    **{f"3 core group: phi_{share:g} = 2%": partial(core, share) for share in (0.5, 0.8, 0.9)},
    "4 first block: no more, skewed up": partial(no_more, 1, (0.1, 0.9)),
    "4 first block: top-1 lost as often": first_block_top1,
    "5 specificity: no more, skewed up": partial(no_more, 1, (0.0, 0.1)),
    "5 specificity: no more, skewed down": partial(no_more, -1, (0.0, 0.1)),
    "6 replacement: no more, skewed down": partial(no_more, -1, (0.1, 0.9)),
}
