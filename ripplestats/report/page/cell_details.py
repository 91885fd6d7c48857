"""How one outcome is spread over prompts, in each layer and dose: a histogram, quartiles and the prompts at both ends."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ripplestats.fits.curves import Floats

#: Bars of a histogram.
BINS = 24
#: Prompts named at each end.
LISTED = 5
#: The bars span the middle of the prompts; those beyond, where there are hundreds, are counted in the outermost bars.
_BEYOND = 0.005
#: Narrower than this, relative to the values, a histogram has no bars to tell apart.
_NARROW = 1e-9


@dataclass(frozen=True)
class CellDetails:
    """Arrays of layers × doses; of ``counts`` by bar, of ``quartiles`` by lower, median, upper, of the rest by rank.

    ``low`` and ``high`` are the ends of the bars. ``most`` and ``least`` are places of prompts, the strongest and the
    weakest effect first, and ``most_effect`` and ``least_effect`` what those prompts have.
    """

    low: Floats
    high: Floats
    counts: NDArray[np.int64]
    quartiles: Floats
    most: NDArray[np.intp]
    most_effect: Floats
    least: NDArray[np.intp]
    least_effect: Floats


def describe_cells(values: Floats) -> CellDetails:
    """Summarise effects (prompts × layers × doses, finite) over prompts."""
    low, high = _ends(values)
    order = np.argsort(values, axis=0, kind="stable")
    shown = min(LISTED, len(values))
    least, most = order[:shown], order[::-1][:shown]
    ranked = [np.moveaxis(np.take_along_axis(values, places, axis=0), 0, -1) for places in (most, least)]
    return CellDetails(
        low=low,
        high=high,
        counts=_histograms(values, low, high),
        quartiles=np.moveaxis(np.quantile(values, [0.25, 0.5, 0.75], axis=0), 0, -1),
        most=np.moveaxis(most, 0, -1),
        most_effect=ranked[0],
        least=np.moveaxis(least, 0, -1),
        least_effect=ranked[1],
    )


def _ends(values: Floats) -> tuple[Floats, Floats]:
    low = np.quantile(values, _BEYOND, axis=0, method="lower")
    high = np.quantile(values, 1 - _BEYOND, axis=0, method="higher")
    least = np.maximum(_NARROW * np.abs(values).max(axis=0), _NARROW)
    narrow = high - low < least
    return np.where(narrow, low - least, low), np.where(narrow, high + least, high)


def _histograms(values: Floats, low: Floats, high: Floats) -> NDArray[np.int64]:
    bars = np.clip((BINS * (values - low) / (high - low)).astype(np.int64), 0, BINS - 1)
    n_cells = low.size
    flat = bars.reshape(len(values), n_cells) + BINS * np.arange(n_cells)
    return np.bincount(flat.ravel(), minlength=BINS * n_cells).reshape(*low.shape, BINS)
