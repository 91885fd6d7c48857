"""What every estimator returns: a tidy table of terms, and the curves behind it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ripplestats.rendering.latex import latex_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: The columns of ``.tidy()``, after the group's; one row a term.
TERMS = ("term", "estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high", "note")


@dataclass(frozen=True)
class FitResult:
    """Estimates with intervals.

    ``terms`` has one row a term (and group); ``notes`` say what a reader must know: method, warnings, what is
    undefined; ``draw`` plots the result on given axes.
    """

    title: str
    terms: "pd.DataFrame"
    conf_level: float
    n_prompts: int
    n_documents: int
    notes: tuple[str, ...]
    draw: Callable[["Axes"], None]

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
        body = self.terms.to_string(index=False, float_format=lambda value: f"{value:.4g}", na_rep="")
        return "\n".join([head, body, *self.notes])

    def to_latex(self) -> str:
        """Return the terms as a booktabs table."""
        counts = f"{self.n_prompts} prompts in {self.n_documents} documents."
        return latex_table(self.terms, caption=self.title, label="", notes=(counts, *self.notes))

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the result on ``ax``, or on new axes; returns the axes."""
        if ax is None:
            import matplotlib.pyplot as plt

            ax = plt.subplots()[1]
        self.draw(ax)
        return ax
