"""A pilot run as a population: studies of any size are drawn from it and fitted as the real one will be."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import MINIMUM_DOCUMENTS
from ripplestats.fits.breakpoint import MINIMUM_DOSES, BreakDesign
from ripplestats.fits.core import core_statistic
from ripplestats.fits.curves import DocumentCurves, Floats, document_curves
from ripplestats.fits.planning.variance_components import document_means, mean_squares
from ripplestats.fits.saturation import plateau_weights

if TYPE_CHECKING:
    import pandas as pd

#: A quantity of a study of n documents with m prompts each, and its Monte-Carlo standard error.
Achieved = Callable[[int, int], tuple[float, float]]

#: Samples are split in so many batches for the Monte-Carlo error of a quantile.
_BATCHES = 10
#: More undefined estimates than this leave the half-width undefined.
_MOST_UNDEFINED = 0.05


@dataclass(frozen=True)
class Pilot:
    """Dose–response curves of prompts (prompts × R) and the number of each one's document, from 0.

    ``notes`` say what of the frame is not in it.

    Studies are drawn from it by resampling documents, and prompts within them, after their deviations have been scaled so
    that their spread is that of the variance components (the residual bootstrap of Carpenter, Goldstein & Rasbash 2003,
    Appl. Stat. 52:431, with one scale for all doses): plain resampling at two levels would count the prompts' spread
    twice.
    """

    x: Floats
    dose_weights: Floats
    curves: Floats
    documents: NDArray[np.intp]
    notes: tuple[str, ...] = ()

    @cached_property
    def _sizes(self) -> NDArray[np.intp]:
        return np.bincount(self.documents)

    @property
    def n_documents(self) -> int:
        """Number of documents."""
        return len(self._sizes)

    @property
    def mean(self) -> Floats:
        """Mean curve over documents (R)."""
        return self._parts[0]

    @property
    def separable(self) -> bool:
        """Whether some document has several prompts."""
        return len(self.curves) > self.n_documents

    @cached_property
    def _parts(self) -> tuple[Floats, Floats, Floats]:
        """Return the mean curve (R), scaled deviations of documents (D × R) and of their prompts (prompts × R)."""
        means = document_means(self.curves, self.documents, self._sizes)
        mean = means.mean(axis=0)
        between, within, typical = mean_squares(self.curves, self.documents, self._sizes)
        document = max(float((between - within).sum()) / typical, 0.0)
        seen = float(((means - mean) ** 2).mean(axis=0).sum())
        left = self.curves - means[self.documents]
        left_seen = float((left**2).mean(axis=0).sum())
        scales = [
            np.sqrt(wanted / spread) if spread > 0 else 0.0
            for wanted, spread in ((document, seen), (float(within.sum()), left_seen))
        ]
        return mean, scales[0] * (means - mean), scales[1] * left

    def means(self, n_documents: int, per_document: int, n_samples: int, rng: np.random.Generator) -> Floats:
        """Draw mean curves of studies: samples × R."""
        mean, documents, prompts = self._parts
        counts = rng.multinomial(n_documents, np.full(self.n_documents, 1 / self.n_documents), size=n_samples)
        found = mean + counts @ documents / n_documents
        if self.separable:
            often = [rng.multinomial(counts[:, i] * per_document, np.full(m, 1 / m)) for i, m in enumerate(self._sizes)]
            order = np.argsort(self.documents, kind="stable")
            found = found + np.concatenate(often, axis=1) @ prompts[order] / (n_documents * per_document)
        return found

    def resampled(self, rng: np.random.Generator) -> "Pilot":
        """Return the pilot with its documents drawn anew: what another pilot like it might have shown."""
        order, starts = np.argsort(self.documents, kind="stable"), self._sizes.cumsum() - self._sizes
        chosen = rng.integers(self.n_documents, size=self.n_documents)
        rows = np.concatenate([order[starts[i] : starts[i] + self._sizes[i]] for i in chosen])
        return replace(self, curves=self.curves[rows], documents=np.repeat(np.arange(len(chosen)), self._sizes[chosen]))

    def study(self, n_documents: int, per_document: int, rng: np.random.Generator) -> DocumentCurves:
        """Draw the documents' curves of one study, one group named ``all``."""
        mean, documents, prompts = self._parts
        chosen = rng.integers(self.n_documents, size=n_documents)
        values = mean + documents[chosen]
        if self.separable:
            order, starts = np.argsort(self.documents, kind="stable"), self._sizes.cumsum() - self._sizes
            for _ in range(per_document):
                values = values + prompts[order[starts[chosen] + rng.integers(self._sizes[chosen])]] / per_document
        weights = np.full(n_documents, float(per_document))
        return DocumentCurves(self.x, self.dose_weights, values[:, None], weights, ("all",))


def pilot_of(frame: "pd.DataFrame", *, y: str, x: str, cluster: str, prompt: str = "prompt_id") -> Pilot:
    """Return the curves of a frame's prompts; rows of several layers are averaged.

    Where the frame is not balanced, the prompts with every dose (in every layer) are the pilot, for a study is planned in
    which every prompt has them; a note of the pilot counts the others.

    Raises:
        InputError: a column is missing, or prompts with every dose are from fewer than four documents.
    """
    return pilots_of([frame], y=y, x=x, cluster=cluster, prompt=prompt)[0]


