"""Markdown of tables, and of what code prints."""

import textwrap
from collections.abc import Iterable

#: Characters of a line of code on the page of a desktop.
WIDTH = 96


def markdown(rows: Iterable[Iterable[object]], heads: Iterable[str], *, numbers_from: int = 1) -> str:
    """Return rows as a Markdown table, columns of numbers to the right."""
    heads = list(heads)
    rule = ["---" if place < numbers_from else "---:" for place in range(len(heads))]
    lines = [heads, rule, *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def broken(printed: str, indent: str = "") -> list[str]:
    """Return the lines of what code prints, sentences that are wider than the page broken between words.

    Tables, whose columns lie two spaces or more apart, stay as they are.
    """
    lines = []
    for line in printed.splitlines():
        prose = len(line) > WIDTH and "  " not in line.strip()
        lines += textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_on_hyphens=False) if prose else [line]
    return lines
