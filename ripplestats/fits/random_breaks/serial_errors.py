"""Errors that go on from dose to dose and grow with the effect: their precision, and its slopes.

A prompt's errors have covariance σ²·s(x)·s(x′)·ρ^k for doses that are k places apart, with s(x) = exp(γ·m(x)) and m the
mean curve scaled to run from 0 to 1 (nlme's corAR1 and varExp: Pinheiro & Bates 2000, sections 5.2 and 5.3).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ripplestats.fits.curves import Floats

#: How many parameters the covariance has besides σ: Fisher's z of ρ, and γ.
N_SHAPE = 2


@dataclass(frozen=True)
class Precision:
    """The inverse of a covariance over σ² (R × R), the covariance's log-determinant, and slopes of both (K, …)."""

    matrix: Floats
    log_determinant: float
    slopes: Floats
    log_determinant_slopes: Floats


def error_shape(shape: Floats, ranks: NDArray[np.intp], growth: Floats) -> Floats:
    """Return the covariance over σ² at doses with these ``ranks`` among all and this mean curve (0 … 1)."""
    scale = np.exp(shape[1] * growth)
    lags = np.abs(ranks[:, None] - ranks)
    covariance: Floats = np.outer(scale, scale) * np.tanh(shape[0]) ** lags
    return covariance


def precision(shape: Floats, ranks: NDArray[np.intp], growth: Floats) -> Precision:
    """Return the precision of errors and its slopes in (Fisher's z of ρ, γ).

    It is tridiagonal, for errors go on from one dose to the next (a Markov chain with correlations r = ρ^gap).
    """
    gaps, correlation = np.diff(ranks), float(np.tanh(shape[0]))
    onward = correlation**gaps
    # 1 − ρ² as 1/cosh² and 1 − r² as its multiple: where ρ rounds to one neither is zero yet.
    unexplained = np.cosh(shape[0]) ** -2
    left = unexplained * np.cumsum(correlation ** (2 * np.arange(gaps.max(initial=1))))[gaps - 1]
    turned = gaps * correlation ** (gaps - 1) * unexplained
    scale = np.exp(-shape[1] * growth)
    scales = np.outer(scale, scale)
    matrix = scales * _tridiagonal(1.0, onward**2 / left, -onward / left)
    in_correlation = _tridiagonal(0.0, 2 * onward / left**2 * turned, -(1 + onward**2) / left**2 * turned)
    return Precision(
        matrix,
        float(np.log(left).sum() + 2 * shape[1] * growth.sum()),
        np.stack([scales * in_correlation, -(growth[:, None] + growth) * matrix]),
        np.array([-2 * (onward / left * turned).sum(), 2 * growth.sum()]),
    )


def _tridiagonal(alone: float, beside: Floats, off: Floats) -> Floats:
    """Return the matrix with ``off`` beside the diagonal, which is ``alone`` plus what each neighbour adds."""
    size = len(off) + 1
    found = np.zeros((size, size))
    entries = found.reshape(-1)
    entries[:: size + 1] = alone
    entries[:: size + 1][1:] += beside
    entries[:: size + 1][:-1] += beside
    entries[1 :: size + 1] = entries[size :: size + 1] = off
    return found
