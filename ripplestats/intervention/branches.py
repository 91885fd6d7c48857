"""One intervention as a value. No tensors: the command line is checked against these names before torch is loaded."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from ripplestats.model.sites import Site

Arm = Literal["top", "bottom", "magnitude", "random", "keep_top"]
ARMS: tuple[Arm, ...] = ("top", "bottom", "magnitude", "random", "keep_top")

Replacement = Literal["median", "mean", "zero", "resample"]
REPLACEMENTS: tuple[Replacement, ...] = ("median", "mean", "zero", "resample")


@dataclass(frozen=True)
class Branch:
    """One intervention in a block: which neurons (arm and number), by what, and at which site."""

    arm: Arm
    replacement: Replacement
    site: Site
    k: int


def dose(rate: Fraction, n_neurons: int) -> int:
    """Return ``floor(rate · n_neurons)`` exactly (``int(0.29 * 100)`` is 28).

    Args:
        rate: a share between 0 and 1.
        n_neurons: number of neurons at the site.
    """
    return math.floor(rate * n_neurons)
