"""The curves, and the vector of parameters of the segmented mixed model: which effects are random, and how."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ripplestats.fits.curves import Floats
from ripplestats.fits.random_breaks.break_law import LOG_NORMAL, NORMAL
from ripplestats.fits.random_breaks.serial_errors import N_SHAPE, Precision, error_shape, precision

#: Places of intercept, rise, bend, break, log σ and (if the break is random) log τ in the vector. Rise and bend are the
#: slope below the break and its change there; where breaks are log-normal the height at the break and the slope above.
INTERCEPT, RISE, BEND, BREAK, LOG_RESIDUAL, LOG_SPREAD = range(6)
#: The effects that may differ between prompts, and what they are called where breaks are log-normal.
RANDOM = ("intercept", "slope_below", "slope_change", "break")
OF_HEIGHTS = ("intercept", "height", "slope_above", "break")
#: The parameters of the mean; the others are of spread.
N_FIXED = 4


@dataclass(frozen=True)
class Law:
    """How breaks, effects and errors differ between prompts.

    ``breaks`` are normal or log-normal; ``correlated`` effects, the break among them, have a free covariance, others
    are independent; ``serial`` errors go on from dose to dose and grow with the effect, others are independent and equal.

    With normal breaks a prompt's line has a slope below the break and a change of it. Log-normal breaks are positive, and
    there a prompt has a height at its break, whatever that is, and a slope above: how high a curve rises and where it
    levels off are two matters, and slopes, their quotient, neither normal nor linear in the break.
    """

    breaks: str = NORMAL
    correlated: bool = False
    serial: bool = False

    @property
    def effects(self) -> tuple[str, ...]:
        """What rise and bend are called, and the intercept before, the break after them."""
        return OF_HEIGHTS if self.breaks == LOG_NORMAL else RANDOM


#: The law of Muggeo et al. (2014), and ours.
SIMPLE, GENERAL = Law(), Law(LOG_NORMAL, correlated=True, serial=True)


@dataclass(frozen=True)
class Block:
    """Prompts that share their doses: ``x`` (R,), ``values`` (P, R), and their row ``places`` (P,) among all.

    For errors that are not independent: the doses' ``ranks`` among all, and the mean curve there, ``growth``, from 0 to 1.
    """

    x: Floats
    values: Floats
    places: NDArray[np.intp]
    ranks: NDArray[np.intp] | None = None
    growth: Floats | None = None

    def error_shape(self, layout: "Layout", parameters: Floats) -> Floats:
        """Return the covariance of errors over σ²."""
        if not layout.serial or self.ranks is None or self.growth is None:
            return np.eye(len(self.x))
        return error_shape(parameters[layout.first_shape :], self.ranks, self.growth)

    def precision(self, layout: "Layout", parameters: Floats) -> Precision | None:
        """Return the precision of errors; None if they are independent and equal."""
        if not layout.serial or self.ranks is None or self.growth is None:
            return None
        return precision(parameters[layout.first_shape :], self.ranks, self.growth)

    @cached_property
    def sums(self) -> tuple[Floats, Floats, Floats]:
        """Return Σy, Σxy and Σy² of each prompt."""
        return self.values.sum(axis=1), self.values @ self.x, (self.values**2).sum(axis=1)


@dataclass(frozen=True)
class Layout:
    """Which effects are random, and so what the parameters are.

    The vector holds intercept, rise, bend, break, log σ, then log τ if the break is random, then the
    free entries of the lower factor of G (its diagonal alone, or all): a factor's sign does not matter, so that an SD
    of zero is an inner point. Then, if ``joint``, by how much the mean of each random effect changes with a standard
    deviation of the break; then, if ``serial``, the shape of the errors' covariance. G is that of effects given the break.

    ``columns`` are those of [1, x, (x−ψ)₊], or [1, min(x, ψ)/ψ, (x−ψ)₊], with a random effect; ``no_spread`` is the τ that
    stands for zero.
    """

    columns: tuple[int, ...]
    random_break: bool
    unstructured: bool
    no_spread: float
    law: str = NORMAL
    joint: bool = False
    serial: bool = False

    @property
    def of_heights(self) -> bool:
        """Whether rise and bend are the height at the break and the slope above."""
        return self.law == LOG_NORMAL

    def design(self, x: Floats, at: float) -> Floats:
        """Return the columns of a line that breaks at a dose: R × 3."""
        rise = np.minimum(x, at) / at if self.of_heights else x
        return np.column_stack([np.ones_like(x), rise, np.maximum(x - at, 0)])

    def slope_in_break(self, x: Floats, parameters: Floats) -> Floats:
        """Return by how much the mean's line changes with its break at doses (R,)."""
        at, beyond = float(parameters[BREAK]), x > parameters[BREAK]
        below = -parameters[RISE] * x / at**2 if self.of_heights else np.zeros_like(x)
        return np.where(beyond, -parameters[BEND], below)

    @cached_property
    def entries(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of the free entries of the factor."""
        q = len(self.columns)
        return tuple((i, j) for i in range(q) for j in range(i + 1) if self.unstructured or i == j)

    @cached_property
    def places(self) -> slice | list[int]:
        """Return ``columns`` as an index: a slice, which copies nothing, if they follow each other."""
        first, q = self.columns[:1], len(self.columns)
        joined = first and self.columns == tuple(range(first[0], first[0] + q))
        return slice(first[0], first[0] + q) if joined else list(self.columns)

    @property
    def first_factor(self) -> int:
        """Where the factor's entries begin."""
        return LOG_SPREAD + self.random_break

    @cached_property
    def first_regression(self) -> int:
        """Where the effects' changes with the break begin."""
        return self.first_factor + len(self.entries)

    @cached_property
    def first_shape(self) -> int:
        """Where the shape of the errors' covariance begins."""
        return self.first_regression + len(self.columns) * self.joint

    @property
    def size(self) -> int:
        """The number of parameters."""
        return self.first_shape + N_SHAPE * self.serial

    def regression(self, parameters: Floats) -> Floats:
        """Return by how much the mean of each effect changes with a standard deviation of the break (3,)."""
        found = np.zeros(BREAK)
        if self.joint:
            found[list(self.columns)] = parameters[self.first_regression : self.first_shape]
        return found

    def factor(self, parameters: Floats) -> Floats:
        """Return the lower factor of G (q × q)."""
        lower = np.zeros((len(self.columns),) * 2)
        for value, place in zip(parameters[self.first_factor : self.first_regression], self.entries, strict=True):
            lower[place] = value
        return lower

    def covariance(self, parameters: Floats) -> Floats:
        """Return the covariance of the random effects and, if ``joint``, of the standardised break, which comes last."""
        lower, regression = self.factor(parameters), self.regression(parameters)[list(self.columns)]
        within = lower @ lower.T + np.outer(regression, regression)
        return np.block([[within, regression[:, None]], [regression[None], np.ones((1, 1))]]) if self.joint else within

    def idle(self, parameters: Floats) -> list[int]:
        """Return the random effects (places in ``columns``) whose factor is zero on the diagonal."""
        lower = self.factor(parameters)
        return [i for i in range(len(self.columns)) if abs(lower[i, i]) <= 1e-6 * np.abs(lower[i]).max(initial=1e-6)]

    def idle_places(self, parameters: Floats) -> list[int]:
        """Return where in the vector the diagonal entries of idle effects are."""
        return [self.first_factor + self.entries.index((i, i)) for i in self.idle(parameters)]

    def spread(self, parameters: Floats) -> float:
        """Return τ, not below what stands for zero."""
        if not self.random_break:
            return self.no_spread
        return max(float(np.exp(min(parameters[LOG_SPREAD], 50.0))), self.no_spread)
