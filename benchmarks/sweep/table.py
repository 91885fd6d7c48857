"""The results as a table to read in a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.sweep.comparison import TITLES, Row, in_order

_HEADINGS = (
    "tokens", "engine", "s/prompt", "× ours", "difference", "MB beyond weights", "cells timed", "TFLOP/prompt",
    "GFLOP/s", "of peak", "of sustained",
)  # fmt: skip


def results_table(results: Mapping[str, Any]) -> str:
    """Return all models' tables, then what was measured besides."""
    parts = []
    for model in results["models"].values():
        peak, sustained = model["matrix_peak"] / 1e9, model["sustained_rate"] / 1e9
        parts.append(
            f"{model['title']}: {model['layers']} blocks × {model['doses']} rates; "
            f"matrix products reach {peak:.0f} GFLOP/s at best and keep up {sustained:.0f}"
        )
        parts.append(columns([_HEADINGS, *(_line(row) for row in in_order(model["rows"]))]))
        parts += [f"  {TITLES.get(name, name)} did not run: {why}" for name, why in model["errors"].items()]
        parts.append("")
    return "\n".join([*parts, *_besides(results)])


def columns(lines: Sequence[Sequence[str]]) -> str:
    """Set lines of words in columns: the second to the left (names), the others to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            word.ljust(width) if i == 1 else word.rjust(width)
            for i, (word, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _line(row: Row) -> tuple[str, ...]:
    ours = "share_of_matrix_peak" in row
    timed = "all" if row["cells_timed"] == row["cells"] else f"{row['cells_timed']} of {row['cells']}"
    return (
        str(row["context"]),
        TITLES.get(row["engine"], row["engine"]),
        f"{row['seconds_per_prompt']:.3g}",
        f"{row['times_ours']:.3g}",
        f"{row['largest_difference']:.1e}",
        f"{row['beyond_weights_bytes'] / 1e6:.0f}",
        timed,
        f"{row['operations_per_prompt'] / 1e12:.3g}" if ours else "",
        f"{row['operations_per_second'] / 1e9:.0f}" if ours else "",
        f"{row['share_of_matrix_peak']:.0%}" if ours else "",
        f"{row['share_of_sustained_rate']:.0%}" if ours else "",
    )


def _besides(results: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, model in results["models"].items():
        highest = max((row["peak_bytes_with_loading"] for row in model["rows"] if "ours" in row["engine"]), default=0)
        lines.append(f"{name}: highest memory of ours, weights, libraries and loading included: {highest / 1e9:.2f} GB")
        for engine, ratio in model["prefix_once"].items():
            lines.append(
                f"{name}: {engine}: a prompt of the longest context costs {ratio:.2f} × (shortest + one plain pass)"
            )
    for part, title, say in _MEASURED:
        found = results[part]
        lines.append(f"{title}: not measured: {found}" if isinstance(found, str) else say(found))
    return lines


def _between_products(found: Mapping[str, Any]) -> str:
    def share(of: Mapping[str, Any]) -> str:
        return f"{of['median_share']:.0%} ({of['lowest_share']:.0%} to {of['highest_share']:.0%})"

    return (
        f"{len(found['operations_per_second'])} sweeps between matrix products, at {found['context']} tokens: "
        f"{share(found['of_peak'])} of the better peak before or after, {share(found['of_sustained'])} of what products keep up"
    )


def _scaling(found: Mapping[str, Any]) -> str:
    sizes = ", ".join(
        f"{n}: {seconds / n:.3f}" for n, seconds in zip(found["n_prompts"], found["seconds"], strict=True)
    )
    return f"seconds a prompt by number of prompts (nine rates): {sizes}"


def _start(found: Mapping[str, Any]) -> str:
    return (
        f"start: model loaded {found['model_loaded_seconds']:.1f} s, first prompt begins "
        f"{found['sweep_begins_seconds']:.1f} s, first prompt done {found['first_prompt_done_seconds']:.1f} s; "
        f"--help {found['help_seconds']:.2f} s"
    )


#: What is measured besides: where it stands in the results, what it is called where it is not there, and how it is said.
_MEASURED = (
    ("between_products", "sweeps between matrix products", _between_products),
    ("scaling", "cost by number of prompts", _scaling),
    ("start", "time to start", _start),
)
