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
    """Return the precision of errors and its slopes in (Fisher's z of ρ, γ)."""
    covariance = error_shape(shape, ranks, growth)
    inverse = np.asarray(np.linalg.inv(covariance), np.float64)
    lags, correlation = np.abs(ranks[:, None] - ranks), np.tanh(shape[0])
    scale = np.exp(shape[1] * growth)
    before = np.where(lags > 0, correlation ** np.maximum(lags - 1, 0), 0.0)
    turned = np.stack(
        [
            np.outer(scale, scale) * lags * before * (1 - correlation**2),
            (growth[:, None] + growth) * covariance,
        ]
    )
    return Precision(
        inverse,
        float(np.linalg.slogdet(covariance)[1]),
        -inverse @ turned @ inverse,
        np.einsum("ab,kab->k", inverse, turned),
    )
