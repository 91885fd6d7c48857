"""Mixed-effects models: balanced designs exactly, any other through statsmodels."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from ripplestats.errors import InputError, first_line
from ripplestats.fits.balanced.frame import BalancedFrame, UnbalancedError, balanced_frame
from ripplestats.fits.balanced.terms import balanced_terms
from ripplestats.fits.result import TERMS, FitResult
from ripplestats.rendering.charts import draw_terms

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Df = Literal["satterthwaite", "normal", "bootstrap"]
Engine = Literal["auto", "balanced", "statsmodels"]
_FAILURES = (
    ValueError,
    KeyError,
    NameError,
    SyntaxError,
    TypeError,
    IndexError,
    ArithmeticError,
    RecursionError,
    AssertionError,  # of patsy, by a formula that it did not foresee
    np.linalg.LinAlgError,
)


@dataclass(frozen=True)
class _Model:
    """What is fitted to a frame, checked; ``random`` is the formula of the random effects of each column."""

    frame: "pd.DataFrame"
    formula: str
    groups: tuple[str, ...]
    crossed: str | None
    random: dict[str, str]
    reml: bool


def mixed(
    frame: "pd.DataFrame",
    formula: str,
    *,
    groups: str | Sequence[str],
    re_formula: str | Mapping[str, str] | None = None,
    crossed: str | None = None,
    vc_formula: Mapping[str, str] | None = None,
    reml: bool = True,
    df: Df = "satterthwaite",
    engine: Engine = "auto",
    conf_level: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> FitResult:
    """Fit a linear mixed-effects model by restricted maximum likelihood.

    Where every unit of ``groups`` (and of ``crossed``) has the same rows of the design, the fit is exact, from
    sufficient statistics, and its cost hardly grows with the number of units. Otherwise statsmodels' MixedLM fits it,
    with normal p-values; the first note says which.

    Args:
        frame: one row an observation, in any order.
        formula: of the fixed effects, as in statsmodels.
        groups: the column of the units, or two, outermost first: ``("document_id", "prompt_id")``.
        re_formula: random effects beside the intercept, such as ``"~ rate"``: of every column of ``groups``, or a
            formula a column, ``{"prompt_id": "~ rate", "layer": "~ 1"}``. Columns without one have an intercept.
            ``{"prompt_id:layer": "~ rate"}`` gives each unit within each crossed level effects of its own; without it
            a unit's curves at all levels differ by a constant and noise alone.
        crossed: a column crossed with the groups, such as the layer.
        vc_formula: further variance components, such as ``{"prompt": "0 + C(prompt_id)"}``; statsmodels only.
        reml: False for maximum likelihood.
        df: t tests with Satterthwaite's degrees of freedom (Kuznetsova et al. 2017), normal ones, or a parametric
            bootstrap of t statistics and standard deviations.
        engine: ``balanced`` and ``statsmodels`` insist on one way.
        conf_level: of the intervals.
        n_boot, seed: of the parametric bootstrap.

    Returns:
        The fixed effects, then standard deviations and correlations of the random effects (``sd …``,
        ``correlation …``; intervals by bootstrap only) and ``sd residual``. A boundary, several optima or a fit that
        did not converge is said in the notes.

    Raises:
        InputError: the formula does not fit the frame, or the data do not identify the model.

    Examples:
        With the simulated ``frame`` of ``docs/examples/simulated_frame.py``:

        >>> fit = rs.mixed(frame, "effect ~ dose", groups=("document", "prompt"))
        >>> fit.tidy()[["term", "estimate", "std_error"]].round(3)
                            term  estimate  std_error
        0              Intercept     0.511      0.028
        1                   dose     0.695      0.033
        2  sd document Intercept     0.151        NaN
        3    sd prompt Intercept     0.073        NaN
        4            sd residual     0.316        NaN
    """
    model = _checked(frame, formula, groups, re_formula, crossed, reml)
    for name, value, allowed in (("df", df, get_args(Df)), ("engine", engine, get_args(Engine))):
        if value not in allowed:
            raise InputError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")
    if not 0 < conf_level < 1:
        raise InputError(f"conf_level is {conf_level}; it must lie between 0 and 1")
    if n_boot < 1:
        raise InputError(f"n_boot is {n_boot}; it must be at least 1")
    with _failures_named(formula):
        found = _balanced_or_reason(model, engine, vc_formula)
        if isinstance(found, str):
            if df == "bootstrap":
                raise InputError(f"the bootstrap needs a balanced design ({found})")
            return _general(model, vc_formula, conf_level, found)
        draws = (n_boot, np.random.default_rng(seed)) if df == "bootstrap" else None
        terms, method, notes = balanced_terms(found, reml, conf_level, df != "normal", draws)
    by = ", ".join(found.levels[level] for level in ("document", "prompt") if level in found.levels)
    across = f" crossed with {crossed}" if crossed else ""
    first = f"{method}; random effects by {by}{across}; balanced: exact, from sufficient statistics."
    return _result(model, terms, len(found.fixed), conf_level, (first, *found.notes, *notes), len(found.values))


def _balanced_or_reason(model: _Model, engine: Engine, vc_formula: Mapping[str, str] | None) -> BalancedFrame | str:
    """Return the balanced data, or why statsmodels is to fit the model."""
    if engine == "statsmodels":
        return "as asked"
    if vc_formula and engine == "auto":
        return "for its vc_formula"
    if vc_formula:
        raise InputError("a vc_formula needs statsmodels; name the columns in groups and crossed instead")
    try:
        return balanced_frame(model.frame, model.formula, model.groups, model.crossed, model.random)
    except UnbalancedError as error:
        if engine == "balanced":
            raise
        return f"unbalanced: {error}"


def _checked(
    frame: "pd.DataFrame",
    formula: str,
    groups: str | Sequence[str],
    re_formula: str | Mapping[str, str] | None,
    crossed: str | None,
    reml: bool,
) -> _Model:
    columns = (groups,) if isinstance(groups, str) else tuple(groups)
    named = (*columns, crossed) if crossed else columns
    for column in named:
        if column not in frame:
            raise InputError(f"the frame has no column {column!r}; it has {', '.join(map(str, frame.columns))}")
    if not columns or len(set(named)) < len(named):
        raise InputError(f"groups and crossed must name different columns, at least one; they are {named}")
    if frame.empty:
        raise InputError("the frame has no rows")
    given = dict(re_formula) if isinstance(re_formula, Mapping) else dict.fromkeys(columns, re_formula or "~ 1")
    cells = {f"{columns[-1]}:{crossed}"} & set(given) if crossed else set()
    unknown = set(given) - set(named) - cells
    if unknown:
        raise InputError(f"re_formula names {', '.join(sorted(unknown))}; groups and crossed are {', '.join(named)}")
    random = {column: given.get(column) or "~ 1" for column in (*named, *cells)}
    return _Model(frame, formula, columns, crossed, random, reml)


def _general(model: _Model, vc_formula: Mapping[str, str] | None, conf_level: float, reason: str) -> FitResult:
    import pandas as pd

    from ripplestats.fits.general_mixed import deviations, fit_general, troubles

    fit, caught = fit_general(
        model.frame, model.formula, model.groups, model.crossed, model.random, vc_formula, model.reml
    )
    limits = fit.conf_int(alpha=1 - conf_level)
    fixed = [
        (name, fit.fe_params[name], fit.bse_fe[name], fit.tvalues[name], fit.pvalues[name],
         limits.loc[name, 0], limits.loc[name, 1], "")
        for name in fit.fe_params.index
    ]  # fmt: skip
    random = [(f"sd {name}", value, *[np.nan] * 5, "") for name, value in deviations(fit).items()]
    first = (
        f"{'REML' if model.reml else 'ML'}, log-likelihood {fit.llf:.2f}; Wald intervals at {conf_level:.0%}; "
        f"random effects by {', '.join(model.random)}; fitted by statsmodels MixedLM ({reason})."
    )
    terms = pd.DataFrame([*fixed, *random], columns=list(TERMS))
    return _result(model, terms, len(fixed), conf_level, (first, *troubles(fit, caught)))


def _result(
    model: _Model, terms: "pd.DataFrame", n_fixed: int, conf_level: float, notes: tuple[str, ...], n_units: int = 0
) -> FitResult:
    n_documents = int(model.frame[model.groups[0]].nunique())
    if len(model.groups) > 1:
        n_prompts = n_units or len(model.frame[list(model.groups)].drop_duplicates())
    else:
        n_prompts = int(model.frame["prompt_id"].nunique()) if "prompt_id" in model.frame else n_documents
    return FitResult(
        title=f"Mixed-effects model {model.formula}",
        terms=terms,
        conf_level=conf_level,
        n_prompts=n_prompts,
        n_documents=n_documents,
        notes=notes,
        draw=_drawing(terms.iloc[:n_fixed]),
        picture="Points: the fixed effects with their intervals.",
    )


def _drawing(terms: "pd.DataFrame") -> Callable[["Axes"], None]:
    def draw(ax: "Axes") -> None:
        draw_terms(ax, terms)

    return draw


@contextmanager
def _failures_named(formula: str) -> Iterator[None]:
    """Turn whatever a wrong formula raises into one line that names it."""
    import patsy

    try:
        yield
    except (InputError, *_FAILURES, patsy.PatsyError) as error:
        line = first_line(error)
        raise InputError(f"the model {formula!r} cannot be fitted: {line}") from error
