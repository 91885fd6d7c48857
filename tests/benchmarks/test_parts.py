"""Measurements that are kept are not made again."""

from pathlib import Path
from typing import Any

from benchmarks.sweep.job import Case
from benchmarks.sweep.parts import Parts

CASES = tuple(Case(context, ((1,),), (2,), (0,), (3,), (3,), 0.0) for context in (8, 32, 128))


def test_only_what_is_missing_is_measured(tmp_path: Path) -> None:
    parts, asked = Parts(tmp_path / "parts"), []

    def measure(cases: tuple[Case, ...]) -> list[dict[str, Any]]:
        asked.append([case.context for case in cases])
        return [{"context": case.context, "round": len(asked)} for case in cases]

    parts.kept_cases("ours, batch 1", CASES[1:2], measure)
    found = parts.kept_cases("ours, batch 1", CASES, measure)
    assert found == parts.kept_cases("ours, batch 1", CASES, measure)
    assert asked == [[32], [8, 128]]
    assert found == [{"context": 8, "round": 2}, {"context": 32, "round": 1}, {"context": 128, "round": 2}]
    assert parts.kept_cases("ours", CASES[:1], measure) == [{"context": 8, "round": 3}]


def test_what_cannot_run_is_tried_again(tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    assert parts.kept_cases("pyvene", CASES, lambda _: "no module") == "no module"
    assert parts.kept_cases("pyvene", CASES[:1], lambda _: [{"context": 8}]) == [{"context": 8}]


def test_a_single_figure_is_kept_and_without_a_folder_nothing_is(tmp_path: Path) -> None:
    assert [Parts(tmp_path).kept("peak", lambda one=one: one) for one in (1.5, 2.5)] == [1.5, 1.5]
    assert [Parts(None).kept("peak", lambda one=one: one) for one in (1.5, 2.5)] == [1.5, 2.5]
    assert Parts(None).kept_cases("ours", CASES, list) == list(CASES)
