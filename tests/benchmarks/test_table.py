from benchmarks.sweep.table import columns, results_table
from tests.benchmarks.small_results import results


def test_the_table_has_a_line_for_each_engine_and_context_and_says_what_did_not_run():
    text = results_table(results())
    lines = [line.split() for line in text.splitlines()]
    assert ["8", "the", "note's", "loop", "40", "100", "0.0e+00", "30", "2", "of", "6"] in lines
    assert any(line[:5] == ["512", "ours", "0.9", "1", "0.0e+00"] for line in lines)
    assert "pyvene did not run: ModuleNotFoundError: No module named 'pyvene'" in text
    assert "1.10 × (shortest + one plain pass)" in text
    assert "8: 0.500, 16: 0.500" in text
    assert (
        "2 sweeps between matrix products, at 32 tokens: 66% (60% to 72%) of the better peak before or after, "
        "100% (100% to 100%) of what products keep up"
    ) in text
    assert "highest memory of ours, weights, libraries and loading included: 2.00 GB" in text


def test_what_was_not_measured_is_said():
    text = results_table({**results(), "scaling": "out of memory", "start": "no model", "between_products": "no time"})
    assert "not measured: out of memory" in text
    assert "not measured: no model" in text
    assert "not measured: no time" in text


def test_numbers_stand_under_each_other_to_the_right_and_names_to_the_left():
    assert columns([("n", "name", "s"), ("512", "a", "10")]) == "  n  name   s\n512  a     10"