def pilots_of(
    frames: "Sequence[pd.DataFrame]", *, y: str, x: str, cluster: str, prompt: str = "prompt_id"
) -> list[Pilot]:
    """Return the pilots of frames that are to be compared: of the same prompts, those with every dose in each frame.

    Raises:
        InputError: as for ``pilot_of``, or the frames differ in their doses.
    """
    for frame in frames:
        if cluster not in frame:
            raise InputError(f"the frame has no column {cluster!r}; it has {', '.join(map(str, frame.columns))}")
    every = [document_curves(frame, y=y, x=x, cluster=prompt) for frame in frames]
    if any(not np.array_equal(curves.x, every[0].x) for curves in every):
        raise InputError("the pilot's arms or blocks differ in their doses")
    documents = [frame.groupby(prompt, observed=True)[cluster].first().sort_index() for frame in frames]
    whole = [_whole_prompts(curves) for curves in every]
    kept = reduce(
        lambda one, other: one.intersection(other), [d.index[w] for d, w in zip(documents, whole, strict=True)]
    )
    lacking = len(reduce(lambda one, other: one.union(other), [one.index for one in documents])) - len(kept)
    names, codes = np.unique(documents[0][kept].to_numpy(), return_inverse=True)
    if len(names) < MINIMUM_DOCUMENTS:
        of = f" whose prompts have every dose ({lacking} of {lacking + len(kept)} prompts do not)" if lacking else ""
        raise InputError(f"a pilot of {len(names)} documents{of} is too small; {MINIMUM_DOCUMENTS} are needed")
    notes = (f"Of the pilot {lacking} of {lacking + len(kept)} prompts that lack doses are left out.",) * bool(lacking)
    return [
        Pilot(curves.x, _dose_weights(curves), curves.values[one.index.isin(kept), 0], codes, notes)
        for curves, one in zip(every, documents, strict=True)
    ]


def _whole_prompts(curves: DocumentCurves) -> NDArray[np.bool_]:
    """Return which prompts have every dose as often as the others."""
    if curves.counts is None:
        return np.ones(curves.n_documents, bool)
    # In a frame of several layers a prompt may lack a dose in some of them: then it has fewer rows there than most.
    counts, weights = curves.counts[:, 0], _dose_weights(curves)
    whole: NDArray[np.bool_] = (counts * weights.sum() == counts.sum(axis=1, keepdims=True) * weights).all(axis=1)
    return whole


def _dose_weights(curves: DocumentCurves) -> Floats:
    """Return what the doses weigh among prompts that have all of them: the most rows that a prompt has of each."""
    if curves.counts is None:
        return curves.dose_weights
    most: Floats = curves.counts[:, 0].max(axis=0)
    return most


def estimator(pilot: Pilot, quantity: str, share: float) -> Callable[[Floats], Floats]:
    """Return the function that takes mean curves to thresholds, plateaus or core fractions.

    Raises:
        InputError: the quantity is not known, or the pilot's doses do not give it.
    """
    plateau = plateau_weights(pilot.x)
    if quantity == "threshold" and len(pilot.x) >= MINIMUM_DOSES:
        design = BreakDesign(pilot.x, pilot.dose_weights)
        return lambda rows: design.fit(rows).breakpoint
    if quantity in ("plateau", "core_fraction") and plateau is not None:
        if quantity == "plateau":
            return lambda rows: rows @ plateau
        if not 0 < share < 1:
            raise InputError(f"share={share} is not allowed; it lies between 0 and 1")
        one_group = DocumentCurves(
            pilot.x, pilot.dose_weights, pilot.curves[:, None], np.ones(len(pilot.curves)), ("all",)
        )
        statistic = core_statistic(one_group, plateau, np.array([share]))
        return lambda rows: statistic(rows)[:, 1]
    if quantity in ("threshold", "plateau", "core_fraction"):
        raise InputError(f"the doses of the pilot do not give a {quantity}")
    raise InputError(f"quantity={quantity!r} is not known; allowed: threshold, plateau, core_fraction")


def simulated_half_width(
    pilot: Pilot, statistic: Callable[[Floats], Floats], conf_level: float, n_samples: int, seed: int
) -> Achieved:
    """Return the function that simulates the half-width of the expanded percentile interval of a study.

    The interval of a study of n documents spans, in expectation, the quantiles Φ(±t) of the sampling distribution, with
    n − 1 degrees of freedom (Hesterberg 2015).
    """

    def achieved(n_documents: int, per_document: int) -> tuple[float, float]:
        rng = np.random.default_rng([seed, n_documents, per_document])
        values = statistic(pilot.means(n_documents, per_document, n_samples, rng))
        if np.isnan(values).mean() > _MOST_UNDEFINED:
            return np.nan, np.nan
        tail = float(stats.norm.sf(stats.t.isf((1 - conf_level) / 2, n_documents - 1)))
        halves = [_half_spread(part, tail) for part in np.array_split(values, _BATCHES)]
        return _half_spread(values, tail), float(np.std(halves, ddof=1) / np.sqrt(_BATCHES))

    return achieved


def _half_spread(values: Floats, tail: float) -> float:
    low, high = np.quantile(values[np.isfinite(values)], [tail, 1 - tail])
    return float(high - low) / 2
