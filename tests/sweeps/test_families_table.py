"""The committed table of families says what the tests of families test."""

import json

from benchmarks.families import RESULTS, TABLE, table
from tests.families import FAMILIES, RECURRENT
from tests.sweeps.test_families import TOLERANCE

MEASURED = json.loads(RESULTS.read_text(encoding="utf-8"))["families"]


def test_the_measured_families_are_those_of_the_tests_under_the_same_names() -> None:
    known = {**FAMILIES, **RECURRENT}
    assert list(MEASURED) == list(known)
    for name, family in known.items():
        assert MEASURED[name]["row"] == family.row
        assert MEASURED[name]["particular"] == family.particular
        assert MEASURED[name]["engine"] == ("onepass" if name in FAMILIES else "hooks")


def test_the_measured_differences_are_within_what_the_tests_allow() -> None:
    for name in FAMILIES:
        assert 0 < MEASURED[name]["largest_difference"] < TOLERANCE, name
        assert MEASURED[name]["cells"] >= 1000


def test_the_table_is_made_from_the_measurements() -> None:
    assert TABLE.read_text(encoding="utf-8") == table(MEASURED)


def test_a_row_shows_the_largest_difference_of_its_families() -> None:
    one = {"row": "A", "particular": "x, y", "engine": "onepass", "largest_difference": 2e-6}
    more = {**one, "particular": "y, z", "largest_difference": 1e-5}
    other = {"row": "B", "particular": "x", "engine": "hooks", "reason": "differ"}
    lines = table({"a": one, "b": other, "c": more}).splitlines()
    assert lines[2:] == ["| A | one pass | x, y, z | 1e-5 |", "| B | hooks | x | – (hooks are the definition) |"]
