"""Numbers as tables print them: a minus sign that is one, nothing where a number is undefined."""

import math
from collections.abc import Iterable
from typing import Literal

#: Digits after the point are at most so many.
_MOST = 6
#: Characters of an exponent as they are written raised.
RAISED = {"-": "⁻", **dict(zip("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹", strict=True))}


def fixed(value: float, decimals: int, scale: float = 1) -> str:
    """Return ``scale`` times a number with so many digits after the point, or nothing where it is not finite."""
    return f"{scale * value:.{decimals}f}".replace("-", "−") if math.isfinite(value) else ""


def limits(low: float, high: float, decimals: int, scale: float = 1) -> str:
    """Return ``[low, high]``, or nothing where one of them is not finite."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"[{fixed(low, decimals, scale)}, {fixed(high, decimals, scale)}]"


def with_interval(
    value: float, low: float, high: float, decimals: int, scale: float = 1, *, margin: float = math.nan
) -> str:
    """Return ``value [low, high]``, the value alone without an interval, and nothing where it is undefined.

    Beside a ``margin`` that decides on the interval, all three have as many decimals as show on which side of it the limits
    lie (``digits_beside``).
    """
    if not math.isfinite(value):
        return ""
    if math.isfinite(low) and math.isfinite(high):
        decimals = digits_beside(scale * margin, (scale * low, scale * high), decimals)
    return f"{fixed(value, decimals, scale)} {limits(low, high, decimals, scale)}".rstrip()


def digits_beside(margin: float, limits: Iterable[float], digits: int, kind: Literal["f", "g"] = "f") -> int:
    """Return how many digits show of each limit of an interval that it is not the margin which decides it.

    Args:
        margin: of either sign, as equivalence has it; NaN where nothing is decided.
        limits: of the interval; those that are not finite are passed over.
        digits: as many at least; they are enough where a limit is the margin, or ``_MOST`` do not tell it from it either.
        kind: of the digits: after the point (``f``), or significant ones (``g``).
    """

    def apart(limit: float, end: float, number: int) -> bool:
        # As numbers, for zero is zero with a minus sign, too.
        return float(f"{limit:.{number}{kind}}") != float(f"{end:.{number}{kind}}")

    ends = (-margin, margin) if math.isfinite(margin) else ()
    known = filter(math.isfinite, limits)
    pairs = [(limit, end) for limit in known for end in ends if apart(limit, end, _MOST)]
    return next((one for one in range(digits, _MOST) if all(apart(*pair, one) for pair in pairs)), max(digits, _MOST))


def percent(value: float, decimals: int = 0) -> str:
    """Return a share as a percentage, or nothing where it is not finite."""
    shown = fixed(value, decimals, 100)
    return f"{shown} %" if shown else ""


def scientific(value: float, decimals: int = 0) -> str:
    """Return a number as a product with a power of ten, or nothing where it is not finite."""
    if not math.isfinite(value):
        return ""
    if value == 0:
        return "0"
    digits, _, power = f"{value:.{decimals}e}".partition("e")
    raised = "".join(RAISED[sign] for sign in str(int(power)))
    return f"{digits} × 10{raised}".replace("-", "−")


def p_value(value: float) -> str:
    """Return a p-value to two significant digits, that it is below 0.0001, or nothing where there is none."""
    if not math.isfinite(value):
        return ""
    return "<0.0001" if value < 1e-4 else f"{value:.2g}"


def stars(p: float) -> str:
    """Return one star below 0.05, two below 0.01, three below 0.001."""
    return "*" * sum(p < level for level in (0.05, 0.01, 0.001))


def decimals_of(error: float) -> int:
    """Return the digits after the point that show two significant ones of an error."""
    if not (math.isfinite(error) and error > 0):
        return 3
    return min(max(1 - math.floor(math.log10(error)), 0), _MOST)
