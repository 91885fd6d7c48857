"""Rates in two stages: a pilot on documents of its own, over a coarse grid, chooses the rates of a run.

The run's prompts have no part in the choice, so that its intervals and tests are those of a grid fixed beforehand
(sample splitting). No p-value is looked at either: the rule (``fits/grid_refinement.py``) knows the pilot's mean curve only.
"""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ripplestats.config import METRICS
from ripplestats.errors import RunError
from ripplestats.fits.grid_refinement import refine
from ripplestats.fits.run_estimates import layer_curves
from ripplestats.rendering.progress import progress
from ripplestats.store.run_directory import MANIFEST, open_run

if TYPE_CHECKING:
    from ripplestats.sweeps.runner import Sweep

#: Rates that the pilot adds to the coarse ones.
ADDED_RATES = 9
RULE = (
    f"{ADDED_RATES} rates between the coarse ones, at equal shares of the integral of the root of the second derivative of "
    "P(1 - exp(-x/scale)) fitted to the pilot's mean curve (de Boor 1973)"
)
STAGED_RATES = "staged_rates"


def in_two_stages(
    out: Path, coarse: "Sweep", engine: str, say: Callable[[str], None]
) -> tuple["Sweep", dict[str, Any]]:
    """Return a sweep whose rates a pilot has chosen, and how they were chosen, as the manifest's options hold it.

    A run that is there keeps its own rates: nothing is chosen twice.

    Args:
        out: the run directory.
        coarse: the sweep over the coarse rates, with the pilot's documents first among its prompts. The pilot runs its
            first arm, replacement and site; the mean over its blocks but the first is the curve that is looked at.
        engine: as for the run.
        say: is told what was chosen.

    Returns:
        The sweep of the other documents' prompts, and a record: ``rates`` (shares, as exact fractions in text), ``added``
        (those between the coarse ones), ``scale`` (of the fitted curve, a share of neurons; None where the pilot does not
        tell it, and ``reason`` says why), ``rule``, and ``pilot``: its prompts, doses, mean effects and standard errors.

    Raises:
        InputError: there are too few documents.
        RunError: the directory holds a run with other rates.
    """
    from ripplestats.prompts.sampling import split_pilot

    pilot, rest = split_pilot(coarse.prompts)
    record = _stored(out)
    if record is None:
        record = _chosen(replace(coarse, prompts=pilot), engine)
        say(_line(record))
    rates = tuple(Fraction(rate) for rate in record["rates"])
    return replace(coarse, prompts=rest, grid=replace(coarse.grid, rates=rates)), record


def _stored(out: Path) -> dict[str, Any] | None:
    if not (out / MANIFEST).is_file():
        return None
    record: dict[str, Any] | None = open_run(out).manifest["options"].get(STAGED_RATES)
    if record is None:
        raise RunError(
            f"--out {out} holds a run whose rates were not staged; choose another --out, or remove that folder"
        )
    return record


def _chosen(pilot: "Sweep", engine: str) -> dict[str, Any]:
    grid = pilot.grid
    first = replace(grid, arms=grid.arms[:1], replacements=grid.replacements[:1], sites=grid.sites[:1])
    job = replace(pilot, grid=first)
    used, _ = job.checked(engine)
    with progress(len(job.prompts), "pilot prompts") as tell:
        effects, _ = job.run(slice(0, len(job.prompts)), used, tell)
    metric = METRICS["logprob" if "logprob" in job.metrics else "logit"]
    curves = layer_curves(pd.DataFrame(effects), metric)
    mean, error = curves.pooled()[0], np.sqrt(np.diag(curves.covariances()[0]))
    found = refine(grid.rates, curves.x, mean, ADDED_RATES, grid.n_neurons)
    return {
        "rates": [str(rate) for rate in found.rates],
        "added": [float(rate) for rate in found.added],
        "scale": None if np.isnan(found.scale) else found.scale,
        "reason": found.reason,
        "rule": RULE,
        "pilot": {
            "fingerprint": job.prompts.fingerprint, "prompt_ids": [prompt.prompt_id for prompt in job.prompts],
            "n_prompts": len(job.prompts), "n_documents": job.prompts.n_documents, "layer": str(curves.groups[0]),
            "arm": first.arms[0], "replacement": first.replacements[0], "site": first.sites[0], "metric": metric,
            "effective_rate": curves.x.tolist(), "effect": mean.tolist(), "std_error": error.tolist(),
        },
    }  # fmt: skip


def _line(record: dict[str, Any]) -> str:
    added = ", ".join(f"{100 * rate:.3g}" for rate in record["added"]) or "none"
    why = f" (spread evenly: {record['reason']})" if record["reason"] else ""
    return f"rates: a pilot of {record['pilot']['n_prompts']} prompts, of documents that are not in the run, adds {added} %{why}"
