"""One streaming pass over a run's effects → the sufficient statistics of every fit.

For each arm, replacement, site and metric, and each layer and their mean: documents' mean curves and weights, and the
rate × rate cross-products of prompts within and between documents. Memory grows with documents, not with prompts, and
not with either beyond a limit: there, documents are put at random into as many groups, and the groups are resampled.
Documents are independent, so groups of them are; the means stay exact, and only the resampling is a little coarser.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ripplestats.errors import RunError
from ripplestats.fits.curves import DocumentCurves, Floats
from ripplestats.fits.products import CrossProducts

if TYPE_CHECKING:
    import pandas as pd

    from ripplestats.store.run_directory import Run

METRICS = ("delta_logprob", "delta_logit", "kl", "top1_changed")
#: The layer name of the mean over all blocks but the first.
ALL_LAYERS = "all"
#: With more documents than this, random groups of them are resampled.
MOST_UNITS = 4096
#: And with fewer where the documents' curves of all cells would need more memory than this, bytes.
_MOST_MEMORY = 2**29
_FEWEST_UNITS = 256
_KEYS = ["arm", "replacement", "site", "layer", "rate"]
_GROUPING_SEED = 20240229


class Cell(NamedTuple):
    """What a dose–response curve is of, beside its layer."""

    arm: str
    replacement: str
    site: str
    metric: str


@dataclass(frozen=True)
class CellStatistics:
    """Curves of documents by layer, their mean over layers first, and prompts' cross-products in the same layers."""

    curves: DocumentCurves
    products: CrossProducts


class _Place(NamedTuple):
    """Where the rows of a prompt go: layers, doses, rows averaged into each dose, and row numbers (layers × rates)."""

    layers: tuple[int, ...]
    x: Floats
    counts: Floats
    numbers: NDArray[np.intp]


def _places(keys: "pd.DataFrame") -> dict[tuple[str, str, str], _Place]:
    found = {}
    for (arm, replacement, site), rows in keys.groupby(_KEYS[:3], observed=True, sort=False):
        layers = tuple(int(layer) for layer in np.unique(rows["layer"]))
        numbers = rows.sort_values(["layer", "effective_rate", "rate"]).index.to_numpy().reshape(len(layers), -1)
        doses = keys["effective_rate"].to_numpy()[numbers]
        if not (doses == doses[:1]).all():
            raise RunError("the effects are damaged: layers differ in their rates")
        x, counts = np.unique(doses[0], return_counts=True)
        found[str(arm), str(replacement), str(site)] = _Place(layers, x, counts.astype(np.float64), numbers)
    return found


