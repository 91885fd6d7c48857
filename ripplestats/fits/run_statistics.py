"""One streaming pass over a run's effects → the sufficient statistics of every fit.

For each arm, replacement, site and metric, and each layer and their mean: documents' mean curves and weights, and the
rate × rate cross-products of prompts within and between documents. Memory grows with documents, not with prompts, and
not with either beyond a limit: there, documents are put at random into as many groups, and the groups are resampled.
Documents are independent, so groups of them are; the means stay exact, and only the resampling is a little coarser.
Parts are read and summed on all processors, and added up in their own order: the result does not depend on how many.
"""

import os
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ripplestats.errors import RunError
from ripplestats.fits.curve_layout import Cell, CurveLayout
from ripplestats.fits.curves import DocumentCurves, Floats
from ripplestats.fits.part_rows import Integers, Part, RowKeys, read_index, read_keys, read_outcomes
from ripplestats.fits.products import CrossProducts, summed_products

if TYPE_CHECKING:
    from ripplestats.store.run_directory import Run

METRICS = ("delta_logprob", "delta_logit", "kl", "top1_changed")
#: With more documents than this, random groups of them are resampled.
MOST_UNITS = 4096
#: And with fewer where the documents' curves of all cells would need more memory than this, bytes.
_MOST_MEMORY = 2**29
_FEWEST_UNITS = 256
_GROUPING_SEED = 20240229
#: Each part that is worked on at once needs memory.
_MOST_THREADS = 4
Task = TypeVar("Task")
Done = TypeVar("Done")


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
        metrics: outcome columns; those that were not recorded are left out.
        most_units: with more documents, so many random groups of them are the units that are resampled.

    Raises:
        RunError: there are no effects, or prompts differ in their rows.
    """
    recorded = run.metrics
    metrics = tuple(metric for metric in metrics if metric in recorded)
    parts = read_parts(run)
    if not metrics:
        return {}
    keys = read_keys(run, parts[0])
    layouts = {Cell(*names, metric): layout for names, layout in keys.layouts().items() for metric in metrics}
    sums = _Sums(layouts, prompts_of_documents(parts), most_units)
    for part_sums in in_parallel(lambda part: _part_sums(run, part, keys, layouts), parts):
        sums.add(part_sums)
    return sums.finished()


def read_parts(run: "Run") -> list[Part]:
    """Return which prompts each part of a run has.

    Raises:
        RunError: there are no effects, or one part is damaged.
    """
    parts = list(in_parallel(lambda file: read_index(run, file), run.parts()))
    if not parts:
        raise RunError(f"{run.path} holds no effects yet")
    return parts


def prompts_of_documents(parts: Iterable[Part]) -> dict[int, int]:
    """Return how many prompts each document has."""
    counted: Counter[int] = Counter()
    for part in parts:
        counted.update(part.documents.tolist())
    return dict(counted)


def in_parallel(work: Callable[[Task], Done], tasks: Sequence[Task]) -> Iterator[Done]:
    """Yield the results of tasks in their order; a few are under way at once, on all processors."""
    threads = min(os.cpu_count() or 1, _MOST_THREADS, len(tasks))
    if threads < 2:
        yield from map(work, tasks)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Done]] = deque()
        for task in tasks:
            waiting.append(pool.submit(work, task))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@dataclass(frozen=True)
class _PartSums:
    """Sums of a part: its documents and prompts of each; by cell, curves (documents × …) and cross-products in all."""

    documents: Integers
    counts: Integers
    curves: Mapping[Cell, Floats]
    products: Mapping[Cell, Floats]


def _part_sums(run: "Run", part: Part, keys: RowKeys, layouts: Mapping[Cell, CurveLayout]) -> _PartSums:
    outcomes = read_outcomes(run, part, keys, tuple(dict.fromkeys(cell.metric for cell in layouts)))
    order = np.argsort(part.documents, kind="stable")
    documents, starts, counts = np.unique(part.documents[order], return_index=True, return_counts=True)
    sorted_already = bool((order[1:] > order[:-1]).all())
    curves, products = {}, {}
    for cell, layout in layouts.items():
        own = layout.curves(outcomes[cell.metric] if sorted_already else outcomes[cell.metric][order])
        curves[cell] = np.add.reduceat(own, starts, axis=0)
        products[cell] = summed_products(own)
    return _PartSums(documents, counts, curves, products)


class _Sums:
    """Running sums over parts; documents are closed when their last prompt has come."""

    def __init__(self, layouts: Mapping[Cell, CurveLayout], prompts_of: Mapping[int, int], most_units: int) -> None:
        self.prompts_of = prompts_of
        width = sum(len(layout.groups) * len(layout.x) for layout in layouts.values())
        limit = min(most_units, max(_MOST_MEMORY // (8 * width), _FEWEST_UNITS))
        self.unit_of = _units(list(prompts_of), limit)
        self.weights = np.zeros(max(self.unit_of.values()) + 1)
        for document, count in prompts_of.items():
            self.weights[self.unit_of[document]] += count
        self.cells = {cell: _CellSums(layout, len(self.weights)) for cell, layout in layouts.items()}
        self.open: dict[int, tuple[int, dict[Cell, Floats]]] = {}

    def add(self, part: _PartSums) -> None:
        documents = part.documents.tolist()
        units = np.array([self.unit_of[document] for document in documents])
        counts = part.counts.tolist()
        whole = [self.prompts_of[one] == count for one, count in zip(documents, counts, strict=True)]
        for cell, sums in self.cells.items():
            sums.add(units, part.curves[cell], part.products[cell])
        closed: dict[int, list[int]] = defaultdict(list)
        for place, count in enumerate(counts):
            if whole[place]:
                closed[count].append(place)
            else:
                self._continue(documents[place], count, {cell: part.curves[cell][place] for cell in self.cells})
        for size, places in closed.items():
            for cell, sums in self.cells.items():
                sums.close(size, part.curves[cell][places] / size)

    def _continue(self, document: int, count: int, curves: dict[Cell, Floats]) -> None:
        """Go on with a document whose prompts lie in several parts."""
        seen, total = self.open.pop(document, (0, {}))
        total = {cell: total[cell] + own if total else own.copy() for cell, own in curves.items()}
        size = self.prompts_of[document]
        if seen + count < size:
            self.open[document] = (seen + count, total)
            return
        for cell, sums in self.cells.items():
            sums.close(size, total[cell][None] / size)

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


class _CellSums:
    """Sums of one cell: curves by unit, and cross-products in all."""

    def __init__(self, layout: CurveLayout, n_units: int) -> None:
        self.layout = layout
        shape = (len(layout.groups), len(layout.x))
        self.sums = np.zeros((n_units, *shape))
        self.total = np.zeros((shape[0], shape[1], shape[1]))
        self.sizes: dict[int, list[Any]] = defaultdict(lambda: [0, np.zeros(shape), np.zeros_like(self.total)])

    def add(self, units: Integers, curves: Floats, products: Floats) -> None:
        if len(np.unique(units)) == len(units):
            self.sums[units] += curves
        else:  # several documents of one group, which ``+=`` would count once
            np.add.at(self.sums, units, curves)
        self.total += products

    def close(self, size: int, means: Floats) -> None:
        entry = self.sizes[size]
        entry[0] += len(means)
        entry[1] += means.sum(axis=0)
        entry[2] += summed_products(means)

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
        self.sums /= weights[:, None, None]
        curves = DocumentCurves(
            self.layout.x, self.layout.counts / self.layout.counts.min(), self.sums, weights,
            self.layout.groups, prompts=prompts, documents=documents,
        )  # fmt: skip
        return CellStatistics(curves, products)
