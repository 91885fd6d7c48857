"""Does a dose–response curve have a break at all? Sup-F with documents resampled under the straight line."""

from typing import TYPE_CHECKING

import numpy as np

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import MINIMUM_DOCUMENTS, check_bootstrap, resample_documents
from ripplestats.fits.breakpoint import MINIMUM_DOSES, BreakDesign
from ripplestats.fits.curves import DocumentCurves, Floats, document_curves
from ripplestats.fits.result import TERMS, FitResult
from ripplestats.fits.segmented import undefined_breaks
from ripplestats.rendering.charts import draw_curves

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: A residual sum of squares below this share of the curve's is rounding.
_ROUNDING = 1e-24


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
        frame: one row a prompt, dose and group; every document has every dose.
        y, x, cluster, by: columns of effect, dose, document, and group (None for one curve).
        n_boot, seed: of the bootstrap over documents.

    Returns:
        The term ``break`` for each group: ``estimate`` is the breakpoint, NaN with a note where it cannot be told;
        ``statistic`` is the largest F over breakpoints, NaN where the curve is flat or straight but for rounding.

    Raises:
        InputError: the frame is not balanced, or has too few doses or documents.

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
    statistic, p_value = sup_f(curves, n_boot, np.random.default_rng(seed))
    nothing = [note.endswith(("flat", "straight line")) for note in notes]
    statistic, p_value = (np.where(nothing, np.nan, one) for one in (statistic, p_value))
    blank = np.full(len(curves.groups), np.nan)
    columns = ("break", estimate, blank, statistic, p_value, blank, blank, notes)
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
            f"Sup-F against a straight line, {n_boot} resamples of documents under it (seed {seed}).",
            *curves.notes,
        ),
        draw=draw,
        picture="Lines: the mean curve; broken: the breaks.",
    )


def sup_f(curves: DocumentCurves, n_boot: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return the largest F over breakpoints and its bootstrap p-value for each group.

    The null is imposed by moving all documents' curves by the same amount, so that their mean is its own best straight
    line; their spread and correlation between doses stay as they are. p = (1 + #{F* ≥ F}) / (1 + replicates).
    """
    counts = resample_documents(curves.n_documents, n_boot, rng).bootstrap
    observed, replicates = sup_f_replicates(curves, counts)
    return observed, (1 + (replicates >= observed).sum(axis=0)) / (1 + n_boot)


def sup_f_replicates(curves: DocumentCurves, multiplicities: Floats) -> tuple[Floats, Floats]:
    """Return the largest F of each group, and its replicates under the null, samples × groups.

    Args:
        curves: documents' mean curves.
        multiplicities: samples × documents, how often each document counts. A sample that lacks a dose counts as larger
            than any F.
    """
    pooled = curves.pooled()
    design = BreakDesign(curves.x, curves.pooled_weights())
    under_null = curves.pooled(multiplicities) - pooled + design.line(pooled)
    rows = under_null.reshape(-1, len(curves.x))
    weights = curves.pooled_weights(multiplicities)
    weights = weights if weights.ndim == 1 else weights.reshape(rows.shape)
    lacking = np.isnan(rows).any(axis=1)
    replicates = np.where(lacking, np.inf, _f(BreakDesign(curves.x, weights), rows))
    return _f(design, pooled), replicates.reshape(under_null.shape[:2])


def _f(design: BreakDesign, rows: Floats) -> Floats:
    """F of the two-phase line (four parameters) against the straight one (two); 0 for a straight line."""
    fit = design.fit(rows)
    freedom = max(len(design.x) - 4, 1)
    straight = fit.residual_ss_line <= _ROUNDING * (design.weights * rows**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic: Floats = (fit.residual_ss_line - fit.residual_ss) / 2 / (fit.residual_ss / freedom)
    return np.where(straight, 0.0, statistic)
