"""Interval and margin → *supported*, *refuted* or *undecided*; nothing else enters."""

from typing import Literal

import numpy as np

Decision = Literal["supported", "refuted", "undecided"]


def below_limit(low: float, high: float, limit: float) -> Decision:
    """Decide a claim that a quantity lies below a limit; an interval may be open (infinite), but not undefined."""
    if np.isnan([low, high, limit]).any():
        return "undecided"
    return "supported" if high < limit else "refuted" if low > limit else "undecided"


def above_limit(low: float, high: float, limit: float) -> Decision:
    """Decide a claim that a quantity lies above a limit."""
    return below_limit(-high, -low, -limit)


def within_margin(low: float, high: float, margin: float) -> Decision:
    """Decide a claim that a quantity lies within ± a margin."""
    if np.isnan([low, high, margin]).any():
        return "undecided"
    if -margin < low and high < margin:
        return "supported"
    return "refuted" if low > margin or high < -margin else "undecided"
