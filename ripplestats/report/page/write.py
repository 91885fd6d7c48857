"""The page of a run directory, from its files and curves."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from ripplestats.fits.run_estimates import UNITS, main_metric
from ripplestats.rendering.provenance import details, provenance
from ripplestats.report.adaptive_design import adaptive_design
from ripplestats.report.page.blocks import Curves, main_cell, names_of_groups
from ripplestats.report.page.charts import chart_specs
from ripplestats.report.page.comparisons import comparisons, sufficiency
from ripplestats.report.page.diagnostics import influence, residuals, warnings
from ripplestats.report.page.document import render
from ripplestats.report.page.downloads import downloads
from ripplestats.report.page.maps import layer_maps
from ripplestats.report.page.verdicts import counted_verdicts, key_figures, verdicts
from ripplestats.report.precision_table import precision_lines
from ripplestats.report.wording import METRIC_NAMES, mean_blocks, untested
from ripplestats.store.atomic import write_text

if TYPE_CHECKING:
    from ripplestats.store.run_directory import Run


def write_page(
    run: "Run", curves: Curves, estimates: pd.DataFrame, claims: pd.DataFrame, n_boot: int = 1000, seed: int = 0
) -> None:
    """Write ``report.html`` of a run: one file that needs neither network nor server.

    Args:
        run: whose tables and figures are written already.
        curves: of its cells.
        estimates, claims: as in estimates.csv and claims.csv.
        n_boot, seed: of the bands around the curves, the same as in the figures.

    Raises:
        StorageError: the disk is full or not writable.
    """
    write_text(run.path / "report.html", render(page_content(run, curves, estimates, claims, n_boot, seed)))


def page_content(
    run: "Run", curves: Curves, estimates: pd.DataFrame, claims: pd.DataFrame, n_boot: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Return what the page shows: texts for its template, numbers for its charts."""
    manifest = run.manifest
    blocks = mean_blocks(manifest)
    metric = main_metric(cell.metric for cell in curves)
    main = main_cell(curves, metric)
    maps, prompts = layer_maps(run, curves, main)
    noted, further = warnings(estimates)
    found = verdicts(claims, UNITS[metric])
    counts = (int(estimates["n_prompts"].max()), int(estimates["n_documents"].max()))
    data = {
        "charts": chart_specs(METRIC_NAMES[metric], UNITS[metric]),
        "unit": UNITS[metric],
        "groups": names_of_groups(curves, blocks),
        "maps": maps,
        "prompts": prompts,
        "comparisons": comparisons(curves, main, estimates, n_boot, seed),
        "sufficiency": sufficiency(curves, main, estimates),
        "residuals": residuals(curves[main]),
        "influence": influence(run, curves[main], estimates, main),
    }
    return {
        "heading": f"{manifest['model']['used']} on {manifest['dataset']['used']}",
        "provenance": provenance(manifest),
        "details": details(manifest, counts),
        "completeness": manifest["completeness"],
        "notes": [*manifest["dataset"]["notes"], *precision_lines(manifest), *adaptive_design(manifest)],
        "figures": key_figures(estimates, main, UNITS[metric], blocks),
        "verdicts": found,
        "counted": counted_verdicts(found),
        "untested": untested(one.number for one in found),
        "effect": METRIC_NAMES[metric],
        "blocks": blocks,
        "conf_level": f"{100 * estimates['conf_level'].iloc[0]:.0f} %",
        "warnings": noted,
        "further_warnings": further,
        "lacking": [arm for arm in ("top", "keep_top") if main._replace(arm=arm) not in curves],
        "has": {name: bool(data[name]) for name in ("sufficiency", "residuals", "influence")},
        "manifest": _rows(manifest),
        "engine": manifest["engine"],
        "data": data,
        "files": downloads(run.path),
    }


def _rows(entries: dict[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Return a manifest's entries as names and texts, those within entries named by their path."""
    found: list[tuple[str, str]] = []
    for name, value in entries.items():
        path = f"{above}{name}"
        if isinstance(value, dict):
            found += _rows(value, f"{path}.")
        elif isinstance(value, list):
            found.append((path, ", ".join(map(str, value))))
        else:
            found.append((path, "–" if value is None or value == "" else str(value)))
    return found
