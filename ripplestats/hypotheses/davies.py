"""Davies' test of no break, as R's ``segmented::davies.test`` does it on an ``lm``: for comparison with R.

The break exists under the alternative alone, so the p-value of the largest of the t statistics over breaks is bounded
by its own tail plus a term for how much the statistic varies along the breaks (Davies 1987, Biometrika 74:33; for t
statistics Davies 2002, Biometrika 89:484).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import special, stats

from ripplestats.errors import InputError
from ripplestats.fits.curves import Floats, check_columns
from ripplestats.fits.result import TERMS, FitResult
from ripplestats.rendering.charts import PALETTE, dose_axis, legend_above

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Alternative = Literal["two-sided", "less", "greater"]
#: Up to this many rows R bounds the tail of a t statistic, beyond it that of a normal one.
LARGE = 300
#: A row for each parameter, and one for the variance.
_MINIMUM_ROWS = 5
_MINIMUM_DOSES = 3
#: A sum of squares below this share of another is rounding.
_ROUNDING = 1e-20


@dataclass(frozen=True)
class DaviesTest:
    """The t statistics at the breaks that were tried, the break with the largest, and the p-value."""

    breaks: Floats
    statistics: Floats
    best: float
    statistic: float
    p_value: float


def davies_test(
    frame: "pd.DataFrame",
    *,
    y: str,
    x: str,
    by: str | None = None,
    k: int = 10,
    alternative: Alternative = "two-sided",
) -> FitResult:
    """Test the null of a straight line against one break, with the rows taken as independent.

    Rows of one document are not independent, so for clustered data this p-value is too small: it is given for
    comparison with R, and ``break_test`` is the test to report. R's ``type``, ``lrt`` or ``wald``, is no argument: for
    a linear model both are the t statistic.

    Args:
        frame: one row an observation.
        y, x, by: columns of effect, dose, and group (None for one curve).
        k: how many breaks are tried, equally spaced from the second smallest to the second largest x of the rows.
        alternative: of the change of slope, ``two-sided``, ``less`` or ``greater``.

    Returns:
        The term ``break`` for each group: ``estimate`` is the tried break with the largest statistic, ``statistic`` its
        t statistic; NaN with a note where no break can be told.

    Raises:
        InputError: a column is missing or not finite, or an argument is not allowed.

    Examples:
        With the simulated ``frame`` of ``docs/examples/simulated_frame.py``:

        >>> means = frame.groupby("dose", as_index=False)["effect"].mean()
        >>> test = rs.davies_test(means, y="effect", x="dose")
        >>> test.tidy()[["term", "estimate", "statistic", "p_value"]].round(3)
            term  estimate  statistic  p_value
        0  break     0.082     -9.704      0.0
    """
    import pandas as pd

    if k < 2:
        raise InputError(f"k={k} is not allowed; at least 2 breaks are tried")
    if alternative not in ("two-sided", "less", "greater"):
        raise InputError(f"alternative={alternative!r} is not known; allowed: two-sided, less, greater")
    check_columns(frame, (y, x), (by,))
    parts = list(frame.groupby(by, observed=True)) if by else [("all", frame)]
    rows = []
    for _, part in parts:
        found = davies(part[x].to_numpy(np.float64), part[y].to_numpy(np.float64), k, alternative)
        if isinstance(found, str):
            rows.append(("break", *[np.nan] * 6, found))
        else:
            rows.append(("break", found.best, np.nan, found.statistic, found.p_value, np.nan, np.nan, ""))
    terms = pd.DataFrame(rows, columns=list(TERMS))
    if by:
        terms.insert(0, by, [group for group, _ in parts])

    def draw(ax: "Axes") -> None:
        for number, ((group, part), best) in enumerate(zip(parts, terms["estimate"], strict=True)):
            colour = PALETTE[number % len(PALETTE)]
            ax.plot(part[x], part[y], ".", color=colour, markersize=2, alpha=0.5, label=f"{by} {group}")
            if np.isfinite(best):
                ax.axvline(best, color=colour, linewidth=0.8, linestyle="--")
        dose_axis(ax, np.sort(frame[x].to_numpy(float)))
        ax.set(xlabel=x, ylabel=y)
        if by:
            legend_above(ax)

    return FitResult(
        title=f"Davies' test of a break of {y} on {x}",
        terms=terms,
        conf_level=np.nan,
        n_prompts=len(frame),
        n_documents=len(frame),
        notes=(
            f"Davies (1987), {k} breaks tried, {alternative}. Each row counts as independent of all others, a prompt "
            "and a document of its own: for comparison with R. Our own inference resamples documents.",
        ),
        draw=draw,
        picture="Dots: rows; broken: the break that fits best.",
    )


def davies(x: Floats, y: Floats, k: int = 10, alternative: Alternative = "two-sided") -> DaviesTest | str:
    """Return Davies' test on rows x and y (n each), or why there is none."""
    if len(x) < _MINIMUM_ROWS:
        return f"undefined: {len(x)} rows, at least {_MINIMUM_ROWS} are needed"
    if len(np.unique(x)) < _MINIMUM_DOSES:
        return f"undefined: {len(np.unique(x))} doses, at least {_MINIMUM_DOSES} are needed"
    ordered = np.sort(x)
    breaks = np.linspace(ordered[1], ordered[-2], k)
    # Where doses repeat, the ends are the smallest and largest dose, and a line has no break there.
    breaks = breaks[(breaks > ordered[0]) & (breaks < ordered[-1])]
    if len(breaks) == 0:
        return "undefined: no break tried lies between the doses"
    line = np.linalg.qr(np.column_stack([np.ones_like(x), x - x.mean()]))[0]
    centred = y - y.mean()
    left = centred - line @ (line.T @ centred)
    if left @ left <= _ROUNDING * (y @ y):
        return "undefined: the rows lie on a straight line"
    hinges = np.maximum(x - breaks[:, None], 0.0)
    bent = hinges - hinges @ line @ line.T
    sizes = (bent**2).sum(axis=1)
    change = bent @ left / sizes
    residual_ss = ((left - change[:, None] * bent) ** 2).sum(axis=1)
    if (residual_ss <= _ROUNDING * (left @ left)).any():
        return "undefined: the rows lie on a line with a break, without noise"
    return _bounded(breaks, change * np.sqrt(sizes * (len(x) - 3) / residual_ss), len(x) - 3, alternative)


def _bounded(breaks: Floats, statistics: Floats, degrees: int, alternative: Alternative) -> DaviesTest:
    """Return the bound on the p-value of the largest statistic: a t one (Davies 2002), of many rows a normal one."""
    sides = {"two-sided": np.abs(statistics), "less": -statistics, "greater": statistics}[alternative]
    best = int(sides.argmax())
    most = float(sides[best])
    if degrees + 3 > LARGE:
        tail = stats.norm.sf(most)
        varied = np.abs(np.diff(statistics)).sum()
        more = varied * np.exp(-(most**2) / 2) / np.sqrt(8 * np.pi)
    else:
        tail = stats.t.sf(most, degrees)
        share = statistics**2 / (statistics**2 + degrees)
        varied = np.abs(np.diff(np.arcsin(np.sqrt(share)))).sum()
        ratio = np.exp(special.gammaln((degrees + 1) / 2) - special.gammaln(degrees / 2))
        more = varied * (1 + most**2 / degrees) ** (-(degrees - 1) / 2) * ratio / (2 * np.sqrt(np.pi))
    p_value = (2 if alternative == "two-sided" else 1) * float(tail + more)
    return DaviesTest(breaks, statistics, float(breaks[best]), float(statistics[best]), min(p_value, 1.0))
