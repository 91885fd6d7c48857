"""The table of agreement with R: every difference measured is within what is asked for, and the table can tell a difference."""

import re

import numpy as np
import pytest

from tests.reference import parity as table_of_agreement
from tests.reference.ours import FOLDER
from tests.reference.parity import COMPARISONS, PACKAGES, R_VERSION, RANKS, RELATIVE, WORSE, Comparison, parity


@pytest.mark.parametrize(
    "place",
    range(len(COMPARISONS)),
    ids=["-".join((ours, function, what)) for ours, _, function, what, *_ in COMPARISONS],
)
def test_a_difference_is_within_its_tolerance(place: int) -> None:
    line = parity()[place]
    assert line.numbers > 0
    assert 0 <= line.difference <= line.tolerance


def test_every_reference_is_in_the_table() -> None:
    scripts = {path.stem for path in FOLDER.glob("*.R")}
    read = (FOLDER / "parity.py").read_text(encoding="utf-8")
    assert [script for script in scripts if not re.search(rf'table\("{script}\w*"\)', read)] == []
    assert {line.package for line in parity()} == set(PACKAGES)


def test_the_versions_are_those_of_the_folder_s_description() -> None:
    text = " ".join((FOLDER / "README.md").read_text(encoding="utf-8").split())
    assert f"R {R_VERSION}" in text
    for package, version in PACKAGES.items():
        assert package == "stats" or f"{package} {version}" in text, package


def test_differences_are_said_with_their_measure() -> None:
    line = Comparison("ours", "p", "f", "numbers", RELATIVE, 1e-9, 2, 0.0)
    assert (line.said(2.4e-10), line.said(0.0)) == ("2 × 10⁻¹⁰ relative", "none relative")
    assert Comparison("ours", "p", "f", "numbers", RANKS, 1.01, 2, 0.0).said(1.01) == "1.01 ranks"


def test_a_difference_is_seen() -> None:
    def pairs():
        yield np.array([1.0, 2.0]), np.array([1.0, 2.5])

    line = table_of_agreement._measured("ours", "p", "f", "numbers", RELATIVE, 0.1, pairs)
    assert (line.numbers, line.difference) == (2, pytest.approx(0.2))
    assert table_of_agreement._measured("ours", "p", "f", "numbers", WORSE, 0.1, pairs).difference == 0
    with pytest.raises(ValueError, match="undefined"):
        table_of_agreement._measured("ours", "p", "f", "n", RELATIVE, 0.1, lambda: iter([(np.nan, 1.0)]))
