"""The sweep's measured speed, from the committed results of ``make bench``."""

import json
from typing import Any

from benchmarks.sweep.comparison import OURS, TITLES
from docs.making.blocks import ROOT
from docs.making.markdown import markdown

RESULTS = ROOT / "benchmarks" / "results" / "sweep.json"


def speed_table() -> str:
    """Return the seconds of one prompt's whole sweep by each engine and number of tokens, as multiples of ours."""
    rows = embedded_model()["rows"]
    contexts = sorted({row["context"] for row in rows})
    engines = dict.fromkeys(row["engine"] for row in rows)
    table = []
    for engine in engines:
        by_context = {row["context"]: row for row in rows if row["engine"] == engine}
        cells = [
            f"{by_context[one]['seconds_per_prompt']:.2f} s"
            if engine == OURS
            else f"{by_context[one]['times_ours']:.1f} ×"
            if one in by_context
            else "–"
            for one in contexts
        ]
        table.append([TITLES.get(engine, engine), *cells])
    return markdown(table, ["a prompt's whole sweep", *(f"{one} tokens" for one in contexts)])


def share_of_peak(context: int) -> float:
    """Return the share of the processor's measured matrix peak that the one-pass engine reached."""
    (row,) = (one for one in embedded_model()["rows"] if (one["engine"], one["context"]) == (OURS, context))
    return float(row["share_of_matrix_peak"])


def embedded_model() -> dict[str, Any]:
    """Return what was measured on the embedded model."""
    found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))["models"]["smollm2-135m"]
    return found
