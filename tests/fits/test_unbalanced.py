"""Frames in which documents lack rows that others have: fitted by the general path, which must be plain least squares."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from ripplestats.fits.bootstrap import of_resamples
from ripplestats.fits.breakpoint import BreakDesign
from ripplestats.fits.core import core_fraction
from ripplestats.fits.curves import UNBALANCED, document_curves
from ripplestats.fits.saturation import isotonic
from ripplestats.fits.segmented import segmented, two_phase_statistic
from tests.fits.frames import CHECKED, DOSES, estimates, least_squares_of_break, noisy_frame

COLUMNS = {"y": "effect", "x": "rate", "cluster": "document_id"}


def with_holes(seed: int, share: float = 0.2) -> pd.DataFrame:
    """A frame of ten documents, some rows of which are lost; every dose keeps rows."""
    frame = noisy_frame(seed, n_documents=10, sizes=(1, 3))
    kept = np.random.default_rng(seed).random(len(frame)) > share
    return frame[kept | (frame["document_id"] < 4)]


@CHECKED
@given(st.integers(0, 10_000))
def test_the_break_is_that_of_least_squares_on_the_rows(seed: int) -> None:
    frame = with_holes(seed)
    x, y = frame["rate"].to_numpy(), frame["effect"].to_numpy()
    found = estimates(segmented(frame, n_boot=20, **COLUMNS).tidy())
    best = least_squares_of_break(x, y, found["threshold"])
    for at in np.linspace(DOSES[1], DOSES[-2], 400):
        assert best <= least_squares_of_break(x, y, at) + 1e-9
    design = np.column_stack(
        [np.ones_like(x), np.minimum(x, found["threshold"]), np.maximum(x - found["threshold"], 0)]
    )
    expected = np.linalg.lstsq(design, y, rcond=None)[0]
    terms = [found["intercept"] + 0 * x[0], found["slope_below"], found["slope_above"]]
    np.testing.assert_allclose(terms, expected, rtol=1e-7)


@CHECKED
@given(st.integers(0, 10_000), st.lists(st.integers(0, 3), min_size=10, max_size=10).filter(lambda m: sum(m[:4]) > 0))
def test_replicates_repeat_the_rows_of_documents(seed: int, times: list[int]) -> None:
    frame = with_holes(seed)
    curves = document_curves(frame, **COLUMNS)
    repeated = pd.concat(
        [frame[frame["document_id"] == document] for document, time in enumerate(times) for _ in range(time)]
    )
    expected = estimates(segmented(repeated.assign(document_id=0), n_boot=20, **COLUMNS).tidy())
    statistic = two_phase_statistic(curves.x, curves.dose_weights)
    found = of_resamples(curves, statistic, np.array([times], float))[0, 0]
    if np.isfinite(expected["threshold"]):
        np.testing.assert_allclose(found, list(expected.values()), rtol=1e-7)


def test_equal_weights_for_every_curve_are_one_weight() -> None:
    rng = np.random.default_rng(1)
    curves, weights = rng.standard_normal((50, len(DOSES))), rng.uniform(0.5, 2, len(DOSES))
    one = BreakDesign(DOSES, weights).fit(curves)
    each = BreakDesign(DOSES, np.tile(weights, (50, 1))).fit(curves)
    for name in vars(one):
        np.testing.assert_allclose(getattr(each, name), getattr(one, name), rtol=1e-9)


def test_the_isotonic_fit_takes_weights_of_each_curve() -> None:
    rng = np.random.default_rng(2)
    curves, weights = rng.uniform(1, 2, (30, 12)), rng.uniform(0.1, 3, (30, 12))
    expected = [isotonic_regression(row, weights=weight).x for row, weight in zip(curves, weights, strict=True)]
    np.testing.assert_allclose(isotonic(curves, weights), expected, rtol=1e-12)


@pytest.mark.parametrize("interval", ["percentile", "bca", "inversion"])
def test_results_say_that_the_frame_was_not_balanced(interval: str) -> None:
    frame = with_holes(3)
    for result in (
        segmented(frame, n_boot=100, interval=interval, **COLUMNS),
        core_fraction(frame, n_boot=100, interval=interval, **COLUMNS),
    ):
        assert UNBALANCED in result.notes
        assert UNBALANCED in result.summary()
        assert np.isfinite(result.tidy()[["estimate", "std_error", "conf_low", "conf_high"]]).all(axis=None)


@pytest.mark.parametrize("interval", ["percentile", "bca", "inversion", "wald"])
def test_one_lost_row_hardly_moves_a_result(interval: str) -> None:
    frame = noisy_frame(5, n_documents=40)
    whole = segmented(frame, n_boot=200, interval=interval, **COLUMNS).tidy()
    holed = segmented(frame.drop(index=7), n_boot=200, interval=interval, **COLUMNS).tidy()
    names = ["estimate", "conf_low", "conf_high"]
    np.testing.assert_allclose(holed[names], whole[names], rtol=0.02, atol=0.02)


def test_a_balanced_frame_says_nothing() -> None:
    assert UNBALANCED not in segmented(noisy_frame(3), n_boot=20, **COLUMNS).notes
