"""The sup-F test, and the equivalence test on frames."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import flip_signs
from ripplestats.fits.curves import DocumentCurves
from ripplestats.hypotheses.breaks import break_test, sup_f
from ripplestats.hypotheses.equivalence import equivalence
from tests.fits.frames import DOSES
from tests.fits.frames import frame_of as frame_of_prompts

X = np.array([0.002, 0.01, 0.02, 0.03, 0.045, 0.06, 0.1, 0.2, 0.5, 0.9])


def simulated(rng: np.random.Generator, n: int, slope_change: float, break_at: float = 0.05) -> DocumentCurves:
    level = rng.standard_t(5, (n, 1)) * 0.1
    noise = rng.standard_t(5, (n, len(X))) * 0.03
    values = level + 0.1 * X + slope_change * np.minimum(X, break_at) + noise
    return DocumentCurves(X, np.ones(len(X)), values[:, None], np.ones(n), ("all",))


def frame_of(curves: DocumentCurves) -> pd.DataFrame:
    documents, doses = np.meshgrid(np.arange(curves.n_documents), X, indexing="ij")
    columns = {"y": curves.values[:, 0].ravel(), "x": doses.ravel(), "document": documents.ravel()}
    return pd.DataFrame(columns)


def p_value_of(curves: DocumentCurves, n_flips: int, rng: np.random.Generator) -> float:
    return float(sup_f(curves, flip_signs(curves.n_documents, n_flips, rng)).p_value[0])


def test_the_size_of_the_break_test_is_its_level() -> None:
    rng = np.random.default_rng(0)
    p_values = np.array([p_value_of(simulated(rng, 60, 0.0), 199, rng) for _ in range(400)])
    # 400 studies: Monte-Carlo error 1.1 points.
    assert 0.02 < (p_values <= 0.05).mean() < 0.085


def test_a_clear_break_is_found() -> None:
    curves = simulated(np.random.default_rng(1), 60, 6.0)
    found = break_test(frame_of(curves), y="y", x="x", cluster="document", n_boot=499).tidy()
    assert found["p_value"].iloc[0] == pytest.approx(1 / 500)
    assert found["estimate"].iloc[0] == pytest.approx(0.05, abs=0.01)


def test_the_same_seed_gives_the_same_p_value() -> None:
    frame = frame_of(simulated(np.random.default_rng(2), 30, 0.3))
    results = [break_test(frame, y="y", x="x", cluster="document", n_boot=200, seed=4).tidy() for _ in range(2)]
    pd.testing.assert_frame_equal(*results)


def test_too_few_doses_are_refused() -> None:
    frame = frame_of(simulated(np.random.default_rng(3), 30, 0.0))
    with pytest.raises(InputError, match="5 doses"):
        break_test(frame[frame["x"] < 0.03], y="y", x="x", cluster="document")


def test_equal_effects_are_equivalent_and_large_differences_are_not() -> None:
    curves = simulated(np.random.default_rng(4), 200, 0.0)
    frame = frame_of(curves)
    options = {"y": "y", "x": "x", "cluster": "document", "at": (0.1, 0.9)}
    row = equivalence(frame, **options, margin=0.2).tidy().iloc[0]
    assert (row["note"], row["term"]) == ("supported", "difference")
    assert row["p_value"] < 0.001
    assert row["estimate"] == pytest.approx((curves.values[:, 0, 9] - curves.values[:, 0, 6]).mean())
    assert equivalence(frame, **options, margin=0.01).tidy()["note"].iloc[0] == "refuted"


def test_a_dose_that_was_not_run_is_refused() -> None:
    frame = frame_of(simulated(np.random.default_rng(5), 30, 0.0))
    with pytest.raises(InputError, match="none within a tenth"):
        equivalence(frame, y="y", x="x", cluster="document", at=(0.1, 0.7))
    with pytest.raises(InputError, match="margin"):
        equivalence(frame, y="y", x="x", cluster="document", margin=0)


def test_a_straight_line_without_noise_has_no_break() -> None:
    curves = simulated(np.random.default_rng(6), 20, 0.0)
    line = DocumentCurves(X, np.ones(len(X)), np.tile(0.3 + 0.1 * X, (20, 1, 1)), np.ones(20), ("all",))
    assert p_value_of(line, 99, np.random.default_rng(0)) == 1
    assert p_value_of(curves, 99, np.random.default_rng(0)) > 0.01


def test_an_unbalanced_frame_is_tested_and_says_so() -> None:
    frame = frame_of(simulated(np.random.default_rng(7), 40, 6.0)).drop(index=[0, 17, 105])
    found = break_test(frame, y="y", x="x", cluster="document", n_boot=99)
    assert found.tidy()["p_value"].iloc[0] == pytest.approx(1 / 100)
    assert "not balanced" in found.notes[-1]


def test_the_p_value_is_the_share_of_sign_patterns_whose_own_test_is_as_large() -> None:
    curves = simulated(np.random.default_rng(8), 6, 1.0)
    signs = np.array(list(product([-1.0, 1.0], repeat=6)))
    found = sup_f(curves, signs)
    # F knows no straight lines, so that whole curves may be turned in place of their departures.
    one_by_one = [
        sup_f(replace(curves, values=one[:, None, None] * curves.values), signs).statistic[0] for one in signs
    ]
    assert found.replicates[:, 0] == pytest.approx(one_by_one)
    assert found.p_value[0] == pytest.approx((1 + sum(one >= found.statistic[0] for one in one_by_one)) / 65)
    # The data, and all documents turned, tie; the data count once more.
    assert found.replicates[[0, -1], 0] == pytest.approx(found.statistic[0])
    assert found.p_value[0] >= 3 / 65


def test_a_dose_of_one_document_is_a_dose_of_every_replicate() -> None:
    frame = frame_of(simulated(np.random.default_rng(8), 30, 0.0))
    rare = frame[(frame["x"] < 0.9) | (frame["document"] == 0)]
    row = break_test(rare, y="y", x="x", cluster="document", n_boot=199).tidy().iloc[0]
    assert np.isfinite(row["statistic"])
    assert row["p_value"] > 0.05


def test_a_level_and_a_slope_of_each_document_change_nothing() -> None:
    rng = np.random.default_rng(10)
    curves, signs = simulated(rng, 20, 0.5), flip_signs(20, 199, rng)
    lines = rng.standard_exponential((20, 1, 1)) + rng.standard_exponential((20, 1, 1)) * X
    moved = sup_f(replace(curves, values=curves.values + lines), signs)
    np.testing.assert_allclose(moved.replicates, sup_f(curves, signs).replicates, rtol=1e-8)


def test_equivalence_keeps_its_seed_and_its_interval_its_decision() -> None:
    frame = frame_of(simulated(np.random.default_rng(9), 30, 0.0))
    options = {"y": "y", "x": "x", "cluster": "document", "n_boot": 199}
    for margin in (0.06, 0.08, 0.1, 0.12):
        row = equivalence(frame, **options, margin=margin, seed=1).tidy().iloc[0]
        assert (row["note"] == "supported") == (row["p_value"] <= 0.05)
    pd.testing.assert_frame_equal(*(equivalence(frame, **options, seed=2).tidy() for _ in range(2)))
    with pytest.raises(InputError, match="seed=-1"):
        equivalence(frame, **options, seed=-1)


@pytest.mark.parametrize(("curve", "why"), [(0 * DOSES + 1, "flat"), (2 * DOSES, "straight line")])
def test_a_curve_without_spread_about_a_line_has_neither_break_nor_test(curve: np.ndarray, why: str) -> None:
    row = break_test(
        frame_of_prompts(np.tile(curve, (6, 1)), DOSES), y="effect", x="rate", cluster="document_id", n_boot=50
    )
    row = row.tidy().iloc[0]
    assert row[["estimate", "statistic", "p_value"]].isna().all()
    assert why in row["note"]
