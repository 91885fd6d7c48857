import math

import pytest

from benchmarks.sweep.comparison import OURS, OURS_ALONE, compare, errors, in_order, largest_difference
from benchmarks.sweep.operations import sweep_operations
from tests.benchmarks.small_results import BRANCHES, SHAPE, measured


def rows():
    return {(row["engine"], row["context"]): row for row in compare(measured(), SHAPE, BRANCHES, 1e6, 8e5)}


def test_ratios_are_to_ours_at_the_default_batch_and_the_same_context():
    found = rows()
    assert found["note", 8]["times_ours"] == pytest.approx(100)
    assert found["note", 512]["times_ours"] == pytest.approx(100)
    assert found[OURS_ALONE, 8]["times_ours"] == pytest.approx(2)
    assert found[OURS, 8]["times_ours"] == 1


def test_outcomes_are_compared_on_the_cells_that_both_engines_ran():
    found = rows()
    assert found[OURS, 8]["largest_difference"] == pytest.approx(1e-4)
    assert found[OURS, 8]["cells_compared"] == 2
    assert math.isnan(largest_difference({"0:1": 1.0}, {"0:2": 1.0}))


def test_an_engine_that_cannot_run_is_told_with_its_reason_and_has_no_row():
    assert errors(measured()) == {"pyvene": "ModuleNotFoundError: No module named 'pyvene'"}
    assert not any(engine == "pyvene" for engine, _ in rows())


def test_without_the_definition_or_ours_the_figures_that_need_them_are_undefined():
    (row,) = compare({"batched_hooks": measured()["note"][:1]}, SHAPE, BRANCHES, 1e6)
    assert math.isnan(row["times_ours"])
    assert math.isnan(row["largest_difference"])


def test_the_share_of_the_peak_takes_the_lower_count_of_operations():
    operations = sweep_operations(SHAPE, 1, 8, BRANCHES)
    row = rows()[OURS, 8]
    assert row["operations_per_prompt"] == operations.total
    assert row["share_of_matrix_peak"] == pytest.approx(operations.total / 0.4 / 1e6)
    assert row["share_of_sustained_rate"] == pytest.approx(operations.total / 0.4 / 8e5)
    fewer = measured()
    fewer[OURS][0]["operations_counted"] = 100
    again = next(one for one in compare(fewer, SHAPE, BRANCHES, 1e6) if (one["engine"], one["context"]) == (OURS, 8))
    assert again["operations_per_prompt"] == 100 + operations.prefix_attention


def test_rows_are_in_order_of_context_and_slowness():
    assert [(row["context"], row["engine"]) for row in in_order(list(rows().values()))] == [
        (8, "note"), (8, OURS_ALONE), (8, OURS), (512, "note"), (512, OURS),
    ]  # fmt: skip
