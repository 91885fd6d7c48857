"""Variance between documents and between their prompts, and what follows from it for means over both."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import MINIMUM_DOCUMENTS
from ripplestats.fits.curves import Floats

_NODES = 256


@dataclass(frozen=True)
class VarianceComponents:
    """Mean of a quantity over documents, and its standard deviations between documents and between their prompts.

    ``separable`` tells whether a pilot could tell the two apart: it had documents of several prompts.
    """

    effect: float
    document: float
    prompt: float
    separable: bool = True

    def words(self) -> str:
        """Return the two standard deviations in words; an estimate on the boundary is said."""
        boundary = " No spread of documents beyond that of their prompts was found: zero is the boundary, not a proof."
        text = f"Standard deviation {self.document:.3g} between documents and {self.prompt:.3g} between their prompts."
        return text + boundary * (self.document == 0)

    def std_error(self, n_documents: int, per_document: int) -> float:
        """Return the standard error of the mean over n documents of m prompts each."""
        return float(np.sqrt((self.document**2 + self.prompt**2 / per_document) / n_documents))

    def half_width(self, n_documents: int, per_document: int, conf_level: float) -> float:
        """Return the half-width of the t interval of the mean."""
        return float(stats.t.isf((1 - conf_level) / 2, n_documents - 1)) * self.std_error(n_documents, per_document)

    def power_above(self, n_documents: int, per_document: int, limit: float, alpha: float) -> float:
        """Return the power of the one-sided t test that the mean lies above ``limit``."""
        df = n_documents - 1
        away = (self.effect - limit) / self.std_error(n_documents, per_document)
        power = float(stats.nct.sf(stats.t.isf(alpha, df), df, away))
        # The series of the noncentral t gives out far from zero, where the answer is plain.
        return power if np.isfinite(power) else float(away > 0)

    def power_within(self, n_documents: int, per_document: int, margin: float, alpha: float) -> float:
        """Return the power of the two one-sided t tests that the mean lies within ± ``margin``.

        Exact, by integrating over the standard deviation (Phillips 1990, J. Pharmacokinet. Biopharm. 18:137).
        """
        df, error = n_documents - 1, self.std_error(n_documents, per_document)
        critical = float(stats.t.isf(alpha, df))
        low, high = np.sqrt(stats.chi2.ppf([1e-14, 1 - 1e-14], df) / df)
        high = min(float(high), margin / (error * critical))
        if high <= low:
            return 0.0
        nodes, weights = np.polynomial.legendre.leggauss(_NODES)
        ratio = low + (high - low) * (nodes + 1) / 2
        density = stats.chi2.pdf(df * ratio**2, df) * 2 * df * ratio
        upper = stats.norm.cdf((margin - self.effect) / error - critical * ratio)
        lower = stats.norm.cdf((-margin - self.effect) / error + critical * ratio)
        return float(np.clip((high - low) / 2 * weights @ (density * (upper - lower)), 0, 1))


def variance_components(values: Floats, documents: NDArray[Any]) -> VarianceComponents:
    """Estimate the components of one value a prompt by the one-way analysis of variance (Searle et al. 1992, ch. 3).

    With one prompt a document all variance counts as the documents'.

    Raises:
        InputError: there are fewer than four documents, or no spread.
    """
    names, codes, sizes = np.unique(documents, return_inverse=True, return_counts=True)
    if len(names) < MINIMUM_DOCUMENTS:
        raise InputError(
            f"a pilot of {len(names)} documents says nothing of their spread; {MINIMUM_DOCUMENTS} are needed"
        )
    between, within, typical = mean_squares(values[:, None], codes, sizes)
    document = max(float(between[0] - within[0]) / typical, 0.0)
    if float(between[0] + within[0]) <= 0:
        raise InputError("the pilot's prompts do not differ at all, so there is nothing to plan from")
    means = np.bincount(codes, values) / sizes
    separable = len(values) > len(names)
    return VarianceComponents(float(means.mean()), document**0.5, float(within[0]) ** 0.5, separable)


def mean_squares(values: Floats, codes: NDArray[np.intp], sizes: NDArray[np.intp]) -> tuple[Floats, Floats, float]:
    """Return mean squares between and within documents of each column, and the typical number of prompts."""
    means = document_means(values, codes, sizes)
    n, n_documents = len(values), len(sizes)
    within = ((values - means[codes]) ** 2).sum(axis=0) / max(n - n_documents, 1)
    between = (sizes[:, None] * (means - values.mean(axis=0)) ** 2).sum(axis=0) / (n_documents - 1)
    return between, within, float((n - (sizes**2).sum() / n) / (n_documents - 1))


def document_means(values: Floats, codes: NDArray[np.intp], sizes: NDArray[np.intp]) -> Floats:
    """Return the mean of each document's rows."""
    sums = np.zeros((len(sizes), values.shape[1]))
    np.add.at(sums, codes, values)
    means: Floats = sums / sizes[:, None]
    return means
