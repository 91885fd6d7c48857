"""Results of the benchmark small enough to check by hand."""

from typing import Any

from benchmarks.sweep.between_products import shares
from benchmarks.sweep.comparison import OURS, OURS_ALONE, compare, errors
from benchmarks.sweep.operations import Shape

SHAPE = Shape(layers=2, hidden=4, heads=2, key_heads=1, head_size=2, neurons=8, gated=True, vocabulary=10)
BRANCHES = 3


def case(context: int, seconds: float, **more: Any) -> dict[str, Any]:
    """What a process measured on one context."""
    return {
        "context": context,
        "seconds_per_prompt": seconds,
        "outcomes": {"0:1": 0.5, "1:1": 0.25},
        "beyond_weights_bytes": 30_000_000,
        "peak_bytes_with_loading": 2_000_000_000,
        "rounds": 3,
        **more,
    }


def measured() -> dict[str, Any]:
    """The note's loop, a peer that is not installed, and ours."""
    ours = {
        "n_prompts": 8,
        "self_check": 1e-6,
        "batch_size": 8,
        "plain_forward_seconds": 0.5,
        "operations_counted": 10**9,
    }
    return {
        "note": [case(8, 40.0, cells_timed=2), case(512, 90.0, cells_timed=2)],
        "pyvene": "ModuleNotFoundError: No module named 'pyvene'",
        OURS_ALONE: [case(8, 0.8, **ours)],
        OURS: [
            case(8, 0.4, **ours, **{"outcomes": {"0:1": 0.5, "1:1": 0.2501, "1:3": 7.0}}),
            case(512, 0.9, **ours),
        ],
    }


def results(peak: float = 1e6) -> dict[str, Any]:
    """A results file with one model."""
    model = {
        "title": "A small model",
        "layers": SHAPE.layers,
        "doses": BRANCHES,
        "matrix_peak": peak,
        "sustained_rate": peak / 2,
        "rows": compare(measured(), SHAPE, BRANCHES, peak, peak / 2),
        "errors": errors(measured()),
        "prefix_once": {OURS: 1.1},
    }
    scaling = {"n_prompts": [8, 16], "seconds": [4.0, 8.0]}
    start = {
        "model_loaded_seconds": 2.0, "sweep_begins_seconds": 5.0, "first_prompt_done_seconds": 6.0, "help_seconds": 0.3,
    }  # fmt: skip
    rates = [1.8e6, 1.5e6]
    between = {
        "context": 32,
        "operations_per_second": rates,
        "of_peak": shares(rates, [2.5e6, 2.5e6]),
        "of_sustained": shares(rates, [1.8e6, 1.5e6]),
    }
    return {"models": {"small": model}, "between_products": between, "scaling": scaling, "start": start}
