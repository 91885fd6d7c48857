"""Are the effects at two doses the same, within a margin? Two one-sided tests over documents."""

from typing import TYPE_CHECKING

import numpy as np

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import check_bootstrap, flip_signs
from ripplestats.fits.contrasts import contrast_of_doses, document_values, nearest_dose
from ripplestats.fits.curves import document_curves
from ripplestats.fits.one_sided import weaker
from ripplestats.fits.result import TERMS, FitResult
from ripplestats.fits.rising_contrasts import mean_contrasts
from ripplestats.hypotheses.decisions import within_margin
from ripplestats.rendering.charts import draw_terms

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def equivalence(
    frame: "pd.DataFrame",
    *,
    y: str,
    x: str,
    cluster: str,
    by: str | None = None,
    at: tuple[float, float] = (0.1, 0.9),
    margin: float = 0.05,
    alpha: float = 0.05,
    n_boot: int = 2000,
    seed: int = 0,
) -> FitResult:
    """Test whether the mean effects at two doses differ by less than a margin.

    Args:
        frame: one row a prompt, dose and group. Where documents lack doses that others have, each counts at each dose
            by its rows, and a note says so.
        y, x, cluster, by: columns of effect, dose, document, and group (None for one curve).
        at: the two doses; the nearest of the grid are used, at most a tenth away.
        margin: in units of y.
        alpha: size of each one-sided test; the interval is the 1 − 2·alpha one.
        n_boot, seed: of the sign flips of documents' scores, from which tests and intervals are.

    Returns:
        The term ``difference`` (second dose minus first) for each group. ``statistic`` and ``p_value`` are those of
        the weaker one-sided test; ``note`` is the decision.

    Raises:
        InputError: the grid has no dose near one of ``at``, or an argument is not allowed.

    Examples:
        With the simulated ``frame`` of ``docs/examples/simulated_frame.py``:

        >>> test = rs.equivalence(frame, y="effect", x="dose", cluster="document", at=(0.1, 0.9), margin=0.05)
        >>> test.tidy()[["term", "estimate", "conf_low", "conf_high", "note"]].round(3)
                 term  estimate  conf_low  conf_high       note
        0  difference     0.009    -0.007      0.024  supported
    """
    import pandas as pd

    if margin <= 0 or not 0 < alpha < 0.5:
        raise InputError(f"margin={margin} must be positive and alpha={alpha} between 0 and 0.5")
    check_bootstrap(n_boot, seed)
    curves = document_curves(frame, y=y, x=x, cluster=cluster, by=by)
    weights = nearest_dose(curves.x, at[1]) - nearest_dose(curves.x, at[0])
    if not np.isfinite(weights).all():
        raise InputError(f"at={at}: the doses of column {x!r} have none within a tenth of one of these")
    found = contrast_of_doses(curves, weights)
    signs = flip_signs(curves.n_documents, n_boot, np.random.default_rng(seed))
    means = mean_contrasts(*document_values(curves, weights), (-margin, margin), signs)
    test = weaker(means.above(-margin), means.below(margin))
    low, high = means.interval(1 - 2 * alpha, (-margin, margin))
    decisions = [within_margin(*limits, margin) for limits in zip(low, high, strict=True)]
    columns = ("difference", found.estimate, found.std_error, test.statistic, test.p_value, low, high, decisions)
    terms = pd.DataFrame(dict(zip(TERMS, columns, strict=True)))
    if by:
        terms.insert(0, by, list(curves.groups))

    def draw(ax: "Axes") -> None:
        draw_terms(ax, terms, x_label=f"difference in {y}", margin=margin)

    return FitResult(
        title=f"Equivalence of {y} at {at[0]:g} and {at[1]:g} of {x}, margin {margin:g}",
        terms=terms,
        conf_level=1 - 2 * alpha,
        n_prompts=curves.n_prompts,
        n_documents=curves.n_documents,
        notes=(
            f"Two one-sided tests and {1 - 2 * alpha:.0%} intervals by {n_boot} sign flips of documents' "
            f"skewness-corrected scores (seed {seed}). A note is the decision.",
            *curves.notes,
        ),
        draw=draw,
        picture="Points: the difference with its interval; shaded: within the margin.",
        margin=margin,
    )
