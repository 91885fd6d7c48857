"""Frames with gaps: what is missing is so by plan, and intervals hold the truth."""

import numpy as np
import pytest

from tests.calibration.simulate import Scenario, doses, truths
from tests.calibration.unbalanced import MISSING, frame_with_gaps, truths_with_gaps, unbalanced_coverage


def test_cells_are_missing_at_random_and_every_other_prompt_has_half_the_doses() -> None:
    frame = frame_with_gaps(Scenario("clear", 200, 0.05), np.random.default_rng(0))
    there = frame["dose"].value_counts().reindex(doses()).to_numpy() / 500
    assert there[::2] == pytest.approx(1 - MISSING, abs=0.08)
    assert there[1::2] == pytest.approx((1 - MISSING) / 2, abs=0.08)


def test_the_threshold_estimated_is_that_of_doses_that_count_as_often_as_they_are_there() -> None:
    scenario = Scenario("clear", 30, 0.05)
    whole, gaps = truths(scenario), truths_with_gaps(scenario)
    assert gaps["threshold"] != whole["threshold"]
    assert gaps["threshold"] == pytest.approx(whole["threshold"], rel=0.05)
    assert gaps["core_fraction_0.5"] == whole["core_fraction_0.5"]


def test_intervals_of_frames_with_gaps_hold_the_truth() -> None:
    rows = unbalanced_coverage(Scenario("clear", 30, 0.05), 40).set_index("quantity")
    # With 40 data sets and coverage 95 % five misses or more have a chance of 5 %, seven of 0.3 %.
    assert rows["coverage"].min() >= 1 - 6 / 40
    assert rows["undefined"].max() == 0
