"""Pictures that code draws, as SVG: letters as shapes, and the same bytes at every build."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

from matplotlib.figure import Figure

from ripplestats.rendering.charts import chart_style


@contextmanager
def svg_style(name: str) -> Iterator[None]:
    """Draw in the house style, letters as shapes; what is drawn depends on nothing but the name."""
    import matplotlib as mpl

    with chart_style(), mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": name}):
        yield


def as_svg(page: Figure) -> str:
    """Return a figure as SVG."""
    stream = io.StringIO()
    page.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


@contextmanager
def drawing(name: str) -> Iterator[list[str]]:
    """Let code draw on new axes of its own; yields a list that holds its one picture on leaving.

    Raises:
        ValueError: it drew none, or several.
    """
    import matplotlib.pyplot as plt

    before, drawn = set(plt.get_fignums()), []
    with svg_style(name), plt.rc_context({"figure.figsize": (4.8, 3.0)}):
        yield drawn
        new = [plt.figure(number) for number in plt.get_fignums() if number not in before]
        drawn += [as_svg(page) for page in new]
        for page in new:
            plt.close(page)
    if len(drawn) != 1:
        raise ValueError(f"{name} draws {len(drawn)} pictures, one is asked for")
