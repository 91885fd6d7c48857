"""Covariates of prompts → the design matrix of a regression on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ripplestats.errors import InputError
from ripplestats.fits.curves import Floats

if TYPE_CHECKING:
    import pandas as pd

#: A covariate of which the others explain more than this share is their combination.
_COLLINEAR = 1 - 1e-10


@dataclass(frozen=True)
class Term:
    """What a regression says of a covariate: the columns of the design that it is about, none of a constant one.

    A ``level`` of a categorical covariate is compared with the most frequent one; ``any`` is the test of all its levels.
    """

    name: str
    columns: tuple[int, ...]
    kind: Literal["number", "level", "any"]


@dataclass(frozen=True)
class CovariateDesign:
    """The matrix (prompts × columns, intercept first), what its columns are about, and what to say of it."""

    matrix: Floats
    terms: tuple[Term, ...]
    notes: tuple[str, ...]

    def scarce(self, codes: NDArray[np.intp], rows: NDArray[np.bool_], least: int) -> set[int]:
        """Return the columns of levels that fewer than ``least`` documents have (``codes``, one a prompt) in some rows."""
        levels = [term.columns[0] for term in self.terms if term.kind == "level"]
        return {one for one in levels if len(np.unique(codes[rows & (self.matrix[:, one] == 1)])) < least}


def matched(prompts: "pd.DataFrame", wanted: "pd.Index[Any]", prompt: str, covariates: Sequence[str]) -> "pd.DataFrame":
    """Return the covariates in the order of ``wanted``, logarithms taken.

    Raises:
        InputError: prompts or columns are missing, have gaps, or have no logarithm.
    """
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


def covariate_design(table: "pd.DataFrame") -> CovariateDesign:
    """Return the design of the covariates in a table (one a column), numbers standardised.

    Raises:
        InputError: a covariate is a linear combination of the others.
    """
    columns: list[Floats] = [np.ones(len(table))]
    terms: list[Term] = []
    notes: list[str] = []
    for name in table:
        values = table[name]
        # Of equally frequent levels the first in the alphabet is first, whatever the order of the prompts.
        levels = values.value_counts().sort_index(key=lambda level: level.astype(str))
        levels = levels.sort_values(ascending=False, kind="stable")
        if len(levels) < 2:
            terms.append(Term(name, (), "number"))
        elif values.dtype.kind in "fiu":
            terms.append(Term(name, (len(columns),), "number"))
            columns.append((values.to_numpy(np.float64) - values.mean()) / values.std(ddof=1))
        else:
            first = len(columns)
            for level in levels.index[1:]:
                terms.append(Term(f"{name}[{level}]", (len(columns),), "level"))
                columns.append((values == level).to_numpy(np.float64))
            terms.append(Term(f"{name} (any)", tuple(range(first, len(columns))), "any"))
            notes.append(f"{name}: against {levels.index[0]!r} ({levels.iloc[0]} prompts).")
    matrix = np.column_stack(columns)
    return CovariateDesign(matrix, tuple(terms), (*notes, *_check_collinear(matrix, terms)))


def _check_collinear(matrix: Floats, terms: Sequence[Term]) -> tuple[str, ...]:
    """Return a note on covariates that the others nearly determine.

    Raises:
        InputError: one is a linear combination of the others.
    """
    near = []
    for term in terms:
        if term.kind == "any" or not term.columns:
            continue
        one, others = matrix[:, term.columns[0]], np.delete(matrix, term.columns, axis=1)
        left = one - others @ np.linalg.lstsq(others, one, rcond=None)[0]
        explained = 1 - float((left**2).sum() / ((one - one.mean()) ** 2).sum())
        if explained > _COLLINEAR:
            raise InputError(f"covariate {term.name!r} is a linear combination of the others; leave one of them out")
        if explained > 0.9:
            near.append(term.name)
    return (f"Hard to tell apart (variance inflated tenfold or more): {', '.join(near)}.",) if near else ()