def run_statistics(
    run: "Run", metrics: Iterable[str] = METRICS, *, most_units: int = MOST_UNITS
) -> dict[Cell, CellStatistics]:
    """Read the effects of a run once and return the statistics of each of its cells.

    Args:
        run: a run with effects.
        metrics: outcome columns.
        most_units: with more documents, so many random groups of them are the units that are resampled.

    Raises:
        RunError: there are no effects, or prompts differ in their rows.
    """
    metrics = tuple(metrics)
    prompts_of = _prompts_of_documents(run)
    tables = ([*_KEYS, "effective_rate"], ["prompt_id", "document_id", *metrics])
    sums: _Sums | None = None
    for number in range(len(run.parts())):
        frame = run.part(number, [*tables[0], *tables[1]])
        n_prompts = frame["prompt_id"].nunique()
        if len(frame) % n_prompts:
            raise RunError(f"{run.parts()[number]}: its prompts differ in their number of rows")
        frame = _in_order(frame, n_prompts)
        if sums is None:
            keys = frame.iloc[: len(frame) // n_prompts][tables[0]].reset_index(drop=True)
            sums = _Sums(_places(keys), metrics, prompts_of, most_units)
        _check_rows(frame, keys, run.parts()[number])
        ids = frame["document_id"].to_numpy().reshape(n_prompts, -1)[:, 0]
        values = {name: frame[name].to_numpy(np.float64).reshape(n_prompts, -1) for name in metrics}
        sums.add(ids, values)
    if sums is None:
        raise RunError(f"{run.path} holds no effects yet")
    return sums.finished()


def _prompts_of_documents(run: "Run") -> Mapping[int, int]:
    counted: Counter[int] = Counter()
    for number in range(len(run.parts())):
        ids = run.part(number, ["prompt_id", "document_id"]).drop_duplicates()
        counted.update(ids["document_id"].tolist())
    return counted


def _in_order(frame: "pd.DataFrame", n_prompts: int) -> "pd.DataFrame":
    """Return the rows prompt by prompt, each prompt's in one order; a sweep writes them so."""
    ids = frame["prompt_id"].to_numpy().reshape(n_prompts, -1)
    return frame if (ids == ids[:, :1]).all() else frame.sort_values(["prompt_id", *_KEYS], ignore_index=True)


def _check_rows(frame: "pd.DataFrame", keys: "pd.DataFrame", where: object) -> None:
    for name in keys:
        column, first = frame[name], keys[name]
        if name in _KEYS[:3]:
            column, first = column.cat.set_categories(first.cat.categories).cat.codes, first.cat.codes
        if not (column.to_numpy().reshape(-1, len(keys)) == first.to_numpy()).all():
            raise RunError(f"{where}: its prompts differ in {name}, so that the run is not balanced")


class _Sums:
    """Running sums over prompts; documents are closed when their last prompt has come."""

    def __init__(
        self,
        places: Mapping[tuple[str, str, str], _Place],
        metrics: tuple[str, ...],
        prompts_of: Mapping[int, int],
        most_units: int,
    ) -> None:
        self.metrics, self.prompts_of = metrics, prompts_of
        width = sum(place.numbers.size for place in places.values())
        room = _MOST_MEMORY // (8 * width * len(metrics))
        limit = min(most_units, max(int(room), _FEWEST_UNITS))
        self.unit_of = _units(list(prompts_of), limit)
        self.weights = np.zeros(max(self.unit_of.values()) + 1)
        for document, count in prompts_of.items():
            self.weights[self.unit_of[document]] += count
        self.cells = {
            Cell(arm, replacement, site, metric): _CellSums(place, len(self.weights))
            for (arm, replacement, site), place in places.items()
            for metric in metrics
        }
        self.open: dict[int, tuple[int, dict[str, Floats]]] = {}

    def add(self, documents: Any, values: Mapping[str, Floats]) -> None:
        units = np.array([self.unit_of[document] for document in documents.tolist()])
        for cell, sums in self.cells.items():
            sums.add(units, sums.shaped(values[cell.metric]))
        closed: dict[int, list[dict[str, Floats]]] = defaultdict(list)
        for place, document in enumerate(documents.tolist()):
            row = {name: value[place] for name, value in values.items()}
            seen, total = self.open.pop(document, (0, None))
            total = row if total is None else {name: total[name] + value for name, value in row.items()}
            if seen + 1 == self.prompts_of[document]:
                closed[seen + 1].append(total)
            else:
                self.open[document] = (seen + 1, total)
        for size, totals in closed.items():
            means = {name: np.stack([total[name] for total in totals]) / size for name in self.metrics}
            for cell, sums in self.cells.items():
                sums.close(size, sums.shaped(means[cell.metric]))

    def finished(self) -> dict[Cell, CellStatistics]:
        return {
            cell: sums.statistics(self.weights, sum(self.prompts_of.values()), len(self.prompts_of))
            for cell, sums in self.cells.items()
        }


def _units(documents: list[int], limit: int) -> dict[int, int]:
    if len(documents) <= limit:
        return {document: place for place, document in enumerate(sorted(documents))}
    shuffled = np.random.default_rng(_GROUPING_SEED).permutation(sorted(documents)).tolist()
    return {document: place % limit for place, document in enumerate(shuffled)}


def _products(curves: Floats) -> Floats:
    by_group = curves.transpose(1, 2, 0)
    products: Floats = by_group @ by_group.transpose(0, 2, 1)
    return products


class _CellSums:
    """Sums of one cell: curves by unit, and cross-products in all."""

    def __init__(self, place: _Place, n_units: int) -> None:
        self.x, self.counts, self.numbers = place.x, place.counts, place.numbers
        self.later = [number for number, layer in enumerate(place.layers) if layer != 0]
        self.groups: tuple[str | int, ...] = (ALL_LAYERS, *place.layers) if self.later else place.layers
        self.starts = np.concatenate([[0], place.counts.cumsum()[:-1]]).astype(int)
        shape = (len(self.groups), len(place.x))
        self.sums = np.zeros((n_units, *shape))
        self.total = np.zeros((shape[0], shape[1], shape[1]))
        self.sizes: dict[int, list[Any]] = defaultdict(lambda: [0, np.zeros(shape), np.zeros_like(self.total)])

    def shaped(self, rows: Floats) -> Floats:
        """Return prompts' rows as curves: prompts × groups × distinct doses, the mean over later layers first."""
        curves = np.add.reduceat(rows[:, self.numbers], self.starts, axis=2) / self.counts
        if not self.later:
            return curves
        return np.concatenate([curves[:, self.later].mean(axis=1, keepdims=True), curves], axis=1)

    def add(self, units: Any, curves: Floats) -> None:
        np.add.at(self.sums, units, curves)
        self.total += _products(curves)

    def close(self, size: int, means: Floats) -> None:
        entry = self.sizes[size]
        entry[0] += len(means)
        entry[1] += means.sum(axis=0)
        entry[2] += _products(means)

    def statistics(self, weights: Floats, prompts: int, documents: int) -> CellStatistics:
        sizes = sorted(self.sizes)
        between = np.stack([self.sizes[size][2] for size in sizes])
        within = self.total - np.tensordot(np.array(sizes, np.float64), between, axes=1)
        if sizes == [1]:
            within = np.zeros_like(within)  # exactly: a document of one prompt does not differ from its mean
        products = CrossProducts(
            within=within,
            sizes=np.array(sizes, np.float64),
            counts=np.array([self.sizes[size][0] for size in sizes], np.float64),
            sums=np.stack([self.sizes[size][1] for size in sizes]),
            between=between,
        )
        curves = DocumentCurves(
            self.x, self.counts / self.counts.min(), self.sums / weights[:, None, None], weights, self.groups,
            prompts=prompts, documents=documents,
        )  # fmt: skip
        return CellStatistics(curves, products)
