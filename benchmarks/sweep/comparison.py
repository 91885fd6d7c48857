"""What was measured → one row for each model, context and engine."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.sweep.engines import PEERS
from benchmarks.sweep.operations import Shape, sweep_operations

#: The engine whose outcomes are the definition: a hooked forward pass of the whole model for each cell.
DEFINITION = "note"
#: Ours at the default batch, which every ratio is to.
OURS, OURS_ALONE = "ours", "ours, batch 1"
TITLES = {**{name: title for name, (_, title) in PEERS.items()}, OURS_ALONE: OURS_ALONE, OURS: OURS}

Row = dict[str, Any]


def compare(
    measured: Mapping[str, Any], shape: Shape, branches: int, peak: float, sustained: float = float("nan")
) -> list[Row]:
    """Put the engines of one model beside each other.

    Args:
        measured: by engine a list of results by context, or a line on why it cannot run.
        shape: sizes of the model.
        branches: different doses of a block.
        peak: operations a second that the machine's matrix products reach at best.
        sustained: those that they keep up for seconds.
    """
    rows = []
    contexts = sorted({case["context"] for found in measured.values() if not isinstance(found, str) for case in found})
    for context in contexts:
        cases = {
            name: case
            for name, found in measured.items()
            if not isinstance(found, str)
            for case in found
            if case["context"] == context
        }
        ours = cases[OURS]["seconds_per_prompt"] if OURS in cases else float("nan")
        definition = cases.get(DEFINITION, {}).get("outcomes", {})
        for name, case in cases.items():
            row = _row(name, case, ours, definition, shape.layers * branches)
            if name in (OURS, OURS_ALONE):
                row |= _arithmetic(case, shape, branches)
                row |= {
                    "share_of_matrix_peak": row["operations_per_second"] / peak,
                    "share_of_sustained_rate": row["operations_per_second"] / sustained,
                }
            rows.append(row)
    return rows


def largest_difference(found: Mapping[str, float], definition: Mapping[str, float]) -> float:
    """Return the largest difference of an outcome over the cells that both have; not a number where there are none."""
    shared = found.keys() & definition.keys()
    return max((abs(found[cell] - definition[cell]) for cell in shared), default=float("nan"))


def _row(name: str, case: Mapping[str, Any], ours: float, definition: Mapping[str, float], n_cells: int) -> Row:
    return {
        "engine": name,
        "context": case["context"],
        "seconds_per_prompt": case["seconds_per_prompt"],
        "times_ours": case["seconds_per_prompt"] / ours,
        "largest_difference": largest_difference(case["outcomes"], definition),
        "cells_compared": len(case["outcomes"].keys() & definition.keys()),
        "beyond_weights_bytes": case["beyond_weights_bytes"],
        "peak_bytes_with_loading": case["peak_bytes_with_loading"],
        "cells_timed": case.get("cells_timed", n_cells),
        "cells": n_cells,
        "rounds": case["rounds"],
    }


def _arithmetic(case: Mapping[str, Any], shape: Shape, branches: int) -> Row:
    """Return operations a prompt and the rate they were done at; the lower count of two, so that none is flattered."""
    operations = sweep_operations(shape, 1, case["context"], branches)
    counted = case["operations_counted"] + operations.prefix_attention
    per_prompt = min(operations.total, counted)
    return {
        "operations_per_prompt": per_prompt,
        "operations_by_formula_to_counted": operations.total / counted,
        "operations_per_second": per_prompt / case["seconds_per_prompt"],
        "batch_size": case["batch_size"],
        "self_check_largest_difference": case["self_check"],
        "plain_forward_seconds": case["plain_forward_seconds"],
    }


def errors(measured: Mapping[str, Any]) -> dict[str, str]:
    """Return the engines that did not run, each with why."""
    return {name: found for name, found in measured.items() if isinstance(found, str)}


def in_order(rows: Sequence[Row]) -> list[Row]:
    """Return rows by context, the slowest engine first."""
    return sorted(rows, key=lambda row: (row["context"], -row["seconds_per_prompt"]))
