"""One test a claim: documents' curves → estimates, intervals, p-values and their replicates, for every layer."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import MINIMUM_DOCUMENTS, Resamples
from ripplestats.fits.breakpoint import MINIMUM_DOSES
from ripplestats.fits.contrasts import document_values, nearest_dose
from ripplestats.fits.core import SHARES, core_statistic
from ripplestats.fits.curve_layout import ALL_LAYERS
from ripplestats.fits.curves import DocumentCurves, Floats
from ripplestats.fits.one_sided import Flags, OneSided, weaker
from ripplestats.fits.rising_contrasts import core_contrasts, mean_contrasts, ratio_contrasts
from ripplestats.fits.saturation import plateau_weights
from ripplestats.fits.segmented import segmented_terms
from ripplestats.hypotheses.breaks import sup_f
from ripplestats.hypotheses.claims import (
    CLAIMS,
    FIRST_BLOCK,
    FIRST_BLOCK_TOP1,
    INSENSITIVITY,
    INSENSITIVITY_SHARE,
    SPECIFICITY,
    THRESHOLD,
    core_claim,
)

#: The doses over which the largest and random neurons are compared.
SPECIFIC_DOSES = (0.0, 0.1)
#: The interval of the break on which its claim is decided.
_BREAK_INTERVAL = "inversion"
#: Arm and replacement that most claims are about.
MAIN = ("top", "median")


@dataclass(frozen=True)
class RunCurves:
    """What the claims are tested on: curves by arm and replacement, the share of changed tokens, resamples and sign flips."""

    effects: Mapping[tuple[str, str], DocumentCurves]
    changed: DocumentCurves | None
    resamples: Resamples

    @property
    def signs(self) -> Floats:
        """Signs by which documents are flipped in every test, flips × documents."""
        return self.resamples.signs

    @property
    def main(self) -> DocumentCurves:
        """The curves that most claims are about: the largest activations, replaced by the median."""
        return self.effects[MAIN]


@dataclass(frozen=True)
class Evidence:
    """What was found on one claim, an entry a group; NaN where undefined, with the ``reason`` if that is the same for all."""

    claim: str
    groups: tuple[Hashable, ...]
    test: OneSided
    estimate: Floats
    conf_low: Floats
    conf_high: Floats
    reason: str = ""


def insensitivity(run: RunCurves) -> Iterator[Evidence]:
    """Claim 1, in nats and as a share of the plateau."""
    ends, plateau = end_weights(run.main), plateau_weights(run.main.x)
    if ends is None:
        return
    (difference, weights), pooled = document_values(run.main, ends), run.main.pooled()
    claim = CLAIMS[INSENSITIVITY]
    margins = (-claim.margin, claim.margin)
    means = mean_contrasts(difference, weights, margins, run.signs)
    test = weaker(means.above(margins[0]), means.below(margins[1]))
    yield _evidence(claim.name, run.main, test, pooled @ ends, means.interval(claim.conf_level, margins))
    if plateau is None:
        return
    claim = CLAIMS[INSENSITIVITY_SHARE]
    margins = (-claim.margin, claim.margin)
    defined = _plateau_is_positive(run, plateau, claim.conf_level)
    level, _ = document_values(run.main, plateau)
    ratios = ratio_contrasts(difference, level, weights, margins, run.signs)
    test = weaker(ratios.above(margins[0]), ratios.below(margins[1]))
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = pooled @ ends / (pooled @ plateau)
    yield _evidence(claim.name, run.main, test, estimate, ratios.interval(claim.conf_level, margins), defined)


def threshold(run: RunCurves) -> Iterator[Evidence]:
    """Claim 2: sup-F for a break, and where it lies."""
    curves = run.main
    if len(curves.x) < MINIMUM_DOSES:
        return
    terms = segmented_terms(curves, run.resamples, CLAIMS[THRESHOLD].conf_level, (_BREAK_INTERVAL,))
    breaks = terms[terms["term"] == "threshold"].set_index("group").loc[list(curves.groups)]
    estimate, low, high = (breaks[name].to_numpy(np.float64) for name in ("estimate", "conf_low", "conf_high"))
    enough = np.full(len(curves.groups), curves.n_documents >= MINIMUM_DOCUMENTS)
    yield Evidence(THRESHOLD, curves.groups, sup_f(curves, run.signs).where(enough), estimate, low, high)


def core_group(run: RunCurves) -> Iterator[Evidence]:
    """Claim 3: the core fraction lies below 2 % where the effect at 2 % is above its share of the plateau."""
    plateau = plateau_weights(run.main.x)
    if plateau is None:
        return
    estimate = core_statistic(run.main, plateau, np.array(SHARES))(run.main.pooled())
    for j, share in enumerate(SHARES, start=1):
        claim = CLAIMS[core_claim(share)]
        defined = _plateau_is_positive(run, plateau, claim.conf_level)
        roots = core_contrasts(run.main, plateau, share, claim.margin, run.signs)
        limits = roots.interval(claim.conf_level, (claim.margin,))
        yield _evidence(claim.name, run.main, roots.below(claim.margin), estimate[:, j], limits, defined)


def first_block(run: RunCurves) -> Iterator[Evidence]:
    """Claim 4: block 0 against the mean of the others."""
    for name, curves in ((FIRST_BLOCK, run.main), (FIRST_BLOCK_TOP1, run.changed)):
        levels = first_block_levels(run.main if curves is None else curves)
        if levels is not None and curves is None:
            yield _not_recorded(name, "whether the first token changes was not recorded", len(run.signs))
        elif levels is not None:
            yield _positive(name, levels[0] - levels[1], run.main.weights, (0,), run.signs)


def specificity(run: RunCurves) -> Iterator[Evidence]:
    """Claim 5: the largest against as many random neurons."""
    if ("random", "median") in run.effects:
        yield from _more(SPECIFICITY, run, run.main, run.effects["random", "median"], SPECIFIC_DOSES)


def other_replacements(run: RunCurves) -> Iterator[Evidence]:
    """Claim 6: zero and mean against the median."""
    for other in ("zero", "mean"):
        if ("top", other) in run.effects:
            yield from _more(f"6 median against {other}", run, run.effects["top", other], run.main)


def end_weights(curves: DocumentCurves) -> Floats | None:
    """Return the weights of the effect at 90 % minus that at 10 %, None where the grid lacks one of them."""
    weights = nearest_dose(curves.x, 0.9) - nearest_dose(curves.x, 0.1)
    return weights if np.isfinite(weights).all() else None


def first_block_levels(curves: DocumentCurves) -> tuple[Floats, Floats] | None:
    """Return documents' plateaus at block 0 and over the others (documents × 1), None where one of them is missing."""
    weights = plateau_weights(curves.x)
    if weights is None or not {0, ALL_LAYERS} <= set(curves.groups):
        return None
    levels = curves.values @ weights
    first, others = (levels[:, [curves.groups.index(group)]] for group in (0, ALL_LAYERS))
    return first, others


