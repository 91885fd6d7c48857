"""Text comes out of TeX as it went in, and tables have the rows of their frames."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripplestats.rendering.latex import escape, latex_paragraphs, latex_table, unbroken
from tests.fits.frames import CHECKED
from tests.rendering.tex import compile_tex, needs_pdflatex, text_of

HOSTILE = (
    r"\input{/etc/passwd}",
    r"100% & $x_1$ #2",
    r"\end{document} \\ {{{",
    r"a^b ~c \textbackslash{} $$ %%",
    "_underscores_ and #hashes#",
    '<script>alert("1")</script> | `ls`',
)
#: What an escape sequence may look like; anything else that is special to TeX is left unescaped.
SEQUENCE = r"\\text[a-z]+\{\}|\\ldots\{\}|\\[#$%&_{}]|\$(?:-|\\[A-Za-z]+|\^\{[-\d]\})\$"
PLAIN = {
    r"\textbackslash{}": "\\",
    r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"\textquotedbl{}": '"',
}
ASCII = st.text(st.characters(min_codepoint=32, max_codepoint=126))


def unescaped(text: str) -> str:
    return re.sub(SEQUENCE, lambda found: PLAIN.get(found[0], found[0][1:]), text)


@CHECKED
@given(st.text())
def test_every_special_character_is_part_of_an_escape_sequence(text: str) -> None:
    assert re.fullmatch(rf"(?:{SEQUENCE}|[^#$%&_{{}}~^\\])*", escape(text))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_escaped(text: str) -> None:
    assert re.fullmatch(rf"(?:{SEQUENCE}|[^#$%&_{{}}~^\\])*", escape(text))
    assert unescaped(escape(text)) == text


@CHECKED
@given(ASCII)
def test_printable_ascii_survives(text: str) -> None:
    assert unescaped(escape(text)) == text


@CHECKED
@given(st.text(), st.text())
def test_text_is_escaped_character_by_character(first: str, second: str) -> None:
    assert escape(first + second) == escape(first) + escape(second)


def test_escapes_by_hand() -> None:
    assert escape(r"\a{b}_%") == r"\textbackslash{}a\{b\}\_\%"
    assert escape("Zürich – Łódź") == "Zürich -- Łódź"
    assert escape("two\nlines\tand") == "two lines and"
    assert escape("ψ ≤ 10 %, −1 × 2…") == r"$\psi$ $\leq$ 10 \%, $-$1 $\times$ 2\ldots{}"
    assert escape("3 × 10⁻⁶") == r"3 $\times$ 10$^{-}$$^{6}$"
    assert escape("日本 \x00 🙂") == "?? ? ?"
    assert escape("") == ""


def test_a_number_stays_beside_its_percent_sign() -> None:
    assert unbroken(escape("95 % of 3.5 %, a %")) == r"95~\% of 3.5~\%, a \%"


def test_columns_of_plain_text_become_clauses() -> None:
    assert (
        latex_paragraphs("A line.\n\n  2 threshold:   supported  1 of 30\n")
        == "A line.\n\n  2 threshold:   supported; 1 of 30\n"
    )


@needs_pdflatex
def test_hostile_text_is_printed_as_it_is(tmp_path: Path) -> None:
    printed = text_of(compile_tex("\n\n".join(escape(text) for text in HOSTILE[:4]), tmp_path))
    for text in HOSTILE[:4]:
        assert " ".join(text.split()) in printed


@needs_pdflatex
def test_every_character_that_is_kept_compiles(tmp_path: Path) -> None:
    kept = [chr(code) for code in range(0x3000) if escape(chr(code)) != "?"]
    assert len(kept) > 150
    compile_tex("\n\n".join(f"{ord(one):x}: {escape(one)}" for one in kept), tmp_path)


FRAME = pd.DataFrame(
    {
        "a_1": ["x & y", "", "z"],
        "n": [1, -2, 30],
        "value": [1.23456, -0.5, np.nan],
        "large": [1234567.0, 0.0, 999999.0],
        "other": [None, "100%", r"\it"],
    }
)


def test_a_table_by_hand() -> None:
    expected = r"""\begin{table}[htbp]
\centering
\caption{50\% of \#1}
\label{tab:one}
\small
\begin{tabular}{@{}lrrrl@{}}
\toprule
a\_1 & n & value & large & other \\
\midrule
x \& y & 1 & 1.235 & 1.23e+06 & -- \\
-- & $-$2 & $-$0.500 & 0.000 & 100\% \\
z & 30 & -- & 999999.000 & \textbackslash{}it \\
\bottomrule
\end{tabular}
\par\smallskip\begin{minipage}{0.95\linewidth}\footnotesize First \& second. Third.\end{minipage}
\end{table}
"""
    found = latex_table(FRAME, caption="50% of #1", label="tab:one", notes=["First & second.", "", "Third."])
    assert found == expected


def test_what_begins_with_a_number_is_set_right_and_names_of_rows_left() -> None:
    columns = {
        "block": ["0", "12"], "of": ["7 (140)", "60.4 (112)"], "difference": ["3 × 10⁻⁶", ""],
        "below": ["33 %", "0 %"], "cells": ["1,440", "90"], "claim": ["1 insensitivity", "2 threshold"], "blocks": ["4/0/26", "–"],
    }  # fmt: skip
    assert r"\begin{tabular}{@{}lrrrrll@{}}" in latex_table(pd.DataFrame(columns), caption="", label="")


def test_decimals_are_those_asked_for_whatever_the_width_of_the_numbers() -> None:
    frame = pd.DataFrame({"wide": [0.123456], "narrow": np.array([0.123456], np.float32)})
    assert "0.12 & 0.12 \\\\" in latex_table(frame, caption="", label="", decimals=2)


def test_without_label_and_notes_neither_is_there() -> None:
    found = latex_table(FRAME, caption="", label="")
    assert r"\label" not in found
    assert "minipage" not in found


def test_a_table_without_rows_has_its_head() -> None:
    found = latex_table(FRAME.iloc[:0], caption="", label="")
    assert "a\\_1 & n & value & large & other \\\\\n\\midrule\n\\bottomrule" in found


def test_the_frame_is_left_as_it_was() -> None:
    before = FRAME.copy()
    latex_table(FRAME, caption="", label="")
    pd.testing.assert_frame_equal(FRAME, before)


@CHECKED
@given(st.lists(st.text(), min_size=1, max_size=4))
def test_a_table_has_as_many_rows_and_cells_as_its_frame(words: list[str]) -> None:
    frame = pd.DataFrame({"first": words, "second": range(len(words))})
    lines = latex_table(frame, caption="", label="").splitlines()
    body = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    assert len(body) == len(words)
    assert all(len(re.findall(r"(?<!\\)&", line)) == 1 for line in body)


@needs_pdflatex
def test_a_table_of_hostile_text_compiles(tmp_path: Path) -> None:
    frame = pd.DataFrame({text: [text, other] for text, other in zip(HOSTILE, HOSTILE[::-1], strict=True)})
    table = latex_table(frame, caption=" ".join(HOSTILE), label="tab:hostile", notes=HOSTILE)
    assert r"\input{/etc/passwd}" in text_of(compile_tex(table, tmp_path))
