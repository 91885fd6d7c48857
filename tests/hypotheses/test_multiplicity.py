"""Step-down adjustment: its bounds, its symmetries, and the chance of any false rejection."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ripplestats.errors import InputError
from ripplestats.fits.contrasts import contrast
from ripplestats.hypotheses.multiplicity import UNDEFINED, adjusted_p_values, max_t_step_down, min_p_step_down
from tests.fits.frames import CHECKED

SAMPLES, HYPOTHESES = 39, 5
#: Few distinct values, so that ties are common.
VALUES = st.integers(-3, 3).map(float)
STATISTICS = arrays(np.float64, HYPOTHESES, elements=VALUES)
REPLICATES = arrays(np.float64, (SAMPLES, HYPOTHESES), elements=VALUES)
STEP_DOWN = pytest.mark.parametrize("step_down", [max_t_step_down, min_p_step_down])


@STEP_DOWN
@CHECKED
@given(statistics=STATISTICS, replicates=REPLICATES)
def test_adjusted_lies_between_raw_and_single_step(step_down, statistics: np.ndarray, replicates: np.ndarray) -> None:
    found = step_down(statistics, replicates)
    raw = (1 + (replicates >= statistics).sum(axis=0)) / (1 + SAMPLES)
    np.testing.assert_allclose(found.p_value, raw)
    assert (found.p_adjusted >= found.p_value).all()
    assert (found.p_adjusted <= 1).all()
    if step_down is max_t_step_down:
        single = (1 + (replicates.max(axis=1)[:, None] >= statistics).sum(axis=0)) / (1 + SAMPLES)
        assert (found.p_adjusted <= single).all()
        order = np.argsort(-statistics, kind="stable")
        assert (np.diff(found.p_adjusted[order]) >= 0).all()


@STEP_DOWN
@CHECKED
@given(statistics=STATISTICS, replicates=REPLICATES, order=st.permutations(range(HYPOTHESES)))
def test_the_order_of_hypotheses_does_not_matter(
    step_down, statistics: np.ndarray, replicates: np.ndarray, order: list[int]
) -> None:
    found = step_down(statistics, replicates).p_adjusted
    np.testing.assert_array_equal(step_down(statistics[order], replicates[:, order]).p_adjusted, found[order])


@CHECKED
@given(statistics=STATISTICS, replicates=REPLICATES, scale=arrays(np.float64, HYPOTHESES, elements=st.floats(0.1, 10)))
def test_min_p_does_not_depend_on_the_scale_of_a_statistic(
    statistics: np.ndarray, replicates: np.ndarray, scale: np.ndarray
) -> None:
    found = min_p_step_down(statistics, replicates).p_adjusted
    np.testing.assert_array_equal(min_p_step_down(statistics * scale, replicates * scale).p_adjusted, found)


@STEP_DOWN
def test_an_undefined_hypothesis_is_left_out_with_its_reason(step_down) -> None:
    rng = np.random.default_rng(0)
    statistics, replicates = np.array([3.0, np.nan, 0.5]), rng.standard_normal((99, 3))
    replicates[:, 1] += 100
    found = step_down(statistics, replicates)
    assert found.notes == ("", UNDEFINED, "")
    assert np.isnan(found.p_adjusted).tolist() == [False, True, False]
    alone = step_down(statistics[[0, 2]], replicates[:, [0, 2]])
    np.testing.assert_array_equal(found.p_adjusted[[0, 2]], alone.p_adjusted)


@STEP_DOWN
def test_an_undefined_replicate_counts_as_larger(step_down) -> None:
    replicates = np.random.default_rng(1).standard_normal((99, 2))
    replicates[:10, 0] = np.nan
    assert step_down(np.array([50.0, 0.0]), replicates).p_value[0] == pytest.approx(11 / 100)


def test_one_hypothesis_needs_no_adjustment() -> None:
    found = max_t_step_down(np.array([1.0]), np.random.default_rng(2).standard_normal((99, 1)))
    assert found.p_adjusted == found.p_value


def test_shapes_that_do_not_fit_are_refused() -> None:
    for shape in ((9, 2), (9,), (0, 3)):
        with pytest.raises(InputError, match="do not fit"):
            max_t_step_down(np.zeros(3), np.zeros(shape))
    with pytest.raises(InputError, match="holm, bh"):
        adjusted_p_values(np.array([0.1]), "bonferroni")


def test_holm_leaves_out_what_is_undefined() -> None:
    found = adjusted_p_values(np.array([0.01, np.nan, 0.04]), "holm")
    np.testing.assert_allclose(found, [0.02, np.nan, 0.04])
    assert np.isnan(adjusted_p_values(np.array([np.nan]), "bh")).all()


def test_any_false_rejection_is_as_rare_as_the_level_while_some_nulls_are_false() -> None:
    rng = np.random.default_rng(3)
    true_nulls, n_documents, studies = 4, 40, 500
    false_rejections = detections = 0
    for _ in range(studies):
        shared = rng.standard_normal((n_documents, 1))
        values = 0.7 * shared + rng.standard_normal((n_documents, 6)) + np.array([0, 0, 0, 0, 0.7, 3.0])
        counts = rng.multinomial(n_documents, np.full(n_documents, 1 / n_documents), size=199).astype(np.float64)
        found = contrast(values, np.ones(n_documents), tuple(range(6)), counts)
        assert found.replicates is not None
        rejected = max_t_step_down(found.greater_than(0.0)[0], found.replicates).p_adjusted <= 0.05
        false_rejections += rejected[:true_nulls].any()
        detections += rejected[-1]
    # Binomial error of 5 % in 500 studies is 1 point; three of them.
    assert 0.02 < false_rejections / studies < 0.08
    assert detections == studies
