"""Frames → booktabs tables. All text is escaped: a title with TeX in it comes out as text."""

import math
import re
from collections.abc import Iterable, Sequence
from numbers import Integral

import pandas as pd

from ripplestats.errors import InputError
from ripplestats.rendering.numbers import RAISED, fixed

#: Kinds of columns of numbers.
COLUMNS = ("plain", "siunitx")
#: A cell that is empty, and not one whose number is undefined.
BLANK = " "
#: Tables of more columns than this have less room between them.
_ROOMY, _CLOSE = 5, "4pt"
#: Digits that siunitx leaves together by itself.
_UNGROUPED = 4
#: A number by itself, or one with something after it, such as an interval, a bracket or a power of ten.
_STARTS = re.compile(r"[\[<−-]?[−-]?[\d,]*\d(\.\d| [(×%]|$)")
_NUMBER = re.compile(r"(?P<sign>[−-]?)(?P<whole>\d+)(?:\.(?P<part>\d+))?(?P<stars>\**)")

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
        **{raised: f"$^{{{plain}}}$" for plain, raised in RAISED.items()},
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


def unbroken(tex: str) -> str:
    """Return TeX in which a number and its percent sign stay on one line."""
    return re.sub(r"(?<=\d) \\%", r"~\\%", tex)


def latex_table(
    frame: pd.DataFrame,
    *,
    caption: str,
    label: str,
    notes: Sequence[str] = (),
    decimals: int = 3,
    columns: str = "plain",
    long: bool = False,
) -> str:
    """Return a frame as a table with booktabs rules and notes below.

    Args:
        frame: columns in print order; numbers are rounded, NaN and empty text print as a dash, ``BLANK`` as nothing.
        caption: plain text.
        label: of the table, or empty.
        notes: plain text, one paragraph each.
        decimals: digits after the point.
        columns: ``plain``, or ``siunitx``: columns of numbers are aligned at the point (``S``).
        long: a ``longtable``, which breaks over pages, in place of a ``table`` that floats.

    Raises:
        InputError: the kind of columns is unknown.
    """
    if columns not in COLUMNS:
        raise InputError(f"columns={columns!r} is not known; allowed: {', '.join(COLUMNS)}")
    cells = {place: [_text(value, decimals) for value in frame.iloc[:, place]] for place in range(frame.shape[1])}
    kinds = [_kind(frame.iloc[:, place], cells[place], columns, first=place == 0) for place in cells]
    printed = [[_set(text, kind) for text in cells[place]] for place, kind in enumerate(kinds)]
    names = [escape(str(name)) for name in frame.columns]
    head = [name if kind in "lr" else f"{{{name}}}" for name, kind in zip(names, kinds, strict=True)]
    rows = [_row(row) for row in zip(*printed, strict=True)]
    titled = rf"\caption{{{escape(caption)}}}", rf"\label{{{label}}}" if label else ""
    needed = ["booktabs", *["longtable"] * long, *["siunitx"] * (columns == "siunitx")]
    lines = [rf"% \usepackage{{{','.join(needed)}}}"] * (len(needed) > 1)
    written = _long if long else _floating
    aligned = f"@{{}}{''.join(kinds)}@{{}}"
    close = rf"\setlength{{\tabcolsep}}{{{_CLOSE}}}" if len(kinds) > _ROOMY else ""
    return unbroken("\n".join([*lines, *written(aligned, close, titled, _row(head), rows, _below(notes)), ""]))


def _floating(
    kinds: str, close: str, titled: tuple[str, str], head: str, rows: list[str], below: list[str]
) -> list[str]:
    body = [rf"\begin{{tabular}}{{{kinds}}}", r"\toprule", head, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}"]
    title = [line for line in titled if line]
    return [r"\begin{table}[htbp]", r"\centering", *title, rf"\small{close}", *body, *below, r"\end{table}"]


