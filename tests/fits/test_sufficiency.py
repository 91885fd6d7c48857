"""The core fraction kept, of falling curves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import isotonic_regression

from ripplestats.fits.curves import DocumentCurves
from ripplestats.fits.sufficiency import SUFFICIENCY_TERMS, sufficiency_notes, sufficiency_statistic
from tests.fits.frames import CHECKED, DOSES

SHARES = np.array([0.5, 0.8, 0.9])
CURVES = arrays(np.float64, len(DOSES), elements=st.floats(-1, 3, width=32))


def estimates(rows: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    weights = np.ones(len(DOSES)) if weights is None else weights
    curves = DocumentCurves(DOSES, weights, rows[None], np.ones(1), tuple(range(len(rows))))
    return sufficiency_statistic(curves, SHARES)(rows)


def test_a_falling_line_is_read_off_where_it_has_fallen_far_enough() -> None:
    # From 2 nats at the smallest share in a line to nothing at 10 %.
    curve = 2 * np.clip((0.1 - DOSES) / (0.1 - DOSES[0]), 0, None)
    found = estimates(curve[None])[0]
    assert found[0] == pytest.approx(2)
    np.testing.assert_allclose(found[1:], DOSES[0] + SHARES * (0.1 - DOSES[0]))
    assert len(SUFFICIENCY_TERMS) == 2


@CHECKED
@given(curve=CURVES, scale=st.floats(0.1, 10))
def test_it_reads_the_antitonic_fit_and_scales_with_the_effect(curve: np.ndarray, scale: float) -> None:
    fitted = isotonic_regression(curve, increasing=False).x
    loss, *kept = estimates(curve[None])[0]
    assert loss == pytest.approx(fitted[0], abs=1e-6)
    scaled = estimates(scale * curve[None])[0]
    np.testing.assert_allclose(scaled[0], scale * loss, atol=1e-6)
    for share, one in zip(SHARES, kept, strict=True):
        left = (1 - share) * loss
        if loss < 1e-3 or np.abs(fitted - left).min() < 1e-4:
            continue  # at a kink rounding decides
        reached = fitted <= left
        assert np.isnan(one) == (not reached.any())
        if reached.any():
            assert np.interp(one, DOSES, fitted) == pytest.approx(left, abs=1e-5)
            assert one <= DOSES[reached.argmax()] + 1e-9


@CHECKED
@given(curve=CURVES)
def test_more_is_won_back_with_more_neurons(curve: np.ndarray) -> None:
    kept = estimates(curve[None])[0, 1:]
    defined = kept[~np.isnan(kept)]
    assert (np.diff(defined) >= 0).all()


def test_what_is_undefined_says_why() -> None:
    gain = -np.ones(len(DOSES))
    never = np.linspace(1, 0.4, len(DOSES))
    found = estimates(np.stack([gain, never]))
    assert np.isnan(found[0, 1:]).all()
    assert np.isfinite(found[1]).tolist() == [True, True, False, False]
    notes = sufficiency_notes(found)
    assert notes[0][0] == ""
    assert "nothing is lost" in notes[0][1]
    assert notes[1][:2] == ["", ""]
    assert "not reached" in notes[1][3]


def test_weights_of_doses_enter_the_fit() -> None:
    curve = np.linspace(1, 0, len(DOSES))
    curve[1] = 1.5
    weights = np.ones(len(DOSES))
    weights[0] = 3
    assert estimates(curve[None], weights)[0, 0] == pytest.approx((3 * 1 + 1.5) / 4)
