"""What makes a prompt's curve high, steep or early: covariates of prompts as moderators of the dose–response curve.

Where the design is balanced, the fixed effects of the mixed model "dose × covariates, random coefficients of each prompt"
are those of regressing each prompt's own least-squares coefficients on its covariates (Laird & Ware 1982, Biometrics 38:963;
best whatever the variances, Zyskind 1967, Ann. Math. Stat. 38:1092). Where it is not, the prompts' coefficients differ in
precision, and their regression is right on average, but not the best. Standard errors are from documents, not the model's.
"""

from collections.abc import Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import MINIMUM_DOCUMENTS
from ripplestats.fits.covariates import CovariateDesign, Term, covariate_design, matched
from ripplestats.fits.curves import Floats, document_curves
from ripplestats.fits.prompt_quantities import PromptQuantity, prompt_quantities
from ripplestats.fits.result import TERMS, FitResult
from ripplestats.fits.saturation import PLATEAU
from ripplestats.rendering.charts import draw_terms, in_standard_errors

if TYPE_CHECKING:
    import pandas as pd

UNBALANCED_PROMPTS = (
    "The frame is not balanced: each prompt's coefficients come from the doses that it has. They differ in precision, which "
    "the standard errors allow for."
)
_COLUMNS = (*TERMS, "p_adjusted")


def moderators(
    frame: "pd.DataFrame",
    prompts: "pd.DataFrame",
    *,
    y: str,
    x: str,
    covariates: Sequence[str],
    prompt: str = "prompt_id",
    cluster: str = "document_id",
    by: str | None = None,
    slope_up_to: float | None = None,
    share: float = 0.5,
    plateau: tuple[float, float] = PLATEAU,
    conf_level: float = 0.95,
) -> FitResult:
    """Regress plateau, slope and core fraction of prompts on their covariates, all covariates together.

    Args:
        frame: one row a prompt, dose and group; rows beyond that (blocks, without ``by``) are averaged. Prompts may lack
            doses that others have: what a prompt's own doses do not give is left out, and a note says of how many.
        prompts: one row a prompt, with its covariates.
        y, x: columns of effect and dose.
        covariates: columns of ``prompts``, or ``log(column)``. Numbers are standardised; text, categories and truth
            values are compared with the most frequent level.
        prompt, cluster, by: columns that name the prompt (in both frames), the document, and the group (None for one).
        slope_up_to: the last dose of the least-squares slope; by default the threshold of the mean curve.
        share, plateau: the core fraction is of this share of the plateau, the mean effect over these doses.
        conf_level: of the intervals.

    Returns:
        Terms such as ``plateau: clean_entropy``, ``slope: …``, ``core: …``: the change for one standard deviation more, or
        for the level named; and ``plateau: kind (any)``, the F test that the levels do not differ. Standard errors are
        clustered by document (with the small-sample factors), t tests have documents − 1 degrees of freedom, ``p_adjusted``
        is Holm's over the covariates of a quantity. Of the core fraction, which is no mean over prompts, pseudo-values are
        regressed (Andersen, Klein & Rosthøj 2003), a first-order answer.

    Raises:
        InputError: prompts or columns are missing, have gaps or follow from the others, or an argument is not allowed.

    Examples:
        >>> prompts = pd.DataFrame({"prompt": range(80), "level": level})  # of docs/examples/simulated_frame.py
        >>> columns = {"y": "effect", "x": "dose", "prompt": "prompt", "cluster": "document"}
        >>> rs.moderators(frame, prompts, covariates=["level"], **columns).tidy()["estimate"].round(3).to_list()
        [0.244, 5.155, 0.001]
    """
    import pandas as pd

    if not 0 < share < 1 or not 0 < conf_level < 1:
        raise InputError(f"share={share} and conf_level={conf_level} lie between 0 and 1")
    curves = document_curves(frame, y=y, x=x, cluster=prompt, by=by)
    documents = _documents(frame, prompt, cluster)
    design = covariate_design(matched(prompts, documents.index, prompt, covariates))
    if len(documents) < design.matrix.shape[1] + 2:
        raise InputError(f"{len(documents)} prompts are too few for {design.matrix.shape[1]} coefficients")
    codes = pd.factorize(documents.to_numpy())[0]
    quantities = [prompt_quantities(curves, i, slope_up_to, share, plateau) for i in range(len(curves.groups))]
    tables = []
    for group, some in zip(curves.groups, quantities, strict=True):
        for quantity in some:
            table = _regressed(quantity, design, codes, conf_level)
            tables.append(table if by is None else table.assign(**{by: group})[[by, *_COLUMNS]])
    found = pd.concat(tables, ignore_index=True)
    notes = design.notes
    if curves.counts is not None:
        notes = (*notes, UNBALANCED_PROMPTS, *_left_out(quantities, by))
    limit = f"a dose of {slope_up_to:g}" if slope_up_to else "the threshold of the mean curve, taken as known"

    return FitResult(
        title=f"Moderators of {y} on {x}",
        terms=found,
        conf_level=conf_level,
        n_prompts=len(documents),
        n_documents=int(documents.nunique()),
        notes=(
            "Changes for one standard deviation of a number, or against the most frequent level; all covariates together. "
            f"Standard errors clustered by {cluster}; p_adjusted by Holm's method over the covariates of a quantity.",
            f"slope: up to {limit}. core: pseudo-values of the dose that reaches {share:.0%} of the plateau.",
            *notes,
        ),
        draw=partial(draw_terms, terms=in_standard_errors(found), x_label="change, in standard errors"),
        picture="Points: changes with their intervals, each in its standard errors.",
    )


