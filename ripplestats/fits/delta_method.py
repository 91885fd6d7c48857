"""Standard errors of the two-phase line by the delta method, robust to clusters of documents."""

import numpy as np

from ripplestats.fits.bootstrap import MINIMUM_DOCUMENTS
from ripplestats.fits.breakpoint import BreakDesign, BreakFit
from ripplestats.fits.curves import DocumentCurves, Floats


def break_standard_errors(curves: DocumentCurves, design: BreakDesign, fit: BreakFit) -> Floats:
    """Return standard errors of break, intercept, slope below and slope above: groups × 4.

    The sandwich of non-linear least squares (White 1982, Econometrica 50:1, with the factor D/(D − 1) over documents):
    each parameter moves by a linear contrast of the mean curve. It takes the break to lie inside an interval of the
    doses and the slopes to differ; near a dose or for a weak break it is too small, and it is given for comparison.
    """
    errors = np.full((len(curves.groups), 4), np.nan)
    if curves.n_documents < MINIMUM_DOCUMENTS:
        return errors
    for i, covariance in enumerate(curves.covariances()):
        contrasts = _parameter_contrasts(design, fit, i)
        errors[i] = np.sqrt(((contrasts @ covariance) * contrasts).sum(axis=1))
    return errors


def _parameter_contrasts(design: BreakDesign, fit: BreakFit, group: int) -> Floats:
    """Return how break, intercept and slopes move with the mean effect at each dose: 4 × R."""
    x, at = design.x, fit.breakpoint[group]
    weights = design.weights if design.weights.ndim == 1 else design.weights[group]
    below, above = fit.slope_below[group], fit.slope_above[group]
    beyond = (x > at).astype(np.float64)
    if design.level_above:
        columns = [np.ones_like(x), np.minimum(x, at), below * beyond]
    else:
        columns = [np.ones_like(x), x, np.maximum(x - at, 0.0), (below - above) * beyond]
    root = np.sqrt(weights)
    inverse = np.linalg.pinv(np.stack(columns, axis=1) * root[:, None]) * root
    if design.level_above:
        return np.stack([inverse[2], inverse[0], inverse[1], np.zeros_like(x)])
    return np.stack([inverse[3], inverse[0], inverse[1], inverse[1] + inverse[2]])
