"""How many documents and prompts a study needs: by the analysis' own estimators, from a pilot or from stated variances.

A plan is for n documents of m prompts each. Means over prompts have a closed form: variance (σ²_document + σ²_prompt / m)
/ n, t and noncentral t distributions. Thresholds and core fractions have none: studies of n documents are drawn from the
pilot, and each is fitted as the real one will be.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from ripplestats.errors import InputError
from ripplestats.fits.planning.goals import Goal, exact_rows, simulated_rows
from ripplestats.fits.planning.pilot import Achieved, Pilot, estimator, pilot_of, simulated_half_width
from ripplestats.fits.planning.variance_components import VarianceComponents, variance_components
from ripplestats.fits.saturation import plateau_weights
from ripplestats.rendering.charts import PALETTE, legend_above
from ripplestats.rendering.drawable import Drawable
from ripplestats.rendering.latex import latex_table
from ripplestats.rendering.numbers import fixed
from ripplestats.rendering.progress import duration

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MOST_DOCUMENTS = 100_000
_COLUMNS = (
    "prompts_per_document", "documents", "documents_low", "documents_high", "documents_cautious", "prompts", "achieved",
    "seconds", "note",
)  # fmt: skip
#: Resampled pilots for the pilot's own uncertainty.
_PILOTS = 20
INHERITED = (
    "The pilot's own uncertainty is inherited. To be 80 % sure of the target, take the documents of that column (four in "
    "five pilots like this one would have planned no more)."
)
_WIDTH = 96
_HEAD = "{:>20} {:>10} {:>13} {:>10} {:>9} {:>13}"


@dataclass(frozen=True)
class Plan(Drawable):
    """How many documents a study needs.

    Columns of ``rows``, one a number of prompts per document: ``prompts_per_document, documents, documents_low,
    documents_high, documents_cautious, prompts, achieved, seconds, note``. ``documents_low`` and ``_high`` are two
    Monte-Carlo errors away, equal to ``documents`` where nothing was simulated; ``documents_cautious`` reaches the goal in
    four of five pilots, NaN where that is not known; ``achieved`` is the half-width or power at ``documents``.
    """

    question: str
    rows: "pd.DataFrame"
    notes: tuple[str, ...]

    def tidy(self) -> "pd.DataFrame":
        """Return one row a number of prompts per document."""
        return self.rows.copy()

    def summary(self) -> str:
        """Return the plan as text; nothing is printed."""
        lines = [
            self.question,
            "",
            _HEAD.format("prompts per document", "documents", "Monte Carlo", "80 % sure", "prompts", "sweeping"),
        ]
        for row in self.rows.itertuples():
            if np.isnan(row.documents):
                lines.append(f"{row.prompts_per_document:>20} {row.note}")
                continue
            exact = row.documents_low == row.documents_high
            spread = "exact" if exact else f"{row.documents_low:.0f}-{row.documents_high:.0f}"
            sure = "" if np.isnan(row.documents_cautious) else f"{row.documents_cautious:.0f}"
            cost = "" if np.isnan(row.seconds) else duration(row.seconds)
            lines.append(
                _HEAD.format(row.prompts_per_document, f"{row.documents:.0f}", spread, sure, f"{row.prompts:.0f}", cost)
            )
        return "\n".join([*lines, "", *(textwrap.fill(note, _WIDTH) for note in self.notes)])

    def to_latex(self, *, columns: str = "plain", label: str = "") -> str:
        """Return the plan as a booktabs table.

        Args:
            columns: ``plain``, or ``siunitx``: columns of numbers are aligned at the point.
            label: to refer to it by.

        Raises:
            InputError: the kind of columns is unknown.
        """
        names = {
            "prompts_per_document": "prompts per document", "documents": "documents", "documents_low": "at least",
            "documents_high": "at most", "documents_cautious": "80 % sure", "prompts": "prompts",
        }  # fmt: skip
        frame = self.rows[list(names)].map(lambda value: fixed(value, 0)).rename(columns=names)
        notes = ("At least, at most: two Monte-Carlo errors away.", *self.notes)
        return latex_table(frame, caption=self.question, label=label, notes=notes, columns=columns)

    def caption(self) -> str:
        """Return in words what ``plot`` shows."""
        return " ".join([self.question, "Bars: two Monte-Carlo errors.", *self.notes])

    def _draw(self, ax: "Axes") -> None:
        rows = self.rows.dropna(subset=["documents"])
        errors = (rows["documents"] - rows["documents_low"], rows["documents_high"] - rows["documents"])
        ax.errorbar(rows["prompts_per_document"], rows["documents"], yerr=errors, fmt="o-", color=PALETTE[0],
                    markersize=3, capsize=2, label="needed")  # fmt: skip
        ax.plot(rows["prompts_per_document"], rows["documents_cautious"], "D", color=PALETTE[1], markersize=3,
                markerfacecolor="white", label="needed to be 80 % sure")  # fmt: skip
        ax.set_xticks(rows["prompts_per_document"])
        ax.set_ylim(0, 1.05 * ax.get_ylim()[1])
        ax.set(xlabel="prompts of a document", ylabel="documents")
        legend_above(ax)


def plan_interval(
    frame: "pd.DataFrame",
    *,
    y: str,
    x: str,
    cluster: str,
    half_width: float,
    quantity: str = "threshold",
    share: float = 0.5,
    prompt: str = "prompt_id",
    per_document: Sequence[int] = (),
    conf_level: float = 0.95,
    n_samples: int = 10_000,
    seed: int = 0,
    most: int = MOST_DOCUMENTS,
    seconds_per_prompt: float = np.nan,
    percent: bool = False,
) -> Plan:
    """Say how many documents give a confidence interval of a given half-width, from a pilot.

    Args:
        frame: the pilot, one row a prompt and dose (and layer; layers are averaged). Prompts that lack a dose are left out,
            and a note says how many.
        y, x, cluster, prompt: columns of effect, dose, document and prompt.
        half_width: of the interval, in units of the quantity: doses, or effects for the plateau.
        quantity: ``threshold``, ``plateau`` or ``core_fraction``.
        share: of the plateau, that the core fraction is about.
        per_document: numbers of prompts of a document to plan for; by default 1, or 1, 2, 4 and 8 where the pilot has
            documents of several prompts.
        conf_level: of the interval.
        n_samples, seed: of the studies drawn from the pilot, for thresholds and core fractions.
        most: documents looked at.
        seconds_per_prompt: of sweeping, for the cost.
        percent: whether the text says doses in percent.

    Raises:
        InputError: the frame cannot be a pilot, or an argument is not allowed.

    Examples:
        With the simulated ``frame`` of ``docs/examples/simulated_frame.py``:

        >>> columns = {"y": "effect", "x": "dose", "cluster": "document", "prompt": "prompt"}
        >>> plan = rs.plan_interval(frame, half_width=0.05, quantity="plateau", **columns)
        >>> plan.tidy()[["prompts_per_document", "documents", "documents_cautious"]].astype(int)
           prompts_per_document  documents  documents_cautious
        0                     1        108                 134
        1                     2        101                 126
        2                     4         97                 121
        3                     8         96                 120
    """
    if not 0 < conf_level < 1 or n_samples < 100 or seed < 0:
        raise InputError(f"conf_level={conf_level}, n_samples={n_samples} or seed={seed} is out of range")
    goal = Goal("half_width", half_width)
    pilot = pilot_of(frame, y=y, x=x, cluster=cluster, prompt=prompt)
    statistic = estimator(pilot, quantity, share)
    estimate = float(statistic(pilot.mean[None])[0])
    name = quantity.replace("_", " ") + (f" ({share:.0%} of the plateau)" if quantity == "core_fraction" else "")
    rungs, weights = per_document_of(pilot, per_document), plateau_weights(pilot.x)
    if quantity == "plateau" and weights is not None:
        components = variance_components(pilot.curves @ weights, pilot.documents)
        return plan_mean(
            components, half_width=half_width, per_document=rungs, conf_level=conf_level, most=most,
            seconds_per_prompt=seconds_per_prompt, name=f"plateau ({estimate:.3g} in the pilot)",
            pilot_documents=pilot.n_documents, notes=remarks(pilot),
        )  # fmt: skip
    simulated = simulated_half_width(pilot, statistic, conf_level, n_samples, seed)
    rows = simulated_rows(goal, simulated, rungs, most)
    rng = np.random.default_rng([seed, _PILOTS])
    others = [
        simulated_half_width(other, estimator(other, quantity, share), conf_level, max(n_samples // 5, 100), seed)
        for other in (pilot.resampled(rng) for _ in range(_PILOTS))
    ]
    rows["documents_cautious"] = [
        np.ceil(row.documents * _cautious_factor(others, int(row.documents), row.prompts_per_document, half_width))
        if np.isfinite(row.documents)
        else np.nan
        for row in rows.itertuples()
    ]
    how = f"Each half-width from {n_samples} studies drawn from the pilot (seed {seed}); two Monte-Carlo errors are shown."
    wanted, found = f"{half_width:.3g}", f"{estimate:.3g}"
    if percent:
        wanted, found = f"{100 * half_width:.3g} percentage points", f"{100 * estimate:.3g} %"
    return Plan(
        f"Documents for a half-width of {wanted} of the {name}, {conf_level:.0%} interval; it is {found} in the pilot.",
        with_cost(rows, seconds_per_prompt),
        (how, INHERITED, *remarks(pilot)),
    )


def _cautious_factor(others: Sequence[Achieved], n: int, m: int, half_width: float) -> float:
    """Return how many times as many documents four in five pilots would have planned at most."""
    halves = np.array([other(n, m)[0] for other in others])
    return max(float(np.quantile(np.nan_to_num(halves, nan=np.inf), 0.8, method="higher")) / half_width, 1.0) ** 2


def plan_mean(
    components: VarianceComponents,
    *,
    half_width: float,
    per_document: Sequence[int] = (1,),
    conf_level: float = 0.95,
    most: int = MOST_DOCUMENTS,
    seconds_per_prompt: float = np.nan,
    name: str = "mean",
    pilot_documents: int | None = None,
    notes: tuple[str, ...] = (),
) -> Plan:
    """Say how many documents give the t interval of a mean a given half-width, from its variance components.

    Args:
        components: of the quantity, one value a prompt.
        half_width, per_document, conf_level, most, seconds_per_prompt: as for ``plan``.
        name: of the quantity, for the text.
        pilot_documents: from which the components are known; None where they are stated.
        notes: further ones.

    Raises:
        InputError: the half-width is not positive.
    """
    goal = Goal("half_width", half_width)
    rows = exact_rows(goal, lambda n, m: (components.half_width(n, m, conf_level), 0.0), per_document, most)
    return Plan(
        f"Documents for a half-width of {half_width:g} of the {name}, {conf_level:.0%} interval.",
        with_cost(with_caution(rows, pilot_documents), seconds_per_prompt),
        (components.words(), *([INHERITED] if pilot_documents else []), *notes),
    )


def per_document_of(pilot: Pilot, asked: Sequence[int]) -> tuple[int, ...]:
    """Return the numbers of prompts of a document to plan for.

    Raises:
        InputError: several are asked for, and no document of the pilot has several prompts.
    """
    if any(m < 1 for m in asked):
        raise InputError(f"prompts per document {', '.join(map(str, asked))}: at least 1 is needed")
    if any(m > 1 for m in asked) and not pilot.separable:
        raise InputError(
            "the pilot has one prompt a document: it cannot tell what more prompts of a document would bring"
        )
    return tuple(asked) or ((1, 2, 4, 8) if pilot.separable else (1,))


def spread_factor(n_documents: int) -> float:
    """Return how many times larger a variance from so many documents may be, with 80 % confidence (Browne 1995)."""
    return (n_documents - 1) / float(stats.chi2.ppf(0.2, n_documents - 1))


def remarks(pilot: Pilot) -> tuple[str, ...]:
    """Say, where it is so, that prompts and documents cannot be told apart, and that prompts are left out."""
    alone = "All spread counts as the documents': the pilot has one prompt of each."
    return (*pilot.notes, *[alone] * (not pilot.separable))


def with_caution(rows: "pd.DataFrame", pilot_documents: int | None) -> "pd.DataFrame":
    """Return rows of an exact plan with the documents that a larger variance would need; NaN where it was stated."""
    factor = np.nan if pilot_documents is None else spread_factor(pilot_documents)
    return rows.assign(documents_cautious=np.ceil(rows["documents"] * factor))


def with_cost(rows: "pd.DataFrame", seconds_per_prompt: float) -> "pd.DataFrame":
    """Return rows of a plan with the seconds of sweeping."""
    rows = rows.assign(seconds=rows["prompts"] * seconds_per_prompt)
    return rows[list(_COLUMNS)]