def mean_effects(
    one: DocumentCurves, other: DocumentCurves, doses: tuple[float, float]
) -> tuple[Floats, Floats] | None:
    """Return documents' mean effects over some doses in two conditions, documents × groups; None if not covered.

    Raises:
        InputError: the conditions were not run on the same documents and layers.
    """
    if one.groups != other.groups or not np.array_equal(one.weights, other.weights):
        raise InputError("two arms or replacements were run on different documents or layers; allowed: the same")
    weights = [plateau_weights(curves.x, doses) for curves in (one, other)]
    if weights[0] is None or weights[1] is None:
        return None
    return one.values @ weights[0], other.values @ weights[1]


def _more(
    name: str, run: RunCurves, one: DocumentCurves, other: DocumentCurves, doses: tuple[float, float] = (0.1, 0.9)
) -> Iterator[Evidence]:
    """Yield evidence for the claim that the mean effect of ``one`` over some doses is above that of ``other``."""
    levels = mean_effects(one, other, doses)
    if levels is not None:
        yield _positive(name, levels[0] - levels[1], one.weights, one.groups, run.signs)


def _positive(name: str, values: Floats, weights: Floats, groups: tuple[Hashable, ...], signs: Floats) -> Evidence:
    claim = CLAIMS[name]
    means = mean_contrasts(values, weights, (claim.margin,), signs)
    limits = means.interval(claim.conf_level, (claim.margin,))
    return Evidence(name, groups, means.above(claim.margin), weights @ values / weights.sum(), *limits)


def _not_recorded(name: str, reason: str, n_flips: int) -> Evidence:
    nothing = np.full(1, np.nan)
    test = OneSided(nothing, nothing, np.full((n_flips, 1), np.nan))
    return Evidence(name, (0,), test, nothing, nothing, nothing, reason)


def _plateau_is_positive(run: RunCurves, plateau: Floats, conf_level: float) -> Flags:
    """Tell the groups whose plateau's interval lies above zero: in the others there is nothing to have a share of."""
    means = mean_contrasts(*document_values(run.main, plateau), (0.0,), run.signs)
    positive: Flags = means.above(0.0).p_value <= (1 - conf_level) / 2
    return positive


def _evidence(
    name: str,
    curves: DocumentCurves,
    test: OneSided,
    estimate: Floats,
    limits: tuple[Floats, Floats],
    defined: Flags | None = None,
) -> Evidence:
    if defined is None:
        return Evidence(name, curves.groups, test, estimate, *limits)
    estimate, low, high = (np.where(defined, one, np.nan) for one in (estimate, *limits))
    return Evidence(name, curves.groups, test.where(defined), estimate, low, high)
