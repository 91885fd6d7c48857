"""Arrays and texts → what JSON and a reader of the page take: few digits, no NaN, texts cut to a length."""

from typing import Any

import numpy as np

from ripplestats.report.page.document import visible

#: Significant digits in the page; the files of the run have them all.
DIGITS = 4
_TITLE = 60


def numbers(values: Any, digits: int = DIGITS) -> Any:
    """Return a number or an array as nested lists, rounded to significant digits, and null where it is not finite."""
    if np.ndim(values):
        return [numbers(one, digits) for one in values]
    if isinstance(values, (int, np.integer)):
        return int(values)
    return float(f"{values:.{digits}g}") if np.isfinite(values) else None


def text(value: object) -> str:
    """Return a text of a table, empty where it is missing."""
    return visible(value) if isinstance(value, str) else ""


def title(value: object, otherwise: str) -> str:
    """Return a document's title, cut to a length, or another name where it has none."""
    words = " ".join(text(value).split())
    if not words:
        return otherwise
    return words if len(words) <= _TITLE else f"{words[: _TITLE - 1]}…"


def ending(value: object, length: int) -> str:
    """Return the last characters of a text: the end of a prompt is where the model was asked."""
    whole = text(value)
    return whole if len(whole) <= length else f"…{whole[1 - length :]}"