def _long(kinds: str, close: str, titled: tuple[str, str], head: str, rows: list[str], below: list[str]) -> list[str]:
    width = head.count(" & ") + 1
    again = [r"\toprule", head, r"\midrule"]
    return [
        rf"\begingroup\small{close}\setlength{{\LTcapwidth}}{{\linewidth}}",
        rf"\begin{{longtable}}{{{kinds}}}",
        rf"{''.join(titled)}\\",
        *again,
        r"\endfirsthead",
        rf"\multicolumn{{{width}}}{{l}}{{\footnotesize Table~\thetable, continued}}\\",
        *again,
        r"\endhead",
        r"\bottomrule",
        r"\endfoot",
        *rows,
        r"\end{longtable}",
        *below,
        r"\endgroup",
    ]


def latex_paragraphs(text: str) -> str:
    """Return plain text for TeX, a paragraph a line; columns that spaces keep apart become clauses."""
    lines = (re.sub(r"(?<=\w) {2,}", "; ", line) for line in text.splitlines() if line)
    return unbroken("\n\n".join(map(escape, lines)) + "\n")


def _below(notes: Sequence[str]) -> list[str]:
    text = " ".join(escape(note) for note in notes if note)
    return [rf"\par\smallskip\begin{{minipage}}{{0.95\linewidth}}\footnotesize {text}\end{{minipage}}"] * bool(notes)


def _row(cells: Iterable[str]) -> str:
    """Return a row; TeX would take a bracket or a star at its beginning for an argument of the row before."""
    line = " & ".join(cells)
    return f"{{{line[0]}}}{line[1:]} \\\\" if line[:1] in ("[", "*") else f"{line} \\\\"


def _kind(column: pd.Series, cells: list[str], columns: str, *, first: bool) -> str:
    """Return the letter of a column: ``r`` for numbers and text that starts with one, ``S`` with siunitx, else ``l``."""
    shown = [cell for cell in cells if cell.strip()]
    numbers = [found for cell in shown if (found := _NUMBER.fullmatch(cell))]
    if columns == "siunitx" and numbers and all(_NUMBER.fullmatch(cell) or cell[0] in "[<" for cell in shown):
        sign = "-" * any(found["sign"] for found in numbers)
        whole, part = (max(len(found[name] or "") for found in numbers) for name in ("whole", "part"))
        stars = max(len(found["stars"]) for found in numbers)
        room = f", table-space-text-post={{{'*' * stars}}}, table-align-text-post=false" if stars else ""
        # Of five digits siunitx would set two apart.
        close = ", group-minimum-digits=9" * (max(whole, part) > _UNGROUPED)
        return f"S[table-format={sign}{whole}.{part}{close}{room}]"
    texts = [value for value in column if isinstance(value, str) and value.strip()]
    # The first column names the rows: whole numbers there are names.
    numbered = any("." in text for text in texts) or not first
    starts = bool(texts) and numbered and all(_STARTS.match(text) for text in texts)
    return "r" if column.dtype.kind in "fiu" or starts else "l"


def _text(value: object, decimals: int) -> str:
    """Return what a cell says, a minus sign in front of negative numbers, empty where there is nothing."""
    if isinstance(value, str):
        return value
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        shown = fixed(value, decimals) if abs(value) < 1e6 else f"{value:.3g}"
        return shown.replace("-", "−", 1) if value < 0 else shown
    return str(value).replace("-", "−") if isinstance(value, Integral) else str(value)


def _set(text: str, kind: str) -> str:
    """Return a cell for TeX."""
    if text == BLANK:
        return ""
    if kind in "lr":
        return escape(text) or "--"
    found = _NUMBER.fullmatch(text)
    if found is None:
        return f"{{{escape(text) or '--'}}}"
    stars = f"{{{found['stars']}}}" if found["stars"] else ""
    return text.removesuffix(found["stars"]).replace("−", "-") + stars


def _printable(character: str) -> bool:
    # Latin letters with accents, but for those that the T1 encoding has no glyph for.
    return " " <= character <= "~" or ("\u00c0" <= character <= "\u017e" and character not in "ĦħĸĿŀŉŦŧ")
