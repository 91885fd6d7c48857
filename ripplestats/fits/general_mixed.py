"""Mixed-effects models of any data through statsmodels, its warnings kept as part of the result."""

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ripplestats.errors import InputError
from ripplestats.fits.curves import Floats

if TYPE_CHECKING:
    import pandas as pd

#: A variance below this share of the residual one is zero.
_ZERO = 1e-6
#: So are residuals below this share of the outcome: rounding.
_ZERO_RESIDUAL = 1e-10
_NO_RESIDUAL = "nothing is left over as residual"
#: Crossed effects make one group of all rows, whose covariance statsmodels holds in full.
_MOST_CROSSED_ROWS = 3000


def fit_general(
    frame: "pd.DataFrame",
    formula: str,
    groups: Sequence[str],
    crossed: str | None,
    random: Mapping[str, str],
    vc_formula: Mapping[str, str] | None,
    reml: bool,
) -> tuple[Any, list[warnings.WarningMessage]]:
    """Return statsmodels' fit and its warnings.

    Random effects of the outermost group have a covariance of their own; those of inner and crossed ones are
    uncorrelated, since MixedLM has no other for them.

    Raises:
        InputError: crossed effects of too many rows, or no residual is left.
    """
    import statsmodels.formula.api as smf

    if crossed and len(frame) > _MOST_CROSSED_ROWS:
        raise InputError(
            f"crossed effects of unbalanced data need at most {_MOST_CROSSED_ROWS} rows, there are {len(frame)}"
        )
    # Its variance components pick rows by their index.
    frame = frame.reset_index(drop=True)
    inner = [column for column in random if crossed or column != groups[0]]
    components = {name: code for one in inner for name, code in _components(one, random[one]).items()}
    components |= vc_formula or {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = smf.mixedlm(
            formula,
            frame,
            groups=np.zeros(len(frame)) if crossed else groups[0],
            re_formula=None if crossed else random[groups[0]].strip().removeprefix("~").strip(),
            vc_formula=components or None,
        )
        # Nothing to estimate, on which the optimizer would spend a long time.
        if _explains_all(model.exog, model.endog):
            raise InputError(_NO_RESIDUAL)
        fit = _best_fit(model, reml)
        finite = np.isfinite(fit.llf) and np.isfinite(fit.bse_fe).all() and fit.scale > 0
    if not finite:
        raise InputError(_NO_RESIDUAL)
    return fit, caught


def deviations(fit: Any) -> dict[str, float]:
    """Return the standard deviations of the random effects and of the residual, by name."""
    found = {str(name): float(np.sqrt(max(fit.cov_re.loc[name, name], 0.0))) for name in fit.cov_re.index}
    names = fit.model.exog_vc.names
    found |= {str(name): float(np.sqrt(max(value, 0.0))) for name, value in zip(names, fit.vcomp, strict=True)}
    return found | {"residual": float(np.sqrt(fit.scale))}


def troubles(fit: Any, caught: list[warnings.WarningMessage]) -> tuple[str, ...]:
    """Return what a reader must know of a fit: warnings, a boundary, no convergence."""
    said = dict.fromkeys(str(one.message).strip().splitlines()[0] for one in caught)
    # Its boundary warning compares variances with .01 in whatever unit; ours compares them with the residual one.
    found = [f"statsmodels warns: {line}" for line in said if "boundary" not in line]
    if not fit.converged:
        found.append("The fit did not converge: its figures are not to be trusted.")
    if _on_boundary(fit):
        found.append("A variance lies on the boundary (zero).")
    return tuple(found)


def _components(column: str, formula: str) -> dict[str, str]:
    """Return a variance component of each term of the random effects of a column, or of two with a colon."""
    import patsy

    label = ":".join(f"C(Q({one!r}))" for one in column.split(":"))
    terms = patsy.ModelDesc.from_formula(formula).rhs_termlist
    return {f"{column} {term.name()}": f"0 + {label}" + (f":{term.name()}" if term.factors else "") for term in terms}


def _explains_all(design: Floats, outcome: Floats) -> bool:
    """Tell whether the fixed effects leave nothing but rounding."""
    residual = outcome - design @ np.linalg.lstsq(design, outcome)[0]
    return bool(np.linalg.norm(residual) <= _ZERO_RESIDUAL * np.linalg.norm(outcome))


def _best_fit(model: Any, reml: bool = True) -> Any:
    """Fit by gradients; where that ends at a boundary or nowhere, also without, and keep the larger likelihood."""
    fit = model.fit(reml=reml)
    if fit.converged and not _on_boundary(fit):
        return fit
    other = model.fit(reml=reml, method="powell")
    return other if other.llf > fit.llf or not fit.converged else fit


def _on_boundary(fit: Any) -> bool:
    variances = np.concatenate([np.diag(fit.cov_re), fit.vcomp])
    return bool((variances < _ZERO * fit.scale).any())
