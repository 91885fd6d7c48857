"""The rows of a run's parts as matrices, prompts × rows, checked against what was done to the run's first prompt.

A sweep writes the rows of a part prompt by prompt, each prompt's in one order, so that a matrix is a reshaped column.
Both are checked; a part in another order is sorted. Parts with as many prompts have the same bytes in the columns that say
what was done, and such bytes are decoded and checked once.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ripplestats.errors import RunError
from ripplestats.fits.curve_layout import KEYS, LAYOUT_COLUMNS, NAMES, CurveLayout, curve_layouts
from ripplestats.store.tables import stored_columns

if TYPE_CHECKING:
    import pyarrow as pa

    from ripplestats.store.run_directory import Run

Integers = NDArray[np.int64]
#: Of a part with more rows the columns are read one after the other, so that they need not fit into memory together.
_MOST_ROWS = 2**21


@dataclass(frozen=True)
class Part:
    """A file of effects: its prompts, their documents, and whether its rows come prompt by prompt."""

    file: Path
    prompts: Integers
    documents: Integers
    in_order: bool


@dataclass(frozen=True)
class RowKeys:
    """What was done in each row of a prompt: codes of names, and numbers, by column; and the names of the codes.

    ``found`` has what was found to hold these rows for each prompt, in their order: how many prompts, and the SHA-256 of
    the columns as they are stored.
    """

    columns: dict[str, NDArray[Any]]
    names: dict[str, list[str]]
    found: set[tuple[int, bytes]] = field(default_factory=set, compare=False)

    @property
    def n_rows(self) -> int:
        """Rows of a prompt."""
        return len(self.columns["rate"])

    def layouts(self) -> dict[tuple[str, str, str], CurveLayout]:
        """Return the layout of each arm, replacement and site."""
        import pandas as pd

        named = {
            name: pd.Categorical.from_codes(self.columns[name], self.names[name]) if name in NAMES else column
            for name, column in self.columns.items()
        }
        return curve_layouts(pd.DataFrame(named))

    @cached_property
    def sorting(self) -> Integers:
        """The order of the rows by their keys."""
        return _sorting([self.columns[name] for name in KEYS])


def read_index(run: "Run", file: Path) -> Part:
    """Read which prompts, of which documents, a part has.

    Raises:
        RunError: the part is damaged, or its prompts differ in their number of rows.
    """
    table = run.part_table(file, ["prompt_id", "document_id"])
    prompts, documents = (_numbers(table[name]) for name in ("prompt_id", "document_id"))
    if not len(prompts):
        raise RunError(f"{file} is damaged: it has no rows")
    starts = np.flatnonzero(np.concatenate([[True], prompts[1:] != prompts[:-1]]))
    n_prompts = len(starts)
    width, rest = divmod(len(prompts), n_prompts)
    in_order = not rest and bool((starts == width * np.arange(n_prompts)).all())
    found = np.unique(prompts[starts], return_index=True)
    if in_order and len(found[0]) == n_prompts:
        return Part(file, prompts[starts].astype(np.int64), documents[starts].astype(np.int64), in_order=True)
    ids, counts = np.unique(prompts, return_counts=True)
    if (counts != counts[0]).any():
        raise RunError(f"{file}: its prompts differ in their number of rows")
    firsts = starts[found[1]]
    return Part(file, ids.astype(np.int64), documents[firsts].astype(np.int64), in_order=False)


def read_keys(run: "Run", part: Part) -> RowKeys:
    """Read what was done to the first prompt of a part."""
    table = run.part_table(part.file, [*LAYOUT_COLUMNS, "prompt_id"])
    place = np.flatnonzero(_numbers(table["prompt_id"]) == part.prompts[0])
    names = {name: _dictionary(table[name]).dictionary.to_pylist() for name in NAMES}
    return RowKeys({name: _column(table, name, names.get(name))[place] for name in LAYOUT_COLUMNS}, names)


def read_outcomes(run: "Run", part: Part, keys: RowKeys, metrics: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read outcomes (prompts × rows), the rows in the order of ``keys``.

    Raises:
        RunError: the part is damaged, or what was done to its prompts is not what was done to the run's first.
    """
    order = _checked_order(run, part, keys)
    n_rows = len(part.prompts) * keys.n_rows
    values = {}
    for group in [metrics] if n_rows <= _MOST_ROWS else [[one] for one in metrics]:
        table = run.part_table(part.file, group)
        for name in group:
            if table[name].null_count:
                raise RunError(f"{part.file} is damaged: {name} lacks values")
            column = _numbers(table[name])
            column = column if order is None else column[order]
            values[name] = column.reshape(len(part.prompts), -1)
    return values


def _checked_order(run: "Run", part: Part, keys: RowKeys) -> Integers | None:
    """Return the order that puts the rows of a part in that of ``keys``, or None where they are in it."""
    stored = (len(part.prompts), hashlib.sha256(stored_columns(part.file, LAYOUT_COLUMNS)).digest())
    if part.in_order and stored in keys.found:
        return None
    table = run.part_table(part.file, LAYOUT_COLUMNS)
    shape = (len(part.prompts), keys.n_rows)
    if table.num_rows != shape[0] * shape[1]:
        raise RunError(f"{part.file}: its prompts differ in their number of rows from those of the run's first part")
    columns = {name: _column(table, name, keys.names.get(name)) for name in LAYOUT_COLUMNS}
    if part.in_order and all((columns[name].reshape(shape) == keys.columns[name]).all() for name in LAYOUT_COLUMNS):
        keys.found.add(stored)
        return None
    prompts = _numbers(run.part_table(part.file, ["prompt_id"])["prompt_id"])
    place = np.searchsorted(np.sort(part.prompts), prompts)
    order = _sorting([place, *(columns[name] for name in KEYS)]).reshape(shape)
    unsorted = np.empty_like(order)
    unsorted[np.argsort(part.prompts)[:, None], keys.sorting] = order
    for name in LAYOUT_COLUMNS:
        if not (columns[name][unsorted] == keys.columns[name]).all():
            raise RunError(f"{part.file}: its prompts differ in {name}, so that the run is not balanced")
    return unsorted.ravel()


def _column(table: "pa.Table", name: str, names: list[str] | None) -> NDArray[Any]:
    """Return a column as numbers; a column of names as their places in ``names``, unknown ones as −1."""
    if names is None:
        return _numbers(table[name])
    column = _dictionary(table[name])
    own = column.dictionary.to_pylist()
    codes: NDArray[Any] = column.indices.to_numpy()
    if own == names:
        return codes
    places: NDArray[Any] = np.array([names.index(one) if one in names else -1 for one in own])[codes]
    return places


def _dictionary(column: "pa.ChunkedArray") -> Any:
    return column.unify_dictionaries().combine_chunks() if column.num_chunks > 1 else column.chunk(0)


def _numbers(column: "pa.ChunkedArray") -> NDArray[Any]:
    numbers: NDArray[Any] = column.to_numpy()
    return numbers


def _sorting(columns: Sequence[NDArray[Any]]) -> Integers:
    """Return the order by the columns, the first first."""
    return np.lexsort(columns[::-1])
