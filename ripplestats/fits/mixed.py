"""Mixed-effects models through statsmodels, its warnings kept as part of the result."""

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from ripplestats.errors import InputError
from ripplestats.fits.result import TERMS, FitResult
from ripplestats.rendering.charts import draw_terms

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


#: A variance below this share of the residual one is zero.
_ZERO = 1e-6
_FAILURES = (
    ValueError,
    KeyError,
    NameError,
    SyntaxError,
    TypeError,
    IndexError,
    ArithmeticError,
    np.linalg.LinAlgError,
)


def mixed(
    frame: "pd.DataFrame",
    formula: str,
    *,
    groups: str,
    re_formula: str | None = None,
    vc_formula: dict[str, str] | None = None,
    conf_level: float = 0.95,
) -> FitResult:
    """Fit a linear mixed-effects model by restricted maximum likelihood.

    Args:
        frame: one row an observation.
        formula: of the fixed effects, as in statsmodels.
        groups: the column that names the documents.
        re_formula: random effects of a document beside its intercept, such as ``"~ rate"``.
        vc_formula: further variance components, such as ``{"prompt": "0 + C(prompt_id)"}``.
        conf_level: of the Wald intervals.

    Returns:
        The fixed effects, then standard deviations of the random effects (``sd …``, without intervals). A boundary
        or a fit that did not converge is said in the notes.

    Raises:
        InputError: the formula does not fit the frame.
    """
    import pandas as pd
    import patsy
    import statsmodels.formula.api as smf

    if groups not in frame:
        raise InputError(f"the frame has no column {groups!r}; it has {', '.join(map(str, frame.columns))}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = smf.mixedlm(formula, frame, groups=groups, re_formula=re_formula, vc_formula=vc_formula)
            fit = _best_fit(model)
            finite = np.isfinite(fit.llf) and np.isfinite(fit.bse_fe).all() and fit.scale > 0
        except (*_FAILURES, patsy.PatsyError) as error:
            line = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(f"the model {formula!r} cannot be fitted: {line}") from error
    if not finite:
        raise InputError(f"the model {formula!r} cannot be fitted: nothing is left over as residual")
    limits = fit.conf_int(alpha=1 - conf_level)
    fixed = [
        (name, fit.fe_params[name], fit.bse_fe[name], fit.tvalues[name], fit.pvalues[name],
         limits.loc[name, 0], limits.loc[name, 1], "")
        for name in fit.fe_params.index
    ]  # fmt: skip
    random = [(f"sd {name}", value, *[np.nan] * 5, "") for name, value in _deviations(fit).items()]
    terms = pd.DataFrame([*fixed, *random], columns=list(TERMS))

    def draw(ax: "Axes") -> None:
        draw_terms(ax, terms.iloc[: len(fixed)])

    n_documents = int(frame[groups].nunique())
    return FitResult(
        title=f"Mixed-effects model {formula}",
        terms=terms,
        conf_level=conf_level,
        n_prompts=int(frame["prompt_id"].nunique()) if "prompt_id" in frame else n_documents,
        n_documents=n_documents,
        notes=(
            f"REML, log-likelihood {fit.llf:.2f}; Wald intervals at {conf_level:.0%}; random effects by {groups}.",
            *_troubles(fit, caught),
        ),
        draw=draw,
    )


def _best_fit(model: Any) -> Any:
    """Fit by gradients; where that ends at a boundary or nowhere, also without, and keep the larger likelihood."""
    fit = model.fit(reml=True)
    if fit.converged and not _on_boundary(fit):
        return fit
    other = model.fit(reml=True, method="powell")
    return other if other.llf > fit.llf or not fit.converged else fit


def _on_boundary(fit: Any) -> bool:
    variances = np.concatenate([np.diag(fit.cov_re), fit.vcomp])
    return bool((variances < _ZERO * fit.scale).any())


def _deviations(fit: Any) -> dict[str, float]:
    found = {str(name): float(np.sqrt(max(fit.cov_re.loc[name, name], 0.0))) for name in fit.cov_re.index}
    names = fit.model.exog_vc.names
    found |= {str(name): float(np.sqrt(max(value, 0.0))) for name, value in zip(names, fit.vcomp, strict=True)}
    return found | {"residual": float(np.sqrt(fit.scale))}


def _troubles(fit: Any, caught: list[warnings.WarningMessage]) -> tuple[str, ...]:
    said = dict.fromkeys(str(one.message).strip().splitlines()[0] for one in caught)
    # Its boundary warning compares variances with .01 in whatever unit; ours compares them with the residual one.
    troubles = [f"statsmodels warns: {line}" for line in said if "boundary" not in line]
    if not fit.converged:
        troubles.append("The fit did not converge: its figures are not to be trusted.")
    if _on_boundary(fit):
        troubles.append("A variance lies on the boundary (zero).")
    return tuple(troubles)
