"""Effects → dose–response curves of documents, from which every fit works.

Where the design is balanced (each prompt sees every dose), least squares on the pooled rows equals least squares on the
mean curve, and resampling documents equals reweighting their mean curves, so the cost of a fit does not grow with the
number of prompts. Where it is not, each document counts at each dose by its rows there, and the same fits take weights
that differ between replicates.
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
UNBALANCED = "The frame is not balanced: fitted by the general path, each document weighted at each dose by its rows."


@dataclass(frozen=True)
class DocumentCurves:
    """Mean dose–response curves of documents.

    ``x`` (doses) and ``dose_weights`` (rows a dose stands for, relative to the others) have length R; ``values`` is
    documents × groups × doses; ``weights`` is the number of prompts of each document. ``counts`` (rows, of the shape
    of ``values``) is None where the design is balanced; else ``values`` is 0 where there is no row. ``prompts`` is the
    number of prompts where ``weights`` counts something else, and ``documents`` that of documents where the units of
    ``values`` are groups of them.
    """

    x: Floats
    dose_weights: Floats
    values: Floats
    weights: Floats
    groups: tuple[Hashable, ...]
    counts: Floats | None = None
    prompts: int | None = None
    documents: int | None = None

    @property
    def n_documents(self) -> int:
        """Number of units that are resampled: documents, or random groups of them in a very large run."""
        return len(self.weights)

    @property
    def total_documents(self) -> int:
        """Number of documents, however they are grouped for resampling."""
        return self.n_documents if self.documents is None else self.documents

    @property
    def n_prompts(self) -> int:
        """Number of prompts."""
        return int(self.weights.sum()) if self.prompts is None else self.prompts

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of any fit of these curves must know."""
        return () if self.counts is None else (UNBALANCED,)

    def pooled(self, multiplicities: Floats | None = None) -> Floats:
        """Return mean curves over prompts, groups × doses, or replicates × groups × doses.

        Args:
            multiplicities: replicates × documents, how often each document counts; by default once. NaN at a dose
                for which a replicate has no row.
        """
        often = np.ones((1, self.n_documents)) if multiplicities is None else multiplicities
        if self.counts is None:
            weights = often * self.weights
            flat = (weights / weights.sum(axis=1, keepdims=True)) @ self.values.reshape(self.n_documents, -1)
        else:
            sums = often @ (self.counts * self.values).reshape(self.n_documents, -1)
            with np.errstate(invalid="ignore"):
                flat = sums / (often @ self.counts.reshape(self.n_documents, -1))
        curves: Floats = flat.reshape(len(often), *self.values.shape[1:])
        return curves[0] if multiplicities is None else curves

    def pooled_weights(self, multiplicities: Floats | None = None) -> Floats:
        """Return the weights of the doses in the mean curves: R where balanced, else of the shape of ``pooled``."""
        if self.counts is None:
            return self.dose_weights
        often = np.ones((1, self.n_documents)) if multiplicities is None else multiplicities
        flat = often @ self.counts.reshape(self.n_documents, -1)
        weights: Floats = flat.reshape(len(often), *self.values.shape[1:])
        return weights[0] if multiplicities is None else weights

    def without_each(self) -> tuple[Floats, Floats | None]:
        """Return the mean curves that leave out one document (documents × groups × doses), and what their doses weigh.

        The weights, of the same shape, are None where the design is balanced: there they are ``dose_weights``.
        """
        if self.counts is None:
            weights = self.weights[:, None, None]
            return _without_each(weights * self.values) / _without_each(weights), None
        counts = _without_each(self.counts)
        with np.errstate(invalid="ignore"):
            return _without_each(self.counts * self.values) / counts, counts

    def influences(self, dose_weights: Floats) -> tuple[Floats, Floats]:
        """Return the contrast Σ weights · mean effect of each group, and what each document moves it by.

        Args:
            dose_weights: R, or groups × R.

        Returns:
            Estimates (groups) and influences (documents × groups), which sum to zero over documents.
        """
        mean = self.pooled()
        counts = self.weights[:, None, None] if self.counts is None else self.counts
        share = counts / counts.sum(axis=0)
        moved: Floats = (share * (self.values - mean) * dose_weights).sum(axis=2)
        return (mean * dose_weights).sum(axis=1), moved

    def covariances(self) -> Floats:
        """Return covariance matrices of the mean curves, robust to clusters: groups × R × R.

        From documents' weighted deviations (Liang & Zeger 1986, Biometrika 73:13), with the factor D/(D − 1).
        """
        counts = self.weights[:, None, None] if self.counts is None else self.counts
        deviations = (counts / counts.sum(axis=0) * (self.values - self.pooled())).transpose(1, 2, 0)
        n = self.n_documents
        covariances: Floats = deviations @ deviations.swapaxes(1, 2) * (n / max(n - 1, 1))
        return covariances

    def of_groups(self, places: Sequence[int]) -> "DocumentCurves":
        """Return the curves of some of the groups."""
        members = list(places)
        counts = None if self.counts is None else self.counts[:, members]
        names = tuple(self.groups[place] for place in members)
        return replace(self, values=self.values[:, members], groups=names, counts=counts)

    def with_mean_of(self, groups: Sequence[Hashable], name: Hashable) -> "DocumentCurves":
        """Return the curves with one more group, the plain mean of some of the groups, put first."""
        if self.counts is not None:
            raise InputError("a mean over layers needs a balanced frame: every document with every layer and dose")
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
        InputError: a column is missing or not finite, or a group has no row at a dose.
    """
    check_columns(frame, (y, x), (cluster, by))
    groups = frame[by] if by else np.zeros(len(frame), np.int8)
    keys = [frame[cluster], groups, frame[x]]
    cells = frame[y].astype(np.float64).groupby(keys, observed=True).agg(["mean", "size"])
    index = cells.index.remove_unused_levels()
    shape = tuple(len(level) for level in index.levels)
    flat = np.ravel_multi_index(tuple(np.asarray(codes) for codes in index.codes), shape)
    values, sizes = np.zeros(shape), np.zeros(shape)
    values.flat[flat], sizes.flat[flat] = cells["mean"].to_numpy(np.float64), cells["size"].to_numpy(np.float64)
    names = tuple(index.levels[1]) if by else ("all",)
    doses = index.levels[2].to_numpy(np.float64)
    prompts = int(frame["prompt_id"].nunique()) if "prompt_id" in frame else None
    if (sizes.sum(axis=0) == 0).any():
        group, dose = np.argwhere(sizes.sum(axis=0) == 0)[0]
        raise InputError(f"the frame has no row of {by} {names[group]!r} at {x} = {doses[dose]:g}")
    # A dose may stand for several rows of a prompt: two rates asked for that mean the same number of neurons.
    least = sizes.min(axis=2, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        per_dose = sizes / least
    if (sizes > 0).all() and (per_dose == per_dose[:1, :1]).all() and (least == least[:, :1]).all():
        return DocumentCurves(doses, per_dose[0, 0], values, least[:, 0, 0], names, prompts=prompts)
    most = sizes.max(axis=(1, 2))
    return DocumentCurves(doses, np.ones(len(doses)), values, most, names, counts=sizes, prompts=prompts)


def check_columns(frame: "pd.DataFrame", numbers: Sequence[str], names: Sequence[str | None]) -> None:
    """Refuse a frame without rows, without one of the columns, or with gaps in them.

    Args:
        frame: any.
        numbers: columns that must hold finite numbers.
        names: columns that name what a row belongs to; None is left out.

    Raises:
        InputError: it is such a frame.
    """
    named = [name for name in names if name is not None]
    for column in (*numbers, *named):
        if column not in frame:
            raise InputError(f"the frame has no column {column!r}; it has {', '.join(map(str, frame.columns))}")
    if frame.empty:
        raise InputError("the frame has no rows")
    for column in numbers:
        if frame[column].dtype.kind not in "fiub" or not np.isfinite(frame[column].to_numpy(np.float64)).all():
            raise InputError(f"column {column!r} holds values that are missing or not finite numbers")
    for column in named:
        if frame[column].isna().any():
            raise InputError(f"column {column!r} holds missing values, so that some rows belong nowhere")


def _without_each(values: Floats) -> Floats:
    """Return the sums over all documents but one: what is before it and after it, so that nothing is subtracted."""
    nothing = np.zeros_like(values[:1])
    before = np.concatenate([nothing, values[:-1].cumsum(axis=0)])
    after = np.concatenate([values[:0:-1].cumsum(axis=0)[::-1], nothing])
    sums: Floats = before + after
    return sums
