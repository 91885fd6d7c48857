"""How far one pass is from the hooked forward, in every family that the tests know, on tiny random models in float32.

Over all arms, replacements, sites and layers. The measurements have beside it how far the hooked forward itself is from
the same in float64: rounding that no engine escapes. Cells where two neurons are so nearly equal that rounding changes their
order are counted and left out. Writes benchmarks/results/families.json and the README's table, families.md.

python -m benchmarks.families
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers

from ripplestats.intervention.branches import ARMS, REPLACEMENTS
from ripplestats.model.load import Model
from ripplestats.model.sites import SITES, find_layout
from ripplestats.sweeps.batch import PromptBatch, make_batch
from ripplestats.sweeps.grid import Grid, make_grid
from ripplestats.sweeps.hooked import run_hooked, site_activations
from ripplestats.sweeps.onepass import run_one_pass
from ripplestats.sweeps.outcomes import Outcomes
from ripplestats.sweeps.runner import Sweep
from ripplestats.sweeps.selfcheck import settled
from tests.conftest import tiny_model, tiny_prompts
from tests.families import FAMILIES, RECURRENT, Family
from tests.tiny import tiny_network

RESULTS = Path(__file__).parent / "results" / "families.json"
TABLE = RESULTS.with_suffix(".md")
N_PROMPTS, CONTEXT, RATES = 3, 12, "3,10,50,90"
_METRICS = ("delta_logit", "delta_logprob", "kl")


def main() -> int:
    """Measure and write; say where."""
    transformers.utils.logging.set_verbosity_error()
    families = {}
    for name, family in {**FAMILIES, **RECURRENT}.items():
        families[name] = measured(name, family)
        print(name, *(value for key, value in families[name].items() if key not in ("row", "particular")))
    measurements = {
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "prompts": N_PROMPTS,
        "context": CONTEXT,
        "rates": RATES,
        "arms": ARMS,
        "replacements": REPLACEMENTS,
        "sites": SITES,
        "families": families,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(measurements, indent=2) + "\n", encoding="utf-8")
    TABLE.write_text(table(families), encoding="utf-8")
    print(f"in {RESULTS} and {TABLE}")
    return 0


def measured(name: str, family: Family) -> dict[str, Any]:
    """Return the engine that a family gets, and the largest difference in any outcome of any cell where it is one pass."""
    model = tiny_model(name)
    prompts = tiny_prompts(N_PROMPTS, CONTEXT)
    grid = make_grid(
        model.n_layers, model.n_neurons,
        rates=RATES, arms=list(ARMS), replacements=list(REPLACEMENTS), sites=list(SITES),
    )  # fmt: skip
    engine, check = Sweep(model, prompts, grid).checked("auto")
    found: dict[str, Any] = {"row": family.row, "particular": family.particular, "engine": engine}
    if engine == "hooks":
        return found | {"reason": check.reason if check else ""}
    batch = make_batch(prompts, model.device, seed=1)
    hooked = _outcomes(run_hooked, model, batch, grid)
    exact = _in_float64(name, model, batch, grid)
    telling = settled(model, batch, grid.layers, grid.branches()).flatten(0, 1)
    return found | {
        "cells": int(telling.sum()),
        "cells_left_out": int((~telling).sum()),
        "largest_difference": _largest(_outcomes(run_one_pass, model, batch, grid), hooked, telling),
        "hooked_from_float64": _largest(hooked, exact, telling),
    }


def _in_float64(name: str, model: Model, batch: PromptBatch, grid: Grid) -> Outcomes:
    network = tiny_network(name).double()
    torch.set_default_dtype(torch.float64)  # XGLM makes its mask in the default
    try:
        return _outcomes(run_hooked, replace(model, network=network, layout=find_layout(network)), batch, grid)
    finally:
        torch.set_default_dtype(torch.float32)


def _outcomes(engine: Any, model: Model, batch: PromptBatch, grid: Grid) -> Outcomes:
    donors = site_activations(model, batch.ids.roll(1, 0), grid.layers, grid.sites)
    outcomes: Outcomes = engine(model, replace(batch, donors=donors), grid.layers, grid.branches())[1]
    return outcomes


def _largest(one: Outcomes, other: Outcomes, telling: torch.Tensor) -> float:
    return max(float((getattr(one, metric) - getattr(other, metric))[telling].abs().max()) for metric in _METRICS)


def table(families: dict[str, dict[str, Any]]) -> str:
    """Return the Markdown table: a row for families of one name, with the largest difference among them."""
    lines = ["| family | engine | tested with | largest difference |", "| --- | --- | --- | --- |"]
    for row in dict.fromkeys(family["row"] for family in families.values()):
        mine = [family for family in families.values() if family["row"] == row]
        particulars = dict.fromkeys(part for each in mine for part in each["particular"].split(", ") if part)
        engine, figure = "hooks", "– (hooks are the definition)"
        if mine[0]["engine"] == "onepass":
            largest = max(family["largest_difference"] for family in mine)
            engine, figure = "one pass", f"{largest:.0e}".replace("e-0", "e-")
        lines.append(f"| {row} | {engine} | {', '.join(particulars)} | {figure} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
