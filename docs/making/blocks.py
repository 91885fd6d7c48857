"""The code blocks of Markdown pages: finding them, and running those in Python in order, in one namespace a page.

A comment on the line before a block, which readers do not see, says where it cannot be run as it stands:

    <!-- not run: why -->
"""

import contextlib
import io
import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "pages"
_BLOCK = re.compile(
    r"(?P<before>^[^\n]*\n)?(?P<indent>^ *)```(?P<language>\w+)[^\n]*\n(?P<code>.*?)^(?P=indent)```$", re.DOTALL | re.M
)
_NOT_RUN = re.compile(r"<!-- not run: (.+?) -->")
_INCLUDED = re.compile(r"^--8<--\n(.+?)\n--8<--$", re.M)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its code with what it includes, where it ends, and why it is not run, if so."""

    language: str
    code: str
    indent: str
    end: int
    not_run: str = ""


def code_blocks(text: str) -> Iterator[Block]:
    """Yield the fenced code blocks of a page."""
    for found in _BLOCK.finditer(text):
        why = _NOT_RUN.search(found["before"] or "")
        code = textwrap.dedent(found["code"])
        code = _INCLUDED.sub(lambda one: (ROOT / one[1]).read_text(encoding="utf-8"), code)
        yield Block(found["language"], code, found["indent"], found.end(), why[1] if why else "")


def python_blocks(text: str) -> list[Block]:
    """Return the blocks in Python that can be run."""
    return [block for block in code_blocks(text) if block.language == "python" and not block.not_run]


def printed_by(text: str, name: str) -> tuple[str, ...]:
    """Run the Python blocks of a page in order, in one namespace, and return what each prints.

    Args:
        text: of the page.
        name: of the page, for tracebacks.
    """
    return _printed_by(tuple(block.code for block in python_blocks(text)), name)


@cache
def _printed_by(blocks: tuple[str, ...], name: str) -> tuple[str, ...]:
    namespace: dict[str, object] = {"__name__": "__main__"}
    printed = []
    for number, code in enumerate(blocks, 1):
        stream = io.StringIO()
        with contextlib.redirect_stdout(stream):
            exec(compile(code, f"{name}, block {number}", "exec"), namespace)
        printed.append(stream.getvalue())
    return tuple(printed)


def command_lines(text: str, program: str) -> list[list[str]]:
    """Return the arguments of every command of a page that begins with a program, such as ``python -m ripplestats.run``."""
    return [shlex.split(found) for found in re.findall(rf"{re.escape(program)} (.*?)[`\n]", text)]


def with_output(text: str, name: str) -> str:
    """Return a page with what each Python block prints set below it."""
    parts, start = [], 0
    for block, printed in zip(python_blocks(text), printed_by(text, name), strict=True):
        parts.append(text[start : block.end])
        start = block.end
        if printed.strip():
            lines = ["", "", '```{.text title="prints"}', *printed.rstrip().splitlines(), "```"]
            parts.append("\n".join(f"{block.indent}{line}" if line else line for line in lines))
    return "".join([*parts, text[start:]])
