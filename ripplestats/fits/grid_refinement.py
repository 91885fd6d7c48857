"""Where to put further doses: a coarse grid's mean curve → the doses between that its bend asks for.

Between two doses a curve f is read off the straight line that joins them, whose error is at most h²·max|f″|/8 for doses h
apart. The largest error is least where each gap holds as much of ∫√|f″| as the others (de Boor 1973, Good approximation
by splines with variable knots, ISNM 21:57). Here the coarse doses are kept, so that doses are added one by one to the gap
that holds the most for each part it has, and lie in it at equal shares of ∫√|f″|.

The second derivative of a noisy curve at a few doses is noise. So it is that of the least-squares curve
P·(1 − exp(−x/τ)): √|f″| falls as exp(−x/2τ), whatever P. A long τ spreads doses evenly, as a straight line needs them.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import floor

import numpy as np

from ripplestats.fits.curves import Floats
from ripplestats.fits.saturation_curves import fit_saturation
from ripplestats.fits.saturation_shapes import EXPONENTIAL

#: Digits of a rate that is added, in percent.
_DIGITS = 2


@dataclass(frozen=True)
class Refinement:
    """Rates (shares, sorted), which of them are new, and the scale τ of the curve that chose them.

    ``scale`` is NaN, and ``reason`` says why, where the pilot does not tell it; new rates are then spread evenly over the
    logarithm of the dose.
    """

    rates: tuple[Fraction, ...]
    added: tuple[Fraction, ...]
    scale: float
    reason: str = ""


def refine(coarse: tuple[Fraction, ...], x: Floats, curve: Floats, n_added: int, n_neurons: int) -> Refinement:
    """Add rates to a coarse grid where the mean curve of a pilot bends.

    Args:
        coarse: rates that are kept, shares above 0, sorted.
        x: the pilot's doses, shares of neurons.
        curve: the pilot's mean effect at each dose, R.
        n_added: how many rates to add; rates that mean the same number of neurons as another are left out.
        n_neurons: neurons of a block.

    Returns:
        The rates. New ones are rounded to two digits of a percentage.
    """
    fit = fit_saturation(EXPONENTIAL, x, np.ones(len(x)), curve[None])
    reason = (
        "the pilot's mean curve is flat or falls" if np.isnan(fit.height[0])
        else "the pilot's mean curve is too straight, or rises too early, to tell where it bends" if fit.edge[0]
        else ""
    )  # fmt: skip
    scale = float("nan") if reason else float(np.exp(fit.parameters[0, 0]))
    between = added_doses(np.array([float(rate) for rate in coarse]), scale, n_added)
    by_neurons = {floor(rate * n_neurons): rate for rate in map(_rounded, between)}
    kept = {floor(rate * n_neurons) for rate in coarse}
    added = tuple(sorted(rate for count, rate in by_neurons.items() if count not in kept))
    return Refinement(tuple(sorted((*coarse, *added))), added, scale, reason)


def added_doses(coarse: Floats, scale: float, n_added: int) -> list[float]:
    """Return new doses between sorted coarse ones: the least largest ∫√|f″| of a gap, f bending with scale τ.

    Args:
        coarse: doses above 0, sorted.
        scale: τ; NaN for gaps that are equal in the logarithm of the dose.
        n_added: how many.
    """

    def measure(dose: Floats) -> Floats:
        # ∫√|f″| from the first dose on, but for a constant; scaled so that a long τ does not round to nothing.
        found: Floats = np.log(dose) if np.isnan(scale) else -2 * scale * np.expm1(-(dose - coarse[0]) / (2 * scale))
        return found

    def dose_at(value: Floats) -> Floats:
        found: Floats = np.exp(value) if np.isnan(scale) else coarse[0] - 2 * scale * np.log1p(-value / (2 * scale))
        return found

    ends = measure(coarse)
    shares, parts = np.diff(ends), np.ones(len(coarse) - 1, int)
    for _ in range(n_added):
        parts[int((shares / parts).argmax())] += 1
    return [
        float(dose)
        for low, high, count in zip(ends[:-1], ends[1:], parts, strict=True)
        for dose in dose_at(np.linspace(low, high, count + 1)[1:-1])
    ]


def _rounded(dose: float) -> Fraction:
    return Fraction(Decimal(f"{100 * dose:.{_DIGITS - 1}e}")) / 100
