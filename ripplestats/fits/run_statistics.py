"""One streaming pass over a run's effects → the sufficient statistics of every fit.

For each arm, replacement, site and metric, and each layer and their mean: documents' mean curves and weights, and the
rate × rate cross-products of prompts within and between documents. Memory grows with documents, not with prompts, and
not with either beyond a limit: there, documents are put at random into as many groups, and the groups are resampled.
Documents are independent, so groups of them are; the means stay exact, and only the resampling is a little coarser.
Parts are read and summed on all processors, and added up in their own order: the result does not depend on how many.
"""

import os
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ripplestats.errors import RunError
from ripplestats.fits.blas import one_blas_thread
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
class RunStatistics:
    """By cell: curves of documents by layer, their mean over layers first; and prompts' cross-products in the same layers."""

    curves: dict[Cell, DocumentCurves]
    products: dict[Cell, CrossProducts]


@one_blas_thread
def run_statistics(
    run: "Run",
    metrics: Iterable[str] = METRICS,
    *,
    products: Collection[str] = (),
    most_units: int = MOST_UNITS,
) -> RunStatistics:
    """Read the effects of a run once and return the statistics of its cells.

    Args:
        run: a run with effects.
        metrics: outcome columns; those that were not recorded are left out.
        products: those of the metrics whose cross-products are wanted, too; they take most of the time.
        most_units: with more documents, so many random groups of them are the units that are resampled.

    Raises:
        RunError: there are no effects, or prompts differ in their rows.
    """
    recorded = run.metrics
    metrics = tuple(metric for metric in metrics if metric in recorded)
    parts = read_parts(run)
    if not metrics:
        return RunStatistics({}, {})
    keys = read_keys(run, parts[0])
    layouts = {Cell(*names, metric): layout for names, layout in keys.layouts().items() for metric in metrics}
    sums = _Sums(layouts, prompts_of_documents(parts), products, most_units)
    for part_sums in in_parallel(lambda part: _part_sums(run, part, keys, layouts, products), parts):
        sums.add(part_sums)
    return RunStatistics(sums.curves(), sums.cross_products())


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


def _part_sums(
    run: "Run", part: Part, keys: RowKeys, layouts: Mapping[Cell, CurveLayout], products: Collection[str]
) -> _PartSums:
    outcomes = read_outcomes(run, part, keys, tuple(dict.fromkeys(cell.metric for cell in layouts)))
    order = np.argsort(part.documents, kind="stable")
    documents, counts = np.unique(part.documents, return_counts=True)
    if not (order[1:] > order[:-1]).all():
        outcomes = {metric: rows[order] for metric, rows in outcomes.items()}
    # Curves are linear in the rows: those of a document's sum are the sum of its prompts', and far fewer. The sums as a
    # product: three times as fast as a reduction over groups of rows.
    of_document = np.zeros((len(documents), len(order)))
    of_document[np.repeat(np.arange(len(documents)), counts), np.arange(len(order))] = 1
    sums = {metric: of_document @ rows for metric, rows in outcomes.items()}
    return _PartSums(
        documents,
        counts,
        {cell: layout.curves(sums[cell.metric]) for cell, layout in layouts.items()},
        {
            cell: summed_products(layout.curves(outcomes[cell.metric]))
            for cell, layout in layouts.items()
            if cell.metric in products
        },
    )


