"""Does a dose–response curve have a break at all? Sup-F with documents' signs flipped under the straight line."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import MINIMUM_DOCUMENTS, check_bootstrap, flip_signs
from ripplestats.fits.breakpoint import MINIMUM_DOSES, BreakDesign
from ripplestats.fits.curves import DocumentCurves, Floats, document_curves
from ripplestats.fits.one_sided import OneSided
from ripplestats.fits.result import TERMS, FitResult
from ripplestats.fits.segmented import undefined_breaks
from ripplestats.rendering.charts import draw_curves

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: A residual sum of squares below this share of the curve's is rounding.
_ROUNDING = 1e-24
#: Sums of the same numbers in another order differ by less, relatively; a statistic that ties with a replicate counts as tied.
_TIED = 1e-9


def break_test(
    frame: "pd.DataFrame",
    *,
    y: str,
    x: str,
    cluster: str,
    by: str | None = None,
    n_boot: int = 2000,
    seed: int = 0,
) -> FitResult:
    """Test the null that the mean dose–response curve is a straight line against one break anywhere.

    Args:
        frame: one row a prompt, dose and group. Where documents lack doses that others have, each counts at each dose
            by its rows, and a note says so.
        y, x, cluster, by: columns of effect, dose, document, and group (None for one curve).
        n_boot, seed: of the sign flips of documents.

    Returns:
        The term ``break`` for each group: ``estimate`` is the breakpoint, NaN with a note where it cannot be told;
        ``statistic`` is the largest F over breakpoints (``sup_f``), NaN where the curve is flat or straight but for rounding.

    Raises:
        InputError: the frame has too few doses or documents.

    Examples:
        With the simulated ``frame`` of ``docs/examples/simulated_frame.py``:

        >>> test = rs.break_test(frame, y="effect", x="dose", cluster="document")
        >>> test.tidy()[["term", "estimate", "p_value"]].round(4)
            term  estimate  p_value
        0  break    0.0476   0.0005
    """
    import pandas as pd

    check_bootstrap(n_boot, seed)
    curves = document_curves(frame, y=y, x=x, cluster=cluster, by=by)
    if len(curves.x) < MINIMUM_DOSES or curves.n_documents < MINIMUM_DOCUMENTS:
        raise InputError(f"a break test needs {MINIMUM_DOSES} doses and {MINIMUM_DOCUMENTS} documents")
    design = BreakDesign(curves.x, curves.pooled_weights())
    notes = np.array(undefined_breaks(design, curves.pooled()))
    estimate = np.where(notes == "", design.fit(curves.pooled()).breakpoint, np.nan)
    test = sup_f(curves, flip_signs(curves.n_documents, n_boot, np.random.default_rng(seed)))
    test = test.where(np.array([not note.endswith(("flat", "straight line")) for note in notes]))
    blank = np.full(len(curves.groups), np.nan)
    columns = ("break", estimate, blank, test.statistic, test.p_value, blank, blank, notes)
    terms = pd.DataFrame(dict(zip(TERMS, columns, strict=True)))
    if by:
        terms.insert(0, by, list(curves.groups))
    marks = dict(zip(curves.groups, estimate.tolist(), strict=True))

    def draw(ax: "Axes") -> None:
        draw_curves(ax, curves.x, curves.pooled(), curves.groups, marks=marks, mark_name="break", group_name=by or "",
                    x_label=x, y_label=y)  # fmt: skip

    return FitResult(
        title=f"Break of {y} on {x}",
        terms=terms,
        conf_level=np.nan,
        n_prompts=curves.n_prompts,
        n_documents=curves.n_documents,
        notes=(
            f"Sup-F against a straight line, {n_boot} sign flips of documents' departures from it (seed {seed}).",
            *curves.notes,
        ),
        draw=draw,
        picture="Lines: the mean curve; broken: the breaks.",
    )


def sup_f(curves: DocumentCurves, signs: Floats) -> OneSided:
    """Test with the largest F over breakpoints of each group's mean curve.

    F is what a break explains, two parameters more, over the variance of a dose's mean that documents show by their
    departures from the line that is best for the mean, each less a line of its own. Replicates flip the signs of these
    departures (wild bootstrap with the null imposed: Cameron, Gelbach & Miller 2008, Rev. Econ. Stat. 90:414, with the
    signs of Liu 1988), which leaves that variance as it is: over the residuals of the mean curve, as in the textbook's F,
    flipped curves with a break would have as large an F as the data. Where the departures of a document are as likely as
    their negatives, the test is exact at any number of documents (Fisher 1935, section 21); fewer than 6 cannot reject at
    5 %, for all signs turned give the same F.

    Args:
        curves: documents' mean curves.
        signs: flips × documents, from ``flip_signs``.
    """
    pooled, n = curves.pooled(), curves.n_documents
    design = BreakDesign(curves.x, curves.pooled_weights())
    line = design.line(pooled)
    counts = curves.weights[:, None, None] if curves.counts is None else curves.counts
    departures = counts / counts.sum(axis=0) * (curves.values - line)
    # The line goes back in, so that what is straight but for rounding can be told.
    flipped = (signs @ departures.reshape(n, -1)).reshape(len(signs), *line.shape) + line
    own = _for_each(design, n).line(departures.reshape(-1, len(curves.x))).reshape(departures.shape)
    variance = (design.weights * (departures - own) ** 2).sum(axis=(0, 2)) / (len(curves.x) - 2)
    replicates = _explained(_for_each(design, len(signs)), flipped.reshape(-1, len(curves.x))).reshape(len(signs), -1)
    explained = _explained(design, pooled) * (1 - _TIED)
    p_value = (1 + (replicates >= explained).sum(axis=0)) / (1 + len(signs))
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic, replicates = (np.where(one > 0, one / 2 / variance, 0.0) for one in (explained, replicates))
    return OneSided(statistic, p_value, replicates)


def _for_each(design: BreakDesign, n: int) -> BreakDesign:
    """Return the design of n sets of the groups' curves, one after another."""
    return design if design.weights.ndim == 1 else replace(design, weights=np.tile(design.weights, (n, 1)))


def _explained(design: BreakDesign, rows: Floats) -> Floats:
    """Return by how much the best break lowers the sum of squares about the best line; 0 for a straight line."""
    fit = design.fit(rows)
    straight = fit.residual_ss_line <= _ROUNDING * (design.weights * rows**2).sum(axis=1)
    explained: Floats = np.where(straight, 0.0, fit.residual_ss_line - fit.residual_ss)
    return explained
