"""Frames → booktabs tables. All text is escaped: a title with TeX in it comes out as text."""

import math
from collections.abc import Sequence

import pandas as pd

_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "$": r"\$",
        "&": r"\&",
        "#": r"\#",
        "%": r"\%",
        "_": r"\_",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
        "–": "--",
        "—": "---",
        "…": r"\ldots{}",
        "×": r"$\times$",
        "−": "$-$",
        "≤": r"$\leq$",
        "ψ": r"$\psi$",
        "φ": r"$\varphi$",
        "Π": r"$\Pi$",
        "\n": " ",
        "\t": " ",
    }
)


def escape(text: str) -> str:
    """Return ``text`` so that TeX prints it.

    Latin letters with accents are kept (they compile with UTF-8 input); what pdfTeX has no glyph for becomes ``?``.
    """
    escaped = (character.translate(_ESCAPES) for character in text)
    return "".join(one if one != raw or _printable(raw) else "?" for one, raw in zip(escaped, text, strict=True))


def latex_table(frame: pd.DataFrame, *, caption: str, label: str, notes: Sequence[str] = (), decimals: int = 3) -> str:
    """Return a frame as a ``table`` environment with booktabs rules and notes below.

    Args:
        frame: columns in print order; numbers are rounded, NaN prints as a dash.
        caption: plain text.
        label: of the table, or empty.
        notes: plain text, one paragraph each.
        decimals: digits after the point.
    """
    numeric = [column for column in frame.columns if _numeric(frame[column])]
    body = frame.copy()
    body.columns = [escape(str(column)) for column in frame.columns]
    style = body.style.format(lambda value: _cell(value, decimals)).hide(axis="index")
    columns = "".join("r" if column in numeric else "l" for column in frame.columns)
    tabular = style.to_latex(hrules=True, column_format=columns).strip()
    lines = [r"\begin{table}[htbp]", r"\centering", rf"\caption{{{escape(caption)}}}"]
    lines += [rf"\label{{{label}}}"] if label else []
    lines += [r"\small", tabular]
    lines += [
        rf"\par\smallskip\begin{{minipage}}{{0.95\linewidth}}\footnotesize {_joined(notes)}\end{{minipage}}"
    ] * bool(notes)
    return "\n".join([*lines, r"\end{table}", ""])


def latex_paragraphs(text: str) -> str:
    """Return plain text for TeX, a paragraph a line."""
    return "\n\n".join(escape(line) for line in text.splitlines() if line) + "\n"


def _joined(notes: Sequence[str]) -> str:
    return " ".join(escape(note) for note in notes if note)


def _numeric(column: pd.Series) -> bool:
    """Tell whether a column holds numbers, or text that starts with one (an estimate with its interval)."""
    if column.dtype.kind in "fiu":
        return True
    texts = [value for value in column if isinstance(value, str) and value]
    return bool(texts) and all(value.lstrip("−-")[:1].isdigit() and "." in value for value in texts)


def _cell(value: object, decimals: int) -> str:
    if isinstance(value, str):
        return escape(value) or "--"
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "--"
    if isinstance(value, float):
        shown = f"{value:.{decimals}f}" if abs(value) < 1e6 else f"{value:.3g}"
        return f"${shown}$" if shown.startswith("-") else shown
    return escape(str(value))


def _printable(character: str) -> bool:
    # Latin letters with accents, but for those that the T1 encoding has no glyph for.
    return " " <= character <= "~" or ("\u00c0" <= character <= "\u017e" and character not in "ĦħĸĿŀŉŦŧ")