class _Sums:
    """Running sums over parts."""

    def __init__(
        self,
        layouts: Mapping[Cell, CurveLayout],
        prompts_of: Mapping[int, int],
        products: Collection[str],
        most_units: int,
    ) -> None:
        self.layouts, self.prompts_of = layouts, prompts_of
        width = sum(len(layout.groups) * len(layout.x) for layout in layouts.values())
        limit = min(most_units, max(_MOST_MEMORY // (8 * width), _FEWEST_UNITS))
        self.unit_of = _units(list(prompts_of), limit)
        self.weights = np.zeros(max(self.unit_of.values()) + 1)
        for document, count in prompts_of.items():
            self.weights[self.unit_of[document]] += count
        shapes = {cell: (len(layout.groups), len(layout.x)) for cell, layout in layouts.items()}
        self.sums = {cell: np.zeros((len(self.weights), *shape)) for cell, shape in shapes.items()}
        self.products = {cell: _ProductSums(shape) for cell, shape in shapes.items() if cell.metric in products}
        self.open: dict[int, tuple[int, dict[Cell, Floats]]] = {}

    def add(self, part: _PartSums) -> None:
        units = np.array([self.unit_of[document] for document in part.documents.tolist()])
        alone = len(np.unique(units)) == len(units)
        for cell, sums in self.sums.items():
            if alone:
                sums[units] += part.curves[cell]
            else:  # several documents of one group, which ``+=`` would count once
                np.add.at(sums, units, part.curves[cell])
        if self.products:
            self._add_products(part)

    def _add_products(self, part: _PartSums) -> None:
        """Add up the products; those of a document's mean when its last prompt has come."""
        for cell, total in part.products.items():
            self.products[cell].total += total
        closed: dict[int, list[int]] = defaultdict(list)
        for place, (document, count) in enumerate(zip(part.documents.tolist(), part.counts.tolist(), strict=True)):
            if self.prompts_of[document] == count:
                closed[count].append(place)
            else:
                self._continue(document, count, {cell: part.curves[cell][place] for cell in self.products})
        for size, places in closed.items():
            for cell, sums in self.products.items():
                sums.close(size, part.curves[cell][places] / size)

    def _continue(self, document: int, count: int, curves: dict[Cell, Floats]) -> None:
        """Go on with a document whose prompts lie in several parts."""
        seen, total = self.open.pop(document, (0, {}))
        total = {cell: total[cell] + own if total else own.copy() for cell, own in curves.items()}
        size = self.prompts_of[document]
        if seen + count < size:
            self.open[document] = (seen + count, total)
            return
        for cell, sums in self.products.items():
            sums.close(size, total[cell][None] / size)

    def curves(self) -> dict[Cell, DocumentCurves]:
        """Divide the sums, in their place, by the numbers of prompts."""
        found = {}
        for cell, layout in self.layouts.items():
            self.sums[cell] /= self.weights[:, None, None]
            found[cell] = DocumentCurves(
                layout.x, layout.counts / layout.counts.min(), self.sums[cell], self.weights, layout.groups,
                prompts=sum(self.prompts_of.values()), documents=len(self.prompts_of),
            )  # fmt: skip
        return found

    def cross_products(self) -> dict[Cell, CrossProducts]:
        return {cell: sums.cross_products() for cell, sums in self.products.items()}


def _units(documents: list[int], limit: int) -> dict[int, int]:
    if len(documents) <= limit:
        return {document: place for place, document in enumerate(sorted(documents))}
    shuffled = np.random.default_rng(_GROUPING_SEED).permutation(sorted(documents)).tolist()
    return {document: place % limit for place, document in enumerate(shuffled)}


class _ProductSums:
    """Cross-products of one cell: of prompts in all, and of documents' means by the number of their prompts."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.total = np.zeros((*shape, shape[1]))
        self.sizes: dict[int, list[Any]] = defaultdict(lambda: [0, np.zeros(shape), np.zeros_like(self.total)])

    def close(self, size: int, means: Floats) -> None:
        entry = self.sizes[size]
        entry[0] += len(means)
        entry[1] += means.sum(axis=0)
        entry[2] += summed_products(means)

    def cross_products(self) -> CrossProducts:
        sizes = sorted(self.sizes)
        between = np.stack([self.sizes[size][2] for size in sizes])
        within = self.total - np.tensordot(np.array(sizes, np.float64), between, axes=1)
        if sizes == [1]:
            within = np.zeros_like(within)  # exactly: a document of one prompt does not differ from its mean
        return CrossProducts(
            within=within,
            sizes=np.array(sizes, np.float64),
            counts=np.array([self.sizes[size][0] for size in sizes], np.float64),
            sums=np.stack([self.sizes[size][1] for size in sizes]),
            between=between,
        )
