"""What every estimator returns: a tidy table of terms, and the curves behind it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ripplestats.rendering.drawable import Drawable
from ripplestats.rendering.latex import latex_table
from ripplestats.rendering.numbers import digits_beside
from ripplestats.rendering.provenance import stated
from ripplestats.rendering.terms_table import LONGEST, stars_note, terms_table, undefined_notes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from ripplestats.store.run_directory import Run

#: Said of vertical lines whose intervals are drawn where these can be told apart.
SHADED = ", their intervals shaded (of one or two groups)"
#: The columns of ``.tidy()``, after the group's; one row a term.
TERMS = ("term", "estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high", "note")


@dataclass(frozen=True)
class FitResult(Drawable):
    """Estimates with intervals.

    ``terms`` has one row a term (and group); ``notes`` say what a reader must know: method, warnings, what is
    undefined; ``draw`` plots the result on given axes, and ``picture`` says in words what is seen then. Where a ``margin``
    decides on the intervals, their limits are printed with as many digits as tell them from it.

    Examples:
        With the simulated ``frame`` of ``docs/examples/simulated_frame.py``:

        >>> fit = rs.core_fraction(frame, y="effect", x="dose", cluster="document", share=())
        >>> fit.conf_int().round(3)
              term  conf_low  conf_high
        0  plateau     0.856      1.019
    """

    title: str
    terms: "pd.DataFrame"
    conf_level: float
    n_prompts: int
    n_documents: int
    notes: tuple[str, ...]
    draw: Callable[["Axes"], None]
    picture: str = field(default="", kw_only=True)
    margin: float = field(default=np.nan, kw_only=True)

    def tidy(self) -> "pd.DataFrame":
        """Return one row a term: ``term, estimate, std_error, statistic, p_value, conf_low, conf_high, note``."""
        return self.terms.copy()

    def conf_int(self) -> "pd.DataFrame":
        """Return the terms with their confidence limits only."""
        names = self.terms.columns[: self.terms.columns.get_loc("term")]
        return self.terms[[*names, "term", "conf_low", "conf_high"]].copy()

    def summary(self) -> str:
        """Return the result as text; nothing is printed."""
        head = f"{self.title}\n{self.n_prompts} prompts, {self.n_documents} documents"
        limits = self.terms[["conf_low", "conf_high"]].to_numpy(float).ravel()
        digits = digits_beside(self.margin, limits, 4, "g")
        body = self.terms.to_string(index=False, float_format=lambda value: f"{value:.{digits}g}", na_rep="")
        return "\n".join([head, body, *self.notes])

    def to_latex(
        self,
        *,
        layout: str = "long",
        columns: str = "plain",
        stars: bool = False,
        run: "Run | None" = None,
        label: str = "",
    ) -> str:
        """Return the terms as a booktabs table.

        Args:
            layout: ``long``: a row an estimate, with standard error, interval and p-values (a ``longtable``, which breaks
                over pages, where it has more than 40); ``wide``: groups against terms, the fewer of them side by side, each
                estimate over its interval.
            columns: ``plain``, or ``siunitx``: columns of numbers are aligned at the point.
            stars: whether stars follow the estimates; a note says what they mean.
            run: whose model, revision, data set and date the caption then states.
            label: to refer to it by.

        Raises:
            InputError: the layout or the kind of columns is unknown.
        """
        frame = terms_table(self.terms, self.conf_level, layout=layout, starred=stars, margin=self.margin)
        said = (_interval_of(self.conf_level) if layout == "wide" else "", stars_note(self.terms) if stars else "")
        return latex_table(
            frame,
            caption=self.title if run is None else f"{self.title}. {stated(run.manifest)}.",
            label=label,
            notes=(f"{self._counts()}.", *said, *self.notes, *undefined_notes(self.terms)),
            columns=columns,
            long=layout == "long" and len(frame) > LONGEST,
        )

    def caption(self) -> str:
        """Return in words what ``plot`` shows: the title, over how many prompts and documents, what is seen, and the notes."""
        seen = [f"{self.title}, {self._counts()}.", self.picture, *self.notes, *undefined_notes(self.terms)]
        return " ".join(line for line in seen if line)

    def _counts(self) -> str:
        return f"{self.n_prompts} prompts in {self.n_documents} documents"

    def _draw(self, ax: "Axes") -> None:
        self.draw(ax)


def _interval_of(conf_level: float) -> str:
    return "" if np.isnan(conf_level) else f"In brackets {conf_level:.0%} intervals."
