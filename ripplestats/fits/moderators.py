"""What makes a prompt's curve high, steep or early: covariates of prompts as moderators of the dose–response curve.

The design is balanced, so the fixed effects of the mixed model "dose × covariates, random coefficients of each prompt"
are those of regressing each prompt's own least-squares coefficients on its covariates (Laird & Ware 1982, Biometrics 38:963;
best whatever the variances, Zyskind 1967, Ann. Math. Stat. 38:1092). Standard errors are from documents, not the model's.
"""

from collections.abc import Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import MINIMUM_DOCUMENTS
from ripplestats.fits.breakpoint import MINIMUM_DOSES, BreakDesign
from ripplestats.fits.core import core_statistic
from ripplestats.fits.curves import DocumentCurves, Floats, document_curves
from ripplestats.fits.result import TERMS, FitResult
from ripplestats.fits.saturation import PLATEAU, plateau_weights
from ripplestats.rendering.charts import draw_terms, in_standard_errors

if TYPE_CHECKING:
    import pandas as pd

#: Where a threshold is undefined, the slope is the one up to this dose.
_USUAL_LIMIT = 0.10
#: A covariate of which the others explain more than this share is their combination.
_COLLINEAR = 1 - 1e-10
_COLUMNS = (*TERMS, "p_adjusted")
Term = tuple[str, list[int]]


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
        frame: one row a prompt, dose and group; rows beyond that (blocks, without ``by``) are averaged.
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
    if curves.counts is not None:
        raise InputError("moderators need a balanced frame: every prompt with every dose and group")
    documents = _documents(frame, prompt, cluster)
    design, terms, notes = _design(_matched(prompts, documents.index, prompt, covariates), documents, covariates)
    if len(documents) < design.shape[1] + 2:
        raise InputError(f"{len(documents)} prompts are too few for {design.shape[1]} coefficients")
    tables = []
    for i, group in enumerate(curves.groups):
        for name, values in _quantities(curves, i, slope_up_to, share, plateau).items():
            table = _regressed(name, values, design, terms, documents.to_numpy(), conf_level)
            tables.append(table if by is None else table.assign(**{by: group})[[by, *_COLUMNS]])
    found = pd.concat(tables, ignore_index=True)
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


def _matched(
    prompts: "pd.DataFrame", wanted: "pd.Index[Any]", prompt: str, covariates: Sequence[str]
) -> "pd.DataFrame":
    """Return the covariates in the order of the curves, logarithms taken."""
    import pandas as pd

    if not covariates or len(set(covariates)) < len(covariates):
        raise InputError("covariates must name at least one column, each once")
    inner = {name: name[4:-1] if name.startswith("log(") and name.endswith(")") else name for name in covariates}
    for column in (prompt, *inner.values()):
        if column not in prompts:
            raise InputError(f"the prompts have no column {column!r}; they have {', '.join(map(str, prompts.columns))}")
    if prompts[prompt].duplicated().any() or not wanted.isin(prompts[prompt]).all():
        raise InputError(f"the prompts must have one row for each {prompt} of the frame")
    table = prompts.set_index(prompt).loc[wanted]
    found = pd.DataFrame(index=wanted)
    for name, column in inner.items():
        values = table[column]
        if values.isna().any():
            raise InputError(f"covariate {column!r} is missing for {int(values.isna().sum())} of {len(values)} prompts")
        if name != column:
            if values.dtype.kind not in "fiu" or (values <= 0).any():
                raise InputError(f"covariate {name!r}: a logarithm needs positive numbers")
            values = np.log(values)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise InputError(f"covariate {name!r} is not finite for some prompts")
        found[name] = values
    return found


def _design(
    table: "pd.DataFrame", documents: "pd.Series[Any]", covariates: Sequence[str]
) -> tuple[Floats, list[Term], tuple[str, ...]]:
    """Return the design matrix (intercept first), the columns of each term, and notes.

    A term without columns is undefined; a term of several is tested as one.
    """
    columns: list[Floats] = [np.ones(len(table))]
    terms: list[Term] = []
    notes: list[str] = []
    for name in covariates:
        values = table[name]
        levels = values.value_counts(sort=True)
        if len(levels) < 2:
            terms.append((name, []))
        elif values.dtype.kind in "fiu":
            columns.append((values.to_numpy(np.float64) - values.mean()) / values.std(ddof=1))
            terms.append((name, [len(columns) - 1]))
        else:
            first = len(columns)
            for level in levels.index[1:]:
                columns.append((values == level).to_numpy(np.float64))
                scarce = documents[(values == level).to_numpy()].nunique() < MINIMUM_DOCUMENTS
                # A negative place marks a level that has too few documents for a standard error of its own.
                terms.append((f"{name}[{level}]", [-(len(columns) - 1) if scarce else len(columns) - 1]))
            told = [places[0] for _, places in terms if places and places[0] >= first]
            terms.append((f"{name} (any)", told))
            notes.append(f"{name}: against {levels.index[0]!r} ({levels.iloc[0]} prompts).")
    design = np.column_stack(columns)
    return design, terms, (*notes, *_check_collinear(design, terms))


