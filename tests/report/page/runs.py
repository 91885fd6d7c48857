"""Synthetic runs with their page: what the page has to cope with, texts that are code included."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ripplestats.config import METRICS
from ripplestats.fits import run_estimates
from ripplestats.hypotheses.run_claims import claims
from ripplestats.report.page.blocks import Curves
from ripplestats.report.page.write import page_content, write_page
from ripplestats.store.atomic import write_text
from ripplestats.store.run_directory import Run
from ripplestats.store.start import start_run
from tests.pictures import leave_out_random_breaks
from tests.store.synthetic_run import synthetic_definition, synthetic_effects, synthetic_manifest, synthetic_prompts

#: Each ends an element, opens one, is a link that runs, turns the reading direction, or is no character of HTML.
HOSTILE = (
    "</script><script>document.title='broken'</script>",
    "<!--<script>",
    "<img src=x onerror=\"document.title='broken'\">",
    "javascript:document.title='broken'",
    "\u202edesrever\u202c \u2067right to left",
    "null \x00 escape \x1b[31m",
    "{{ 7 * 7 }} {% raw %} ${7*7} &lt;b&gt; \u2028 line",
    "'\"`\\\\ ]]> <style>*{display:none}</style>",
)


@dataclasses.dataclass(frozen=True)
class Analysed:
    """A run with what its page is made from."""

    run: Run
    curves: Curves
    estimates: pd.DataFrame
    claims: pd.DataFrame

    def content(self) -> dict[str, Any]:
        """What its page shows."""
        return page_content(self.run, self.curves, self.estimates, self.claims, n_boot=50)

    def write(self) -> str:
        """Write its page and what the page hands out, and return the page."""
        self.estimates.to_csv(self.run.path / "estimates.csv", index=False)
        self.claims.to_csv(self.run.path / "claims.csv", index=False)
        write_text(self.run.path / "tables" / "claims.tex", "\\begin{table}\n")
        write_page(self.run, self.curves, self.estimates, self.claims, n_boot=50)
        return (self.run.path / "report.html").read_text(encoding="utf-8")


def analysed(
    path: Path,
    *,
    prompts: int = 12,
    per_document: int = 1,
    metrics: Sequence[str] = tuple(METRICS),
    texts: Sequence[str] = (),
    dataset: str = "synthetic",
    **effects: Any,
) -> Analysed:
    """Make a run in one part and estimate it with few resamples.

    Args:
        path: of the run directory.
        prompts, per_document: how many, and of each document.
        metrics: that were recorded, as on the command line.
        texts: put into contexts, targets and titles, in turn.
        dataset: its name.
        effects: as for ``synthetic_effects``.
    """
    manifest = synthetic_manifest(dataset, prompts=prompts, documents=-(-prompts // per_document))
    run = start_run(path, synthetic_definition(prompts=prompts, metrics=list(metrics)), manifest, lambda _: None)
    recorded = {METRICS[name] for name in metrics}
    columns = synthetic_effects(range(prompts), per_document=per_document, **effects)
    columns = {name: value for name, value in columns.items() if name in recorded or name not in METRICS.values()}
    table = synthetic_prompts(range(prompts), per_document)
    for place, text in enumerate(texts):
        for name in ("context", "target", "document_title"):
            table[name][place % prompts] = text
    run.write_part(0, columns, table, key="0" * 64)
    run.write_prompts()
    curves = run_estimates.cell_curves(run, run.metrics)
    # The page shows nothing of the segmented mixed model, which takes far longer than all the rest.
    with pytest.MonkeyPatch.context() as patch:
        leave_out_random_breaks(patch.setattr)
        estimates = run_estimates.estimate_run(run, n_boot=50, seed=0)
    return Analysed(run, curves, estimates, claims(curves, n_boot=50, seed=0))
