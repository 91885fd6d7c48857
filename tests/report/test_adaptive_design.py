"""What was decided on the way is said in the summary, and so is a rule that was not met."""

from typing import Any

import pytest

from ripplestats.report.adaptive_design import adaptive_design

RATES = {
    "rates": ["1/100", "1/20", "1/10"],
    "added": [0.05],
    "reason": "",
    "pilot": {"n_prompts": 16, "n_documents": 15},
}


def manifest(done: int = 50, **entries: Any) -> dict[str, Any]:
    return {"options": {}, "completeness": {"complete": True, "prompts_done": done, "prompts": 80}, **entries}


def stopping(*widths: float | None, reached: bool) -> dict[str, Any]:
    looks = [{"prompts": 10 * n, "documents": 9 * n, "width": width} for n, width in enumerate(widths, 3)]
    return {"until_width": 0.025, "first_look": 32, "reached": reached, "looks": looks}


def test_an_ordinary_run_says_nothing() -> None:
    assert adaptive_design(manifest()) == adaptive_design({"completeness": {}}) == []


def test_rates_of_a_pilot_are_said_with_its_size() -> None:
    (line,) = adaptive_design(manifest(options={"staged_rates": RATES}))
    assert line == (
        "Rates: 2 set beforehand and 1 (5 %) put where its mean curve bends, by a pilot of 16 prompts from 15 documents "
        "that are not among those above."
    )
    (line,) = adaptive_design(manifest(options={"staged_rates": {**RATES, "reason": "the curve falls"}}))
    assert "1 (5 %) spread evenly, for the curve falls, by a pilot" in line


def test_a_rule_that_was_met_is_said_with_looks_and_widths() -> None:
    (line,) = adaptive_design(manifest(stopping=stopping(0.5, 0.024, 0.02, reached=True)))
    assert line == (
        "Stopped by rule: at the last two of 3 looks the interval of the threshold was at most 2.5 percentage points wide "
        "(2.40 at 36 documents, then 2.00 at 45 documents); at most 80 prompts were allowed."
    )
    (line,) = adaptive_design(manifest(done=80, stopping=stopping(0.5, 0.024, 0.02, reached=True)))
    assert line.endswith("The run held 80 prompts already, and all are used.")


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (stopping(0.5, 0.031, reached=False), "at the last of 2 it was 3.10 at 36 documents."),
        (stopping(0.5, None, reached=False), "at the last of 2 it was undefined at 36 documents."),
        (
            stopping(reached=False),
            "before the first look at the threshold's interval, which 32 documents are needed for",
        ),
    ],
)
def test_a_rule_that_was_not_met_is_said_and_not_hidden(record: dict[str, Any], said: str) -> None:
    (line,) = adaptive_design(manifest(stopping=record))
    assert line.startswith("Stopping rule not met: all 80 prompts were run")
    assert "2.5 percentage points" in line
    assert said in line
