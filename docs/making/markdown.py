"""Markdown of tables."""

from collections.abc import Iterable


def markdown(rows: Iterable[Iterable[object]], heads: Iterable[str], *, numbers_from: int = 1) -> str:
    """Return rows as a Markdown table, columns of numbers to the right."""
    heads = list(heads)
    rule = ["---" if place < numbers_from else "---:" for place in range(len(heads))]
    lines = [heads, rule, *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
