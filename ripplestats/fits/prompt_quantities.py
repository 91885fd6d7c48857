"""Plateau, slope and core pseudo-value of each prompt: what covariates of prompts are to explain."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ripplestats.fits.bootstrap import of_pooled, of_replicates
from ripplestats.fits.breakpoint import MINIMUM_DOSES, BreakDesign
from ripplestats.fits.core import core_statistic
from ripplestats.fits.curves import DocumentCurves, Floats
from ripplestats.fits.saturation import plateau_weights

#: Where a threshold is undefined, the slope is the one up to this dose.
_USUAL_LIMIT = 0.10


@dataclass(frozen=True)
class PromptQuantity:
    """A number of each prompt, NaN where it is undefined, and why it is for those (or for all)."""

    name: str
    values: Floats
    why: str = ""

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which prompts have it."""
        return np.isfinite(self.values)


def prompt_quantities(
    curves: DocumentCurves, group: int, limit: float | None, share: float, plateau: tuple[float, float]
) -> list[PromptQuantity]:
    """Return plateau, slope and core pseudo-value of each prompt in one group.

    Where prompts lack doses that others have, plateau and slope come from the doses that the prompt has, and the mean
    curve, whole or without a prompt, counts each prompt once at each dose that it has.

    Args:
        curves: of prompts, which take the documents' place.
        group: its place in the curves.
        limit: the last dose of the slope; None for the threshold of the mean curve.
        share: of the plateau, that the core fraction is about.
        plateau: the doses over which the plateau is the mean effect.
    """
    having, one = _group(curves, group)
    found = [_plateaus(one, plateau), _slopes(one, limit), _core_pseudo_values(one, share, plateau)]
    whole = np.full((len(found), curves.n_documents), np.nan)
    whole[:, having] = [quantity.values for quantity in found]
    return [replace(quantity, values=values) for quantity, values in zip(found, whole, strict=True)]


def _group(curves: DocumentCurves, group: int) -> tuple[NDArray[np.bool_], DocumentCurves]:
    """Return which prompts have rows of a group, and their curves in it, each prompt counted once."""
    alone = replace(curves.of_groups([group]), weights=np.ones(curves.n_documents))
    if alone.counts is None:
        return np.ones(curves.n_documents, bool), alone
    counts = alone.counts / curves.weights[:, None, None]
    having = np.asarray(counts.any(axis=(1, 2)))
    return having, replace(alone, values=alone.values[having], weights=np.ones(having.sum()), counts=counts[having])


def _weights(curves: DocumentCurves) -> Floats:
    """Return the weights of the doses of each prompt: prompts × R, 0 where there is no row."""
    if curves.counts is None:
        return np.broadcast_to(curves.dose_weights, (curves.n_documents, len(curves.x)))
    return curves.counts[:, 0]


def _plateaus(curves: DocumentCurves, plateau: tuple[float, float]) -> PromptQuantity:
    found = np.full(curves.n_documents, np.nan)
    patterns, pattern_of = np.unique(_weights(curves) > 0, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        level = plateau_weights(curves.x[pattern], plateau)
        if level is not None:
            members = pattern_of == number
            found[members] = curves.values[members, 0][:, pattern] @ level
    return PromptQuantity("plateau", found, _not_covered(plateau))


def _not_covered(plateau: tuple[float, float]) -> str:
    return f"the doses do not cover {plateau[0]:.0%} to {plateau[1]:.0%}"


def _slopes(curves: DocumentCurves, limit: float | None) -> PromptQuantity:
    x = curves.x
    if limit is None:
        design = BreakDesign(x, curves.pooled_weights())
        fit = design.fit(curves.pooled()) if len(x) >= MINIMUM_DOSES else None
        inside = fit is not None and design.first < fit.breakpoint[0] < design.last
        limit = float(fit.breakpoint[0]) if fit is not None and inside else _USUAL_LIMIT
    weights = _weights(curves) * (x <= limit * (1 + 1e-9))
    enough = (weights > 0).sum(axis=1) >= 2
    with np.errstate(divide="ignore", invalid="ignore"):
        centred = weights * (x - (weights @ x / weights.sum(axis=1))[:, None])
        slopes = (centred * curves.values[:, 0]).sum(axis=1) / (centred @ x)
    return PromptQuantity("slope", np.where(enough, slopes, np.nan), f"fewer than two doses up to {limit:.3g}")


def _core_pseudo_values(curves: DocumentCurves, share: float, plateau: tuple[float, float]) -> PromptQuantity:
    n, level = curves.n_documents, plateau_weights(curves.x, plateau)
    if level is None:
        return PromptQuantity("core", np.full(n, np.nan), _not_covered(plateau))
    statistic = core_statistic(curves, level, np.array([share]))
    whole = of_pooled(curves, statistic)[0, 1]
    without, weights = curves.without_each()
    left_out = of_replicates(statistic, without, weights)[:, 0, 1]
    alone = np.zeros(n, bool) if weights is None else (weights == 0).any(axis=(1, 2))
    if not np.isfinite([whole, *left_out[~alone]]).all():
        why = f"the mean curve, whole or without some prompt, does not reach {share:.0%} of a positive plateau"
        return PromptQuantity("core", np.full(n, np.nan), why)
    why = "no row of the group, or no other prompt with one of their doses"
    return PromptQuantity("core", n * whole - (n - 1) * left_out, why)
