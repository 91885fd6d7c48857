"""Times of statistics and sweep beside their peers, from benchmarks/results: ``speed.tex``."""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from from_run import ROOT, main_of_results

from ripplestats.rendering.latex import latex_table
from ripplestats.rendering.numbers import scientific
from ripplestats.store.atomic import write_text

RESULTS = ROOT / "benchmarks" / "results"
#: Engines of the sweep's benchmark as they are called there, and in the table.
_ENGINES = {
    "note": "hooked loop (the note's)",
    "transformer_lens": "TransformerLens",
    "batched_hooks": "hooks, rates batched",
}


def results(name: str) -> dict[str, Any] | None:
    """Return one committed benchmark, or None where it is not there."""
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def write(out: Path) -> None:
    """Write a table for the statistics and one for the sweep, each where its results are there."""
    tables = [
        table(found) for name, table in (("statistics", _statistics), ("sweep", _sweep)) if (found := results(name))
    ]
    write_text(out / "speed.tex", "\n".join(tables) or "No benchmark results are committed.\n")


def _statistics(found: dict[str, Any]) -> str:
    breaks, linear, segmented = found["breakpoint"], found["linear"], found["segmented"]
    rows = [
        ("one break, refits of the bootstrap", f"R segmented {breaks['segmented']}", breaks["times_faster"]),
        ("linear mixed model, REML", f"R lme4 {linear['lme4']}", linear["times_faster_than_lme4"]),
        ("linear mixed model, REML", "statsmodels", linear["times_faster_than_statsmodels"]),
        (
            "segmented mixed model",
            f"R segmented.lme {segmented['segmented']}",
            segmented["times_faster_than_segmented"],
        ),
        (
            "segmented mixed model",
            "the same without restarts",
            segmented["times_faster_than_segmented_without_restarts"],
        ),
    ]
    machine = found["machine"]
    return latex_table(
        pd.DataFrame([(*row, f"{ratio:,.0f}") for *row, ratio in rows], columns=["fit", "peer", "times faster"]),
        caption="Statistics: time of the peer over ours, on the same data and machine.",
        label="tab:speed-statistics",
        notes=(
            f"{machine['processor']}, {machine['threads']} thread, Python {machine['python']}, numpy {machine['numpy']}.",
        ),
    )


def _sweep(found: dict[str, Any]) -> str:
    rows = pd.DataFrame(
        [
            {
                "model": model["title"],
                "engine": _ENGINES.get(row["engine"], row["engine"]),
                "tokens": f"{row['context']} tokens",
                "time": f"{row['seconds_per_prompt']:.3g} ({row['times_ours']:.3g})",
                "difference": row["largest_difference"],
            }
            for model in found["models"].values()
            for row in model["rows"]
        ]
    )
    titles = [model["title"] for model in found["models"].values()]
    keys = ["model", "engine"] if len(titles) > 1 else ["engine"]
    wide = rows.set_index([*keys, "tokens"])["time"].unstack(sort=False).fillna("")
    largest = rows.groupby(keys, sort=False)["difference"].max().map(scientific)
    return latex_table(
        wide.assign(difference=largest).reset_index(),
        caption=f"The whole sweep of a prompt, by engine: seconds, and in brackets how many times ours ({' and '.join(titles)}).",
        label="tab:speed-sweep",
        notes=(
            f"{found['machine']['processor']}, {found['precision']}. Slow engines are timed on a sample of cells. Difference: "
            "the largest from the hooked loop, over cells that both ran.",
        ),
    )


if __name__ == "__main__":
    sys.exit(main_of_results(write, __doc__))
