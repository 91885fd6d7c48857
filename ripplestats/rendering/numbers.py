"""Numbers as tables print them: a minus sign that is one, nothing where a number is undefined."""

import math

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


def with_interval(value: float, low: float, high: float, decimals: int, scale: float = 1) -> str:
    """Return ``value [low, high]``, the value alone without an interval, and nothing where it is undefined."""
    if not math.isfinite(value):
        return ""
    return f"{fixed(value, decimals, scale)} {limits(low, high, decimals, scale)}".rstrip()


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
