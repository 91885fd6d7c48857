"""Effects → dose–response curves of documents, from which every fit works.

The design is balanced: each prompt sees every dose. Then least squares on the pooled rows equals least squares on the
mean curve, and resampling documents equals reweighting their mean curves, so the cost of a fit does not grow with the
number of prompts.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ripplestats.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DocumentCurves:
    """Mean dose–response curves of documents.

    ``x`` (doses) and ``dose_weights`` (rows a dose stands for, relative to the others) have length R; ``values`` is
    documents × groups × doses; ``weights`` is the number of prompts of each document.
    """

    x: Floats
    dose_weights: Floats
    values: Floats
    weights: Floats
    groups: tuple[Hashable, ...]

    @property
    def n_documents(self) -> int:
        """Number of documents."""
        return len(self.weights)

    @property
    def n_prompts(self) -> int:
        """Number of prompts."""
        return int(self.weights.sum())

    def pooled(self, multiplicities: Floats | None = None) -> Floats:
        """Return mean curves over prompts, groups × doses, or replicates × groups × doses.

        Args:
            multiplicities: replicates × documents, how often each document counts; by default once.
        """
        counts = np.ones((1, self.n_documents)) if multiplicities is None else multiplicities
        weights = counts * self.weights
        weights = weights / weights.sum(axis=1, keepdims=True)
        flat = weights @ self.values.reshape(self.n_documents, -1)
        curves: Floats = flat.reshape(len(counts), *self.values.shape[1:])
        return curves[0] if multiplicities is None else curves

    def with_mean_of(self, groups: Sequence[Hashable], name: Hashable) -> "DocumentCurves":
        """Return the curves with one more group, the plain mean of some of the groups, put first."""
        chosen = [self.groups.index(group) for group in groups]
        mean = self.values[:, chosen].mean(axis=1, keepdims=True)
        return replace(self, values=np.concatenate([mean, self.values], axis=1), groups=(name, *self.groups))


def document_curves(frame: "pd.DataFrame", *, y: str, x: str, cluster: str, by: str | None = None) -> DocumentCurves:
    """Average a tidy frame over the prompts of each document.

    Args:
        frame: one row a prompt, dose and group.
        y: the column of effects.
        x: the column of doses.
        cluster: the column that names the document.
        by: the column that names the group (the layer), or None.

    Raises:
        InputError: a column is missing or not finite, or documents lack doses that others have.
    """
    for column in filter(None, (y, x, cluster, by)):
        if column not in frame:
            raise InputError(f"the frame has no column {column!r}; it has {', '.join(map(str, frame.columns))}")
    if frame.empty:
        raise InputError("the frame has no rows")
    for column in (y, x):
        if frame[column].dtype.kind not in "fiub" or not np.isfinite(frame[column].to_numpy(np.float64)).all():
            raise InputError(f"column {column!r} holds values that are missing or not finite numbers")
    for column in filter(None, (cluster, by)):
        if frame[column].isna().any():
            raise InputError(f"column {column!r} holds missing values, so that some rows belong nowhere")
    groups = frame[by] if by else np.zeros(len(frame), np.int8)
    keys = [frame[cluster], groups, frame[x]]
    cells = frame[y].astype(np.float64).groupby(keys, observed=True).agg(["mean", "size"])
    shape = tuple(len(level) for level in cells.index.remove_unused_levels().levels)
    if len(cells) != np.prod(shape):
        raise InputError("the frame is not balanced: some documents lack doses or groups that others have")
    sizes = cells["size"].to_numpy(np.float64).reshape(shape)
    # A dose may stand for several rows of a prompt: two rates asked for that mean the same number of neurons.
    per_dose = sizes / sizes.min(axis=2, keepdims=True)
    if not (per_dose == per_dose[:1, :1]).all() or not (sizes.min(axis=2) == sizes.min(axis=2)[:, :1]).all():
        raise InputError("the frame is not balanced: the number of rows differs between doses or groups")
    _, names, doses = cells.index.remove_unused_levels().levels
    return DocumentCurves(
        x=doses.to_numpy(np.float64),
        dose_weights=per_dose[0, 0],
        values=cells["mean"].to_numpy(np.float64).reshape(shape),
        weights=sizes.min(axis=2)[:, 0],
        groups=tuple(names) if by else ("all",),
    )
