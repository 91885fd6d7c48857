"""Intervals by inverting t tests: the contrasts are what they say, and the sets behave."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ripplestats.fits.bootstrap import bootstrap, resample_documents
from ripplestats.fits.breakpoint import BreakDesign
from ripplestats.fits.core import core_statistic
from ripplestats.fits.curves import DocumentCurves, document_curves
from ripplestats.fits.inversion import _run, _trial_breaks, break_interval, core_interval
from ripplestats.fits.saturation import plateau_weights
from tests.fits.frames import CHECKED, DOSES, document_twice, noisy_frame, two_phase

COLUMNS = {"y": "effect", "x": "rate", "cluster": "document_id"}
SHARES = np.array([0.5, 0.8])


def curves_of(seed: int, n: int = 20) -> DocumentCurves:
    return document_curves(noisy_frame(seed, n_documents=n, sizes=(1, 2)), **COLUMNS)


def limits(curves: DocumentCurves, level: float = 0.95) -> tuple[float, float]:
    low, high = break_interval(curves, BreakDesign(curves.x, curves.dose_weights), level)
    return low[0], high[0]


@pytest.mark.parametrize("level_above", [False, True])
def test_a_contrast_is_the_slope_of_the_residual_sum_of_squares(level_above: bool) -> None:
    rng = np.random.default_rng(1)
    weights = rng.uniform(0.5, 2, len(DOSES))
    curve = two_phase(DOSES, 0.1, 20, 0.3, 0.04) + 0.1 * rng.standard_normal(len(DOSES))
    design = BreakDesign(DOSES, weights, level_above)
    trials, _, contrasts = _trial_breaks(design)
    contrasts = contrasts.reshape(*trials.shape, -1)
    step = 1e-6

    def fitted(at: float) -> tuple[float, float]:
        """The residual sum of squares and the coefficient of the bent column of the line bent there."""
        hinge = np.minimum(DOSES, at) if level_above else np.maximum(DOSES - at, 0)
        base = [np.ones_like(DOSES), hinge] if level_above else [np.ones_like(DOSES), DOSES, hinge]
        root = np.sqrt(weights)
        columns = np.stack(base, axis=1) * root[:, None]
        coefficients = np.linalg.lstsq(columns, curve * root, rcond=None)[0]
        return float(((curve * root - columns @ coefficients) ** 2).sum()), float(coefficients[-1])

    for at, contrast in zip(trials[:, 10], contrasts[:, 10], strict=True):
        (below, _), (_, change), (above, _) = (fitted(one) for one in (at - step, at, at + step))
        # The level line's bent column rises with the break where the hinge falls.
        slope = (-2 if level_above else 2) * change * (contrast @ curve)
        assert (above - below) / (2 * step) == pytest.approx(slope, rel=1e-4, abs=1e-6)


@CHECKED
@given(st.integers(0, 10_000))
def test_intervals_hold_the_estimate_and_grow_with_the_level(seed: int) -> None:
    curves = curves_of(seed)
    at = BreakDesign(curves.x, curves.dose_weights).fit(curves.pooled()).breakpoint[0]
    (low, high), (lower, higher) = limits(curves, 0.8), limits(curves, 0.99)
    assert lower <= low <= at <= high <= higher
    plateau = plateau_weights(curves.x)
    assert plateau is not None
    estimate = core_statistic(curves, plateau, SHARES)(curves.pooled())[:, 1:]
    inner, outer = (core_interval(curves, estimate, plateau, SHARES, level) for level in (0.8, 0.99))
    assert (outer[0] <= inner[0]).all()
    assert (inner[0] <= estimate).all()
    assert (estimate <= inner[1]).all()
    assert (inner[1] <= outer[1]).all()


def test_the_core_interval_is_where_the_t_test_does_not_reject() -> None:
    curves = curves_of(4)
    plateau = plateau_weights(curves.x)
    assert plateau is not None
    share = np.array([0.5])
    estimate = core_statistic(curves, plateau, share)(curves.pooled())[:, 1:]
    limit = core_interval(curves, estimate, plateau, share)[1][0, 0]
    at = np.array([np.interp(limit, np.append(0, curves.x), np.append(0, unit)) for unit in np.eye(len(curves.x))])
    contrast, moved = curves.influences(at - 0.5 * plateau)
    n = curves.n_documents
    t = contrast[0] / np.sqrt((moved**2).sum() * n / (n - 1))
    # Between trial doses t is taken for a line.
    assert t == pytest.approx(stats.t.isf(0.025, n - 1), rel=1e-2)


def test_it_agrees_with_the_bootstrap_where_both_are_good() -> None:
    curves = curves_of(7, n=200)
    design = BreakDesign(curves.x, curves.dose_weights)
    resamples = resample_documents(200, 2000, np.random.default_rng(0))
    found = bootstrap(curves, lambda rows: design.fit(rows).breakpoint, resamples)
    width = found.percentile[1][0] - found.percentile[0][0]
    np.testing.assert_allclose(limits(curves), [found.percentile[0][0], found.percentile[1][0]], atol=0.15 * width)


def test_scale_and_shift_of_the_effect_do_not_matter_and_the_dose_scales() -> None:
    frame = noisy_frame(3, n_documents=15)
    expected = np.array(limits(document_curves(frame, **COLUMNS)))
    changed = document_curves(frame.assign(effect=5 - 3 * frame["effect"]), **COLUMNS)
    np.testing.assert_allclose(limits(changed), expected, rtol=1e-9)
    wider = document_curves(frame.assign(rate=100 * frame["rate"]), **COLUMNS)
    np.testing.assert_allclose(limits(wider), 100 * expected, rtol=1e-9)


def test_every_document_twice_narrows_the_interval() -> None:
    frame = noisy_frame(3, n_documents=15)
    low, high = limits(document_curves(frame, **COLUMNS))
    twice_low, twice_high = limits(document_curves(document_twice(frame), **COLUMNS))
    assert low <= twice_low
    assert twice_high <= high
    assert twice_high - twice_low < high - low


def test_three_documents_have_no_interval() -> None:
    curves = curves_of(1, n=3)
    assert np.isnan(limits(curves)).all()
    plateau = plateau_weights(curves.x)
    assert plateau is not None
    assert np.isnan(core_interval(curves, np.full((1, 2), 0.02), plateau, SHARES)).all()


@pytest.mark.parametrize(("near", "first", "last"), [(1, 4, 5), (2, 2, 5), (4, 2, 9)])
def test_accepted_doses_that_are_near_each_other_are_one_run(near: int, first: int, last: int) -> None:
    t = np.array([9.0, 9.0, 0.0, 9.0, 0.0, 0.0, 9.0, 9.0, 9.0, 0.0])
    low, high = _run(np.arange(10.0), t, 2.0, 4.0, near)
    assert first - 1 < low <= first
    assert last <= high < last + 1
