"""The code blocks of Markdown pages: finding them, and running those in Python in order, in one namespace a page.

A comment on the line before a block, which readers do not see, says where it cannot be run as it stands:

    <!-- not run: why -->

and where it draws a picture, which is then set below it, and what it shows for those who do not see it:

    <!-- picture: what it shows -->
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

from docs.making.drawing import drawing
from docs.making.markdown import broken

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "pages"
_BLOCK = re.compile(
    r"(?P<before>^[^\n]*\n)?(?P<indent>^ *)```(?P<language>\w+)[^\n]*\n(?P<code>.*?)^(?P=indent)```$", re.DOTALL | re.M
)
_NOT_RUN = re.compile(r"<!-- not run: (.+?) -->")
_PICTURE = re.compile(r"<!-- picture: (.+?) -->")
_INCLUDED = re.compile(r"^--8<--\n(.+?)\n--8<--$", re.M)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its code with what it includes, and where it ends.

    ``not_run`` says why it is not run, if so, and ``picture`` what the picture shows that it draws, if it does.
    """

    language: str
    code: str
    indent: str
    end: int
    not_run: str = ""
    picture: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a block prints, and the picture that it draws, as SVG."""

    printed: str
    picture: str = ""


def code_blocks(text: str) -> Iterator[Block]:
    """Yield the fenced code blocks of a page."""
    for found in _BLOCK.finditer(text):
        before = found["before"] or ""
        why, picture = (one[1] if (one := said.search(before)) else "" for said in (_NOT_RUN, _PICTURE))
        code = textwrap.dedent(found["code"])
        code = _INCLUDED.sub(lambda one: (ROOT / one[1]).read_text(encoding="utf-8"), code)
        yield Block(found["language"], code, found["indent"], found.end(), why, picture)


def python_blocks(text: str) -> list[Block]:
    """Return the blocks in Python that can be run."""
    return [block for block in code_blocks(text) if block.language == "python" and not block.not_run]


def outcomes(text: str, name: str) -> tuple[Outcome, ...]:
    """Run the Python blocks of a page in order, in one namespace, and return what each prints and draws.

    Args:
        text: of the page.
        name: of the page, for tracebacks.
    """
    return _outcomes(tuple((block.code, bool(block.picture)) for block in python_blocks(text)), name)


@cache
def _outcomes(blocks: tuple[tuple[str, bool], ...], name: str) -> tuple[Outcome, ...]:
    namespace: dict[str, object] = {"__name__": "__main__"}
    found = []
    for number, (code, draws) in enumerate(blocks, 1):
        place = f"{name}, block {number}"
        stream = io.StringIO()
        with contextlib.redirect_stdout(stream), drawing(place) if draws else contextlib.nullcontext([]) as drawn:
            exec(compile(code, place, "exec"), namespace)
        found.append(Outcome(stream.getvalue(), *drawn))
    return tuple(found)


def command_lines(text: str, program: str) -> list[list[str]]:
    """Return the arguments of every command of a page that begins with a program, such as ``python -m ripplestats.run``."""
    return [shlex.split(found) for found in re.findall(rf"{re.escape(program)} (.*?)[`\n]", text)]


def with_output(text: str, name: str) -> str:
    """Return a page with what each Python block prints and draws set below it.

    Pictures are linked from the page's own folder, as ``pictures_of`` names them.
    """
    parts, start, pictures = [], 0, iter(pictures_of(text, name))
    for block, outcome in zip(python_blocks(text), outcomes(text, name), strict=True):
        parts.append(text[start : block.end])
        start = block.end
        if outcome.picture:
            parts.append(f"\n\n{block.indent}![{block.picture}]({next(pictures)})")
        if outcome.printed.strip():
            lines = ["", "", '```{.text title="prints"}', *broken(outcome.printed.rstrip()), "```"]
            parts.append("\n".join(f"{block.indent}{line}" if line else line for line in lines))
    return "".join([*parts, text[start:]])


def pictures_of(text: str, name: str) -> dict[str, str]:
    """Return the pictures that the Python blocks of a page draw, SVG by file name."""
    stem = Path(name).stem
    drawn = [outcome.picture for outcome in outcomes(text, name) if outcome.picture]
    return {f"{stem}-{number}.svg": svg for number, svg in enumerate(drawn, 1)}
