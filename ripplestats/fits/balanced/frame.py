"""A tidy frame → the curves and the design of a balanced mixed model, or the reason why it is not balanced."""

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ripplestats.errors import InputError
from ripplestats.fits.balanced.design import LEVELS, BalancedModel, RandomEffect
from ripplestats.fits.curves import Floats

if TYPE_CHECKING:
    import pandas as pd

Codes = NDArray[np.intp]
#: Columns of the rows of one unit, and their names.
Part = tuple[Floats, tuple[str, ...]]


class UnbalancedError(InputError):
    """The units of a frame do not have the same rows of the design."""


@dataclass(frozen=True)
class BalancedFrame:
    """Curves (prompts × layers × doses), prompts' documents, and the model of a curve, with the names of its parts.

    ``levels`` names the column that each level of the model stands for; ``random`` the columns of its random effects.
    """

    values: Floats
    documents: Codes
    model: BalancedModel
    fixed: tuple[str, ...]
    levels: dict[str, str]
    random: dict[str, tuple[str, ...]]
    notes: tuple[str, ...]


def balanced_frame(
    frame: "pd.DataFrame", formula: str, groups: Sequence[str], crossed: str | None, random: Mapping[str, str]
) -> BalancedFrame:
    """Sort a frame into curves.

    Args:
        frame: one row an observation, any order.
        formula: of the fixed effects.
        groups: the columns of the nested units, outermost first; labels of inner ones may repeat in other outer ones.
        crossed: the column crossed with them, or None.
        random: the formula of the random effects of each of these columns, and of ``inner:crossed`` if it has any.

    Raises:
        UnbalancedError: units differ in their rows, or there are more than two nested levels.
        InputError: a formula does not fit the frame.
    """
    if len(groups) > 2:
        raise UnbalancedError("more than two nested levels of groups")
    left, parts = _parts(formula, random.values())
    used = _columns_used(frame, parts)
    outer, n_outer = _codes(frame, groups[0])
    units, n_units = _nested(outer, *_codes(frame, groups[1])) if len(groups) == 2 else (outer, n_outer)
    layers, n_layers = _codes(frame, crossed) if crossed else (np.zeros(len(frame), np.intp), 1)
    order, n_rows = _order(frame, used, units * n_layers + layers, n_units * n_layers)
    values = _outcome(frame, left)
    unit_starts = np.arange(n_units) * (n_layers * n_rows)
    if order is not None:
        values, unit_starts = values[order], order[unit_starts]
    first = slice(0, n_rows) if order is None else order[:n_rows]
    rows = {name: _plain(frame[name].iloc[first]) for name in used}
    fixed, *others = (_matrix(part, rows, n_rows) for part in parts)
    design = dict(zip(random, others, strict=True))
    levels = dict(zip(("prompt", "document"), reversed(groups), strict=False))
    notes: tuple[str, ...] = ()
    if len(groups) == 2 and n_units == n_outer:
        levels = {"prompt": groups[0]}
        design[groups[0]] = _joined(design[groups[0]], design[groups[1]])
        notes = (f"Every {groups[0]} holds one {groups[1]}: random effects of {groups[0]} stand for both.",)
    if crossed:
        levels["layer"] = crossed
        cell = f"{groups[-1]}:{crossed}"
        levels |= {"interaction": cell} if cell in random else {}
    levels = {level: levels[level] for level in LEVELS if level in levels}
    effects = {level: RandomEffect(design[column][0]) for level, column in levels.items()}
    return BalancedFrame(
        values=values.reshape(n_units, n_layers, n_rows),
        documents=outer[unit_starts],
        model=BalancedModel(fixed[0], **effects),
        fixed=fixed[1],
        levels=levels,
        random={level: design[column][1] for level, column in levels.items()},
        notes=notes,
    )


def _parts(formula: str, random: Iterable[str]) -> tuple[str, list[Any]]:
    """Return the code of the outcome, and patsy's terms of the fixed and each random part."""
    import patsy

    whole = patsy.ModelDesc.from_formula(formula)
    if len(whole.lhs_termlist) != 1 or len(whole.lhs_termlist[0].factors) != 1:
        raise InputError("it needs one outcome on its left side")
    parts = [patsy.ModelDesc([], whole.rhs_termlist), *map(patsy.ModelDesc.from_formula, random)]
    if any(part.lhs_termlist for part in parts):
        raise InputError("random effects have no outcome of their own")
    return whole.lhs_termlist[0].factors[0].code, parts


def _columns_used(frame: "pd.DataFrame", parts: Iterable[Any]) -> list[str]:
    """Return the frame's columns that formulas name, as a variable or in Q()."""
    factors = {factor.code: None for part in parts for term in part.rhs_termlist for factor in term.factors}
    nodes = (node for code in factors for node in ast.walk(ast.parse(code, mode="eval")))
    names = (node.id if isinstance(node, ast.Name) else getattr(node, "value", None) for node in nodes)
    return list(dict.fromkeys(name for name in names if isinstance(name, str) and name in frame.columns))


