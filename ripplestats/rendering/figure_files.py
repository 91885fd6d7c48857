"""Pictures → files: PDF and PNG in the width of a text and of a slide, and a caption in words."""

import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ripplestats.rendering.charts import SLIDE, chart_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Size = tuple[float, float]
#: Pixels of a slide's PNG across.
_SLIDE_PIXELS = 1920
_CAPTION_WIDTH = 100
#: A number and its percent sign stay on one line.
_UNBROKEN = "\u00a0%"


def write_figure(
    path: Path, draw: Callable[["Figure"], None], size: Size, *, caption: str, source: str, slides: Path | None = None
) -> None:
    """Write a figure as ``.pdf``, ``.png`` and ``.txt``, and drawn anew for a slide of 16 by 9.

    Args:
        path: of the files, without their ending.
        draw: fills an empty page.
        size: width and height, inches.
        caption: what the figure shows, in words, for the ``.txt``.
        source: what was run, printed small at the foot; may be empty.
        slides: folder of the slide; none without it.
    """
    with figure_file(path, source, size) as page:
        draw(page)
    whole = (f"{caption} {source}." if source else caption).replace(" %", _UNBROKEN)
    text = textwrap.fill(whole, _CAPTION_WIDTH, break_long_words=False, break_on_hyphens=False)
    path.with_suffix(".txt").write_text(f"{text.replace(_UNBROKEN, ' %')}\n", encoding="utf-8")
    if slides is not None:
        height = max(SLIDE[1], size[1])
        width = height * SLIDE[0] / SLIDE[1]
        with figure_file(slides / path.name, source, (width, height), dots=_SLIDE_PIXELS / width) as page:
            draw(page)


@contextmanager
def figure_file(path: Path, source: str, size: Size, dots: float | None = None) -> Iterator["Figure"]:
    """Open a figure in the house style; on leaving, add what was run and save it as PDF and PNG.

    Args:
        path: of the files, without their ending.
        source: what was run.
        size: width and height, inches.
        dots: an inch of the PNG, by default as the style has it.
    """
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    with chart_style():
        page = Figure(figsize=size)
        yield page
        if source:
            page.supxlabel(
                textwrap.fill(drawable(source), int(size[0] * 26)), fontsize=5, color="0.4", x=0.01, ha="left"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        # A fixed date: the same run gives the same bytes.
        page.savefig(path.with_suffix(".pdf"), metadata={"CreationDate": None})
        # What was laid out stays where it is.
        page.set_layout_engine("none")
        page.savefig(path.with_suffix(".png"), metadata={"Software": None}, dpi=dots or rcParams["savefig.dpi"])


def drawable(text: str) -> str:
    """Return ``text`` with a question mark for each character that the figures' font has no glyph for."""
    from matplotlib.font_manager import findfont, get_font

    glyphs = get_font(findfont("DejaVu Sans")).get_charmap()
    return "".join(character if ord(character) in glyphs else "?" for character in text)
