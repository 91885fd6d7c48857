"""What every result can do with its picture: draw it on axes, and save it."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from ripplestats.errors import InputError
from ripplestats.rendering.charts import SIZES, chart_style
from ripplestats.rendering.figure_files import write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Inches of a row with a name, where there are more than fit the usual height.
_ROW, _MOST_ROWS = 0.16, 12


class Drawable(ABC):
    """A result that has a picture."""

    @abstractmethod
    def _draw(self, ax: "Axes") -> None:
        """Draw the result on axes."""

    @abstractmethod
    def caption(self) -> str:
        """Return in words what the picture shows."""

    def plot(self, ax: "Axes | None" = None, *, width: str = "column") -> "Axes":
        """Draw the result on ``ax``, or in the house style on new axes; returns the axes.

        Args:
            ax: matplotlib axes, which keep their own style.
            width: of new axes: ``column`` (3.4 inches), ``page`` (7.0) or ``slide`` (16:9).

        Raises:
            InputError: the width is unknown.
        """
        if ax is not None:
            self._draw(ax)
            return ax
        import matplotlib.pyplot as plt

        size = _size(width)
        with chart_style():
            page, ax = plt.subplots(figsize=size)
            self._draw(ax)
            page.set_figheight(_height(ax, size[1]))
        return ax

    def save_plot(self, path: str | Path, *, width: str = "column") -> None:
        """Save the picture as PDF (vector) and PNG, and its caption in words as ``.txt``.

        Args:
            path: of the files, without their ending.
            width: ``column``, ``page`` or ``slide``.

        Raises:
            InputError: the width is unknown.
        """
        from matplotlib.figure import Figure

        size = _size(width)
        with chart_style():
            trial = Figure(figsize=size).subplots()
            self._draw(trial)

        def draw(page: "Figure") -> None:
            self._draw(page.subplots())

        write_figure(Path(path), draw, (size[0], _height(trial, size[1])), caption=self.caption(), source="")


def _size(width: str) -> tuple[float, float]:
    if width not in SIZES:
        raise InputError(f"width={width!r} is not known; allowed: {', '.join(SIZES)}")
    return SIZES[width]


def _height(ax: "Axes", usual: float) -> float:
    """Return the height at which names of rows do not overlap."""
    from matplotlib.ticker import FixedLocator

    rows = len(ax.get_yticks()) if isinstance(ax.yaxis.get_major_locator(), FixedLocator) else 0
    return max(usual, usual + _ROW * (rows - _MOST_ROWS))