def _check_collinear(design: Floats, terms: list[Term]) -> tuple[str, ...]:
    """Return a note on covariates that the others nearly determine.

    Raises:
        InputError: one is a linear combination of the others.
    """
    near = []
    for name, places in terms:
        if len(places) != 1:
            continue
        one, others = design[:, abs(places[0])], np.delete(design, abs(places[0]), axis=1)
        left = one - others @ np.linalg.lstsq(others, one, rcond=None)[0]
        explained = 1 - float((left**2).sum() / ((one - one.mean()) ** 2).sum())
        if explained > _COLLINEAR:
            raise InputError(f"covariate {name!r} is a linear combination of the others; leave one of them out")
        if explained > 0.9:
            near.append(name)
    return (f"Hard to tell apart (variance inflated tenfold or more): {', '.join(near)}.",) if near else ()


def _quantities(
    curves: DocumentCurves, i: int, limit: float | None, share: float, plateau: tuple[float, float]
) -> dict[str, Floats | str]:
    """Return plateau, slope and core pseudo-value of each prompt, or why there is none."""
    values = curves.values[:, i]
    level = plateau_weights(curves.x, plateau)
    why = f"undefined: the doses do not cover {plateau[0]:.0%} to {plateau[1]:.0%}"
    found: dict[str, Floats | str] = {"plateau": why if level is None else values @ level}
    found["slope"] = _slopes(curves, values, limit)
    found["core"] = why if level is None else _core_pseudo_values(curves, values, level, share)
    return found


def _slopes(curves: DocumentCurves, values: Floats, limit: float | None) -> Floats | str:
    if limit is None:
        design = BreakDesign(curves.x, curves.dose_weights)
        fit = design.fit(values.mean(axis=0)[None]) if len(curves.x) >= MINIMUM_DOSES else None
        inside = fit is not None and design.first < fit.breakpoint[0] < design.last
        limit = float(fit.breakpoint[0]) if fit is not None and inside else _USUAL_LIMIT
    below = curves.x <= limit * (1 + 1e-9)
    if below.sum() < 2:
        return f"undefined: fewer than two doses up to {limit:.3g}"
    weights = curves.dose_weights * below
    centred = weights * (curves.x - weights @ curves.x / weights.sum())
    slopes: Floats = values @ (centred / (centred @ curves.x))
    return slopes


def _core_pseudo_values(curves: DocumentCurves, values: Floats, level: Floats, share: float) -> Floats | str:
    n = len(values)
    statistic = core_statistic(curves, level, np.array([share]))
    mean = values.mean(axis=0)
    whole = statistic(mean[None])[0, 1]
    left_out = statistic((n * mean - values) / (n - 1))[:, 1]
    if not np.isfinite([whole, *left_out]).all():
        return (
            f"undefined: the mean curve, whole or without some prompt, does not reach {share:.0%} of a positive plateau"
        )
    pseudo_values: Floats = n * whole - (n - 1) * left_out
    return pseudo_values


def _regressed(
    quantity: str, values: Floats | str, design: Floats, terms: list[Term], documents: Any, conf_level: float
) -> "pd.DataFrame":
    """Return the terms of one quantity."""
    import pandas as pd
    import statsmodels.api as sm

    codes = pd.factorize(documents)[0]
    n_documents = codes.max() + 1
    why = values if isinstance(values, str) else ""
    if not why and np.ptp(values) <= 1e-12 * np.abs(values).max():
        why = "undefined: the same for all prompts"
    # Clustered errors of q coefficients have no more than D − 1 directions.
    if not why and n_documents < max(MINIMUM_DOCUMENTS, design.shape[1] + 1):
        why = f"undefined: {n_documents} documents are too few for {design.shape[1]} coefficients"
    fit = None
    if not why:
        options = {"groups": codes, "use_correction": True, "df_correction": True}
        fit = sm.OLS(values, design).fit(cov_type="cluster", cov_kwds=options, use_t=True)
    rows = [_row(f"{quantity}: {name}", places, fit, why, conf_level) for name, places in terms]
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    # A categorical covariate enters its family once, by the joint test.
    family = [i for i, (name, _) in enumerate(terms) if "[" not in name and np.isfinite(table["p_value"].iloc[i])]
    if family:
        table.loc[family, "p_adjusted"] = _holm(table["p_value"].to_numpy()[family])
    return table


def _holm(p_values: Floats) -> Floats:
    """Adjust p-values by Holm's method (statsmodels' function collects the whole process's garbage at each call)."""
    order = p_values.argsort()
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1)), 1.0)
    return adjusted


def _row(term: str, places: list[int], fit: Any, why: str, conf_level: float) -> tuple[Hashable, ...]:
    blank = [np.nan] * 6
    if fit is None or not places:
        reason = "too few documents of each level" if term.endswith(" (any)") else "the covariate is constant"
        return (term, *blank, why or f"undefined: {reason}", np.nan)
    if len(places) > 1 or term.endswith(" (any)"):
        test = fit.f_test(np.eye(len(fit.params))[places])
        note = f"F test of {len(places)} coefficients"
        return (term, np.nan, np.nan, float(test.fvalue), float(test.pvalue), np.nan, np.nan, note, np.nan)
    place = places[0]
    if place < 0:
        return (term, *blank, f"undefined: fewer than {MINIMUM_DOCUMENTS} documents", np.nan)
    low, high = fit.conf_int(1 - conf_level)[place]
    figures = (fit.params[place], fit.bse[place], fit.tvalues[place], fit.pvalues[place], low, high)
    return (term, *map(float, figures), "", np.nan)
