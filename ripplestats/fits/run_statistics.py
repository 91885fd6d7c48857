"""One streaming pass over a run's effects → the sufficient statistics of every fit.

For each arm, replacement, site and metric, and each layer and their mean: documents' mean curves and weights, and the
rate × rate cross-products of prompts within and between documents. Memory grows with documents, not with prompts, and
not with either beyond a limit: there, documents are put at random into as many groups, and the groups are resampled.
Documents are independent, so groups of them are; the means stay exact, and only the resampling is a little coarser.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ripplestats.errors import RunError
from ripplestats.fits.curve_layout import LAYOUT_COLUMNS, Cell, CurveLayout, by_prompt, check_rows, curve_layouts
from ripplestats.fits.curves import DocumentCurves, Floats
from ripplestats.fits.products import CrossProducts

if TYPE_CHECKING:
    from ripplestats.store.run_directory import Run

METRICS = ("delta_logprob", "delta_logit", "kl", "top1_changed")
#: With more documents than this, random groups of them are resampled.
MOST_UNITS = 4096
#: And with fewer where the documents' curves of all cells would need more memory than this, bytes.
_MOST_MEMORY = 2**29
_FEWEST_UNITS = 256
_GROUPING_SEED = 20240229


@dataclass(frozen=True)
class CellStatistics:
    """Curves of documents by layer, their mean over layers first, and prompts' cross-products in the same layers."""

    curves: DocumentCurves
    products: CrossProducts


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
    prompts_of = prompts_of_documents(run)
    sums: _Sums | None = None
    for number, part in enumerate(run.parts()):
        frame, n_prompts = by_prompt(run.part(number, [*LAYOUT_COLUMNS, "prompt_id", "document_id", *metrics]), part)
        if sums is None:
            keys = frame.iloc[: len(frame) // n_prompts][LAYOUT_COLUMNS].reset_index(drop=True)
            sums = _Sums(curve_layouts(keys), metrics, prompts_of, most_units)
        check_rows(frame, keys, part)
        ids = frame["document_id"].to_numpy().reshape(n_prompts, -1)[:, 0]
        sums.add(ids, {name: frame[name].to_numpy(np.float64).reshape(n_prompts, -1) for name in metrics})
    if sums is None:
        raise RunError(f"{run.path} holds no effects yet")
    return sums.finished()


def prompts_of_documents(run: "Run") -> Mapping[int, int]:
    """Return how many prompts each document of a run has."""
    counted: Counter[int] = Counter()
    for number in range(len(run.parts())):
        ids = run.part(number, ["prompt_id", "document_id"]).drop_duplicates()
        counted.update(ids["document_id"].tolist())
    return counted


class _Sums:
    """Running sums over prompts; documents are closed when their last prompt has come."""

    def __init__(
        self,
        layouts: Mapping[tuple[str, str, str], CurveLayout],
        metrics: tuple[str, ...],
        prompts_of: Mapping[int, int],
        most_units: int,
    ) -> None:
        self.metrics, self.prompts_of = metrics, prompts_of
        width = sum(layout.numbers.size for layout in layouts.values())
        room = _MOST_MEMORY // (8 * width * len(metrics))
        limit = min(most_units, max(int(room), _FEWEST_UNITS))
        self.unit_of = _units(list(prompts_of), limit)
        self.weights = np.zeros(max(self.unit_of.values()) + 1)
        for document, count in prompts_of.items():
            self.weights[self.unit_of[document]] += count
        self.cells = {
            Cell(arm, replacement, site, metric): _CellSums(layout, len(self.weights))
            for (arm, replacement, site), layout in layouts.items()
            for metric in metrics
        }
        self.open: dict[int, tuple[int, dict[str, Floats]]] = {}

    def add(self, documents: Any, values: Mapping[str, Floats]) -> None:
        units = np.array([self.unit_of[document] for document in documents.tolist()])
        for cell, sums in self.cells.items():
            sums.add(units, sums.layout.curves(values[cell.metric]))
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
                sums.close(size, sums.layout.curves(means[cell.metric]))

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

    def __init__(self, layout: CurveLayout, n_units: int) -> None:
        self.layout = layout
        shape = (len(layout.groups), len(layout.x))
        self.sums = np.zeros((n_units, *shape))
        self.total = np.zeros((shape[0], shape[1], shape[1]))
        self.sizes: dict[int, list[Any]] = defaultdict(lambda: [0, np.zeros(shape), np.zeros_like(self.total)])

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
            self.layout.x, self.layout.counts / self.layout.counts.min(), self.sums / weights[:, None, None], weights,
            self.layout.groups, prompts=prompts, documents=documents,
        )  # fmt: skip
        return CellStatistics(curves, products)