def _documents(frame: "pd.DataFrame", prompt: str, cluster: str) -> "pd.Series[Any]":
    """Return the document of each prompt, in the order of the curves."""
    if cluster not in frame:
        raise InputError(f"the frame has no column {cluster!r}; it has {', '.join(map(str, frame.columns))}")
    pairs = frame[[prompt, cluster]].drop_duplicates()
    if pairs[prompt].duplicated().any() or pairs[cluster].isna().any():
        raise InputError(f"some prompts are in no {cluster} or in several")
    return pairs.set_index(prompt)[cluster].sort_index()


def _left_out(quantities: Sequence[Sequence[PromptQuantity]], by: str | None) -> list[str]:
    """Say of each quantity how many prompts do not have it, and why; of several groups the most in one."""
    notes = []
    for same in zip(*quantities, strict=True):
        # A quantity that no prompt of a group has is undefined, which its terms say.
        lacking = {int((~one.known).sum()): one for one in same if one.known.any()}
        most = max(lacking, default=0)
        if most:
            where = "" if by is None else f" (in the {by} where they are most)"
            why = lacking[most].why
            notes.append(f"{same[0].name}: {most} of {len(same[0].values)} prompts{where} are left out: {why}.")
    return notes


def _regressed(
    quantity: PromptQuantity, design: CovariateDesign, codes: NDArray[np.intp], conf_level: float
) -> "pd.DataFrame":
    """Return the terms of one quantity, from the prompts that have it; ``codes`` number their documents."""
    import pandas as pd
    import statsmodels.api as sm

    known = quantity.known
    values, matrix = quantity.values[known], design.matrix[known]
    why, fit = _undefined(quantity, matrix, len(np.unique(codes[known]))), None
    if not why:
        groups = np.unique(codes[known], return_inverse=True)[1]
        options = {"groups": groups, "use_correction": True, "df_correction": True}
        fit = sm.OLS(values, matrix).fit(cov_type="cluster", cov_kwds=options, use_t=True)
    scarce = design.scarce(codes, known, MINIMUM_DOCUMENTS)
    rows = [_row(quantity.name, term, scarce, fit, why, conf_level) for term in design.terms]
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    # A categorical covariate enters its family once, by the joint test.
    p_values = table["p_value"].to_numpy()
    family = [i for i, term in enumerate(design.terms) if term.kind != "level" and np.isfinite(p_values[i])]
    if family:
        table.loc[family, "p_adjusted"] = _holm(p_values[family])
    return table


def _undefined(quantity: PromptQuantity, matrix: Floats, n_documents: int) -> str:
    """Say why there is no regression of a quantity on the rows that have it, or nothing if there is."""
    values, n_columns = quantity.values[quantity.known], matrix.shape[1]
    if not len(values):
        return f"undefined: {quantity.why}"
    if np.ptp(values) <= 1e-12 * np.abs(values).max():
        return "undefined: the same for all prompts"
    # Clustered errors of q coefficients have no more than D − 1 directions.
    if n_documents < max(MINIMUM_DOCUMENTS, n_columns + 1):
        return f"undefined: {n_documents} documents are too few for {n_columns} coefficients"
    if len(values) < n_columns + 2:
        return f"undefined: {len(values)} prompts are too few for {n_columns} coefficients"
    if np.linalg.matrix_rank(matrix) < n_columns:
        return f"undefined: the {len(values)} prompts that have it do not tell the covariates apart"
    return ""


def _holm(p_values: Floats) -> Floats:
    """Adjust p-values by Holm's method (statsmodels' function collects the whole process's garbage at each call)."""
    order = p_values.argsort()
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1)), 1.0)
    return adjusted


def _row(quantity: str, term: Term, scarce: set[int], fit: Any, why: str, conf_level: float) -> tuple[Hashable, ...]:
    name, blank = f"{quantity}: {term.name}", [np.nan] * 6
    columns = [one for one in term.columns if one not in scarce]
    if fit is None or not columns:
        reason = {
            "number": "the covariate is constant",
            "level": f"fewer than {MINIMUM_DOCUMENTS} documents",
            "any": "too few documents of each level",
        }[term.kind]
        return (name, *blank, why or f"undefined: {reason}", np.nan)
    if term.kind == "any":
        test = fit.f_test(np.eye(len(fit.params))[columns])
        note = f"F test of {len(columns)} coefficients"
        return (name, np.nan, np.nan, float(test.fvalue), float(test.pvalue), np.nan, np.nan, note, np.nan)
    place = columns[0]
    low, high = fit.conf_int(1 - conf_level)[place]
    figures = (fit.params[place], fit.bse[place], fit.tvalues[place], fit.pvalues[place], low, high)
    return (name, *map(float, figures), "", np.nan)
