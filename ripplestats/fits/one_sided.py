"""One-sided tests of many groups with their replicates, from which p-values are adjusted over groups."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ripplestats.fits.curves import Floats

Flags = NDArray[np.bool_]
Places = NDArray[np.intp]


@dataclass(frozen=True)
class OneSided:
    """A test of each group: statistics large against the null, p-values, and replicates under it, samples × groups."""

    statistic: Floats
    p_value: Floats
    replicates: Floats

    def take(self, places: Places) -> "OneSided":
        """Return the tests of some groups."""
        return OneSided(self.statistic[places], self.p_value[places], self.replicates[:, places])

    def where(self, defined: Flags) -> "OneSided":
        """Return the tests with those of the other groups undefined."""
        statistic, p_value = (np.where(defined, one, np.nan) for one in (self.statistic, self.p_value))
        return OneSided(statistic, p_value, self.replicates)


def weaker(one: OneSided, other: OneSided) -> OneSided:
    """Return of each group the test with the larger p-value: for a claim that needs both to reject."""
    # Equal p-values of replicates: the smaller statistic is the weaker.
    tied = one.p_value == other.p_value
    first = np.where(tied, one.statistic <= other.statistic, one.p_value > other.p_value)
    return OneSided(
        np.where(first, one.statistic, other.statistic),
        np.where(first, one.p_value, other.p_value),
        np.where(first, one.replicates, other.replicates),
    )