def _matrix(part: Any, rows: Mapping[str, Any], n_rows: int) -> Part:
    """Return a part of the model for the rows of one unit."""
    import pandas as pd
    import patsy

    # An intercept alone has no column that tells the number of rows.
    data = rows if any(term.factors for term in part.rhs_termlist) else pd.DataFrame(index=range(n_rows))
    made = patsy.dmatrix(part, data, eval_env=_names(), NA_action="raise")
    columns = np.asarray(made, np.float64)
    if not np.isfinite(columns).all():
        raise InputError("a column of the design holds values that are not finite numbers")
    return columns, tuple(made.design_info.column_names)


def _joined(first: Part, second: Part) -> Part:
    """Return the columns of two random effects, each name once."""
    new = [place for place, name in enumerate(second[1]) if name not in first[1]]
    return np.hstack([first[0], second[0][:, new]]), (*first[1], *(second[1][place] for place in new))


def _codes(frame: "pd.DataFrame", column: str) -> tuple[Codes, int]:
    """Number a column's labels in the order of their appearance."""
    import pandas as pd

    starts = _run_starts(frame[column])
    codes, labels = pd.factorize(frame[column].iloc[starts])
    if codes.min(initial=0) < 0:
        raise InputError(f"column {column!r} holds missing values, so that some rows belong nowhere")
    return np.repeat(codes.astype(np.intp, copy=False), np.diff(starts, append=len(frame))), len(labels)


def _run_starts(column: "pd.Series[Any]") -> Codes:
    """Return where a new run of equal labels starts: a sorted column has far fewer runs than rows."""
    if column.dtype.kind not in "iu":
        return np.arange(len(column))
    labels = column.to_numpy()
    return np.flatnonzero(np.concatenate([[True], labels[1:] != labels[:-1]]))


def _nested(outer: Codes, inner: Codes, n_inner: int) -> tuple[Codes, int]:
    import pandas as pd

    codes, labels = pd.factorize(outer * n_inner + inner)
    return codes.astype(np.intp, copy=False), len(labels)


def _order(frame: "pd.DataFrame", used: list[str], cells: Codes, n_cells: int) -> tuple[Codes | None, int]:
    """Return the order of rows by cell and design, None where they lie so, and the rows of a cell."""
    n_rows, over = divmod(len(cells), n_cells)
    if over:
        raise UnbalancedError("the units differ in their number of rows")
    if _lie_in_order(frame, used, cells, n_cells):
        return None, n_rows
    rows, n_kinds = np.zeros(len(cells), np.intp), 1
    for column in used:
        rows, n_kinds = _nested(rows, *_codes(frame, column))
        if n_kinds > n_rows:
            raise UnbalancedError(f"the units differ in their values of {column!r}")
    order = np.argsort(cells * n_kinds + rows, kind="stable")
    if (cells[order].reshape(n_cells, -1) != np.arange(n_cells)[:, None]).any():
        raise UnbalancedError("the units differ in their number of rows")
    kinds = rows[order].reshape(n_cells, -1)
    if (kinds != kinds[0]).any():
        raise UnbalancedError(f"the units differ in their rows of {', '.join(map(repr, used))}")
    return order, n_rows


def _lie_in_order(frame: "pd.DataFrame", used: list[str], cells: Codes, n_cells: int) -> bool:
    """Tell at little cost whether every cell is one block of rows, the same rows in each."""
    if (cells.reshape(n_cells, -1) != np.arange(n_cells)[:, None]).any():
        return False
    tables = (frame[column].to_numpy().reshape(n_cells, -1) for column in used)
    return all(bool((table == table[0]).all()) for table in tables)


def _outcome(frame: "pd.DataFrame", code: str) -> Floats:
    import patsy

    if code in frame.columns:
        column = frame[code]
        if column.dtype.kind not in "fiub":
            raise InputError(f"the outcome {code!r} is no number")
        values: Floats = column.to_numpy(np.float64)
    else:
        made = patsy.dmatrix(f"0 + {code}", frame, eval_env=_names(), NA_action=patsy.NAAction(NA_types=[]))
        if made.shape[1] != 1:
            raise InputError(f"the outcome {code!r} is no number")
        values = np.asarray(made, np.float64)[:, 0]
    if not np.isfinite(values).all():
        raise InputError(f"{code!r} holds values that are missing or not finite numbers")
    return values


def _plain(column: "pd.Series[Any]") -> Any:
    return column.to_numpy() if column.dtype.kind in "fiub" else column


def _names() -> Any:
    import patsy

    # What a formula may name beside the frame's columns and patsy's own functions.
    return patsy.EvalEnvironment([{"np": np}])
