"""Every Python block of the pages runs as it stands, and every command names flags, files and targets that exist."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from docs.making.blocks import PAGES, ROOT, code_blocks, command_lines, outcomes, python_blocks
from ripplestats import plan, status
from ripplestats.arguments import parse_arguments
from ripplestats.config import is_address

TEXTS = {str(file.relative_to(PAGES)): file.read_text(encoding="utf-8") for file in sorted(PAGES.rglob("*.md"))}
EXECUTED = [name for name, text in TEXTS.items() if python_blocks(text)]
PARSERS: dict[str, Callable[[list[str]], object]] = {"run": parse_arguments, "plan": plan.parse_arguments}
#: What a command of the pages may begin with besides ours.
OTHER_PROGRAMS = ("make", "pip", "split")


@pytest.mark.parametrize("name", EXECUTED)
def test_the_python_of_a_page_runs(name: str, reader: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(reader)
    outcomes(TEXTS[name], name)


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    spared = {name for name, text in TEXTS.items() for block in code_blocks(text) if block.not_run}
    assert spared == {"index.md", "how-to/publish.md"}
    assert len(EXECUTED) >= 20


@pytest.mark.parametrize("program", PARSERS)
def test_every_command_can_be_parsed(program: str) -> None:
    commands = [one for text in TEXTS.values() for one in command_lines(text, f"python -m ripplestats.{program}")]
    assert len(commands) >= 3
    for command in commands:
        PARSERS[program](command)


def test_every_question_for_the_status_is_answered(
    reader: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(reader)
    commands = [one for text in TEXTS.values() for one in command_lines(text, "python -m ripplestats.status")]
    # Object stores are asked by tests of their own.
    here = [command for command in commands if not any(map(is_address, command))]
    assert len(here) >= 2
    for command in here:
        assert status.main(command) == 0
    assert "16 of 16" in capsys.readouterr().out


def test_every_line_of_a_shell_block_is_a_command_that_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name, text in TEXTS.items():
        for block in code_blocks(text):
            if block.language != "bash":
                continue
            for line in block.code.splitlines():
                words = line.split()
                if words[:2] == ["python", "-m"]:
                    assert (ROOT / f"{words[2].replace('.', '/')}.py").exists(), (name, line)
                elif words[0] == "python":
                    assert (ROOT / words[1]).exists(), (name, line)
                elif words[0] == "make":
                    assert re.search(rf"^{words[1]}:", makefile, flags=re.M), (name, line)
                else:
                    assert words[0] in OTHER_PROGRAMS, (name, line)


def test_a_block_that_fails_is_found() -> None:
    page = "text\n\n```python\nx = 1\n```\n\n???\n    ```python\n    assert x == 2\n    ```\n"
    assert len(python_blocks(page)) == 2
    with pytest.raises(AssertionError):
        outcomes(page, "page")
