"""The examples in the docstrings of the public names give what they say."""

import doctest
import inspect
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ripplestats as rs
from docs.making.blocks import ROOT

EXAMPLES = ROOT / "docs" / "examples"
#: What an example would cost too much, and where it is run instead.
ELSEWHERE = {"analyse": "how-to/own-model.md"}


def documented(name: str) -> list[doctest.DocTest]:
    """The examples of a name, and of a class's methods."""
    found = doctest.DocTestFinder(exclude_empty=True).find(getattr(rs, name), name)
    return [one for one in found if one.examples]


def what_examples_take_for_given() -> dict[str, object]:
    """The simulated data, anew for every example."""
    given: dict[str, object] = {"np": np, "pd": pd, "rs": rs}
    for script in ("simulated_effects", "simulated_frame"):
        exec((EXAMPLES / f"{script}.py").read_text(encoding="utf-8"), given)
    return given


def run(example: doctest.DocTest) -> str:
    """Run an example; what is wrong with it, or nothing."""
    example.globs = what_examples_take_for_given()
    said: list[str] = []
    doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE).run(example, out=said.append)
    return "".join(said)


@pytest.mark.parametrize("name", [name for name in rs.__all__ if name not in ELSEWHERE])
def test_a_public_name_has_an_example_that_is_true(name: str, reader: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(reader)
    examples = documented(name)
    assert examples, f"{name} has no example"
    assert "".join(map(run, examples)) == ""


def test_what_has_no_example_is_on_the_page_named() -> None:
    for name, page in ELSEWHERE.items():
        assert inspect.getdoc(getattr(rs, name)) is not None
        assert f"rs.{name}(" in (ROOT / "docs" / "pages" / page).read_text(encoding="utf-8")


def test_an_example_that_is_not_true_is_found() -> None:
    wrong = doctest.DocTestParser().get_doctest(">>> len(frame)\n7\n", {}, "wrong", None, None)
    assert "Expected:" in run(wrong)
