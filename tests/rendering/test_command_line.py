"""Text for a terminal is broken between words; elsewhere it stays as it is."""

import os
import sys

import pytest

from ripplestats.rendering.command_line import for_terminal

TEXT = "Threshold: " + "word " * 40 + "end\n\n  2 threshold:   supported  1 supported\nruns/" + 200 * "x"


def test_elsewhere_than_on_a_terminal_text_is_as_it_is() -> None:
    assert for_terminal(TEXT) == TEXT


@pytest.mark.parametrize(("columns", "width"), [(40, 40), (300, 110)])
def test_on_a_terminal_lines_break_between_words(monkeypatch: pytest.MonkeyPatch, columns: int, width: int) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_, **__: os.terminal_size((columns, 24)))
    shown = for_terminal(TEXT).splitlines()
    assert max(len(line) for line in shown if not line.startswith("runs/")) <= width
    assert " ".join(" ".join(shown).split()) == " ".join(TEXT.split())
    assert "  2 threshold:   supported" in "\n".join(shown)
    assert shown[1].startswith("  word")
