"""The precision audit in the manifest → its table, and its lines in the summary."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ripplestats.rendering.latex import latex_table
from ripplestats.rendering.numbers import percent
from ripplestats.rendering.provenance import counted, stated
from ripplestats.report.wording import ARM_NAMES, METRIC_NAMES
from ripplestats.store.atomic import write_text

if TYPE_CHECKING:
    from ripplestats.store.run_directory import Run

#: Of a longer grid those rates are shown that are nearest to these, in percent; all are in the manifest.
_SHOWN = (0.2, 1, 2, 5, 10, 20, 50, 90)


def write_precision(run: "Run") -> None:
    """Write ``tables/precision.tex`` of a run whose precision was audited; take away an old one where it was not."""
    manifest = run.manifest
    audit = manifest.get("precision")
    path = run.path / "tables" / "precision.tex"
    if not audit:
        path.unlink(missing_ok=True)
        return
    arm, limits = audit["verdict"]["arm"], audit["limits"]
    drift = pd.DataFrame(audit["drift"])
    drift = drift[drift["arm"] == arm].astype({"rate": float})
    drift = drift[drift["rate"].isin(_nearest(np.unique(drift["rate"])))]
    frame = pd.DataFrame(
        {
            "outcome": [METRIC_NAMES[name] for name in drift["metric"]],
            "rate": [percent(rate, 1) for rate in drift["rate"]],
            **{heading: [_number(one) for one in drift[name]] for heading, name in _COLUMNS.items()},
        }
    )
    notes = (
        f"Drift: {audit['arithmetic']} − {audit['reference']}, over {drift['n_cells'].iloc[0]} cells: "
        f"{len(audit['prompts'])} prompts drawn at random × blocks {', '.join(map(str, audit['layers']))}; neurons: "
        f"{ARM_NAMES.get(arm, arm)}, replaced by the {audit['replacement']}, site {audit['site']}. Effect: the outcome itself in "
        f"{audit['reference']}. Of the last outcome means are shares of cells. Other arms and rates are in manifest.json.",
        f"The run warns where the mean drift of the main outcome is above {percent(limits['bias'])} of the plateau and "
        f"{limits['errors']:g} of its standard errors over prompts, or its SD above {percent(limits['spread'])} of the effects' "
        f"over the plateau: {audit['warning'] or 'neither is'}.",
        counted(manifest),
    )
    caption = f"Precision: what computing in {audit['arithmetic']} does to the outcomes. {stated(manifest)}."
    write_text(path, latex_table(frame, caption=caption, label="tab:precision", notes=notes))


_COLUMNS = {
    "mean drift": "drift_mean", "its error": "drift_error", "SD": "drift_sd", "largest": "drift_largest",
    "mean effect": "effect_mean", "SD of effect": "effect_sd",
}  # fmt: skip


def precision_lines(manifest: dict[str, Any]) -> list[str]:
    """Return what the summary says of a run's precision, nothing where it was not audited."""
    audit = manifest.get("precision")
    if not audit:
        return []
    if audit["warning"]:
        return [f"Warning: {audit['warning']}."]
    found = audit["verdict"]
    return [
        f"Precision: {audit['arithmetic']} differs from {audit['reference']} by at most {_number(found['bias'])} in the mean "
        f"(standard error {_number(found['bias_error']) or 'undefined'}; plateau {_number(found['plateau'])}), with a standard deviation of {_number(found['drift_sd'])} (effects "
        f"{_number(found['effect_sd'])}), on {len(audit['prompts'])} prompts."
    ]


def _nearest(rates: Any) -> list[float]:
    if len(rates) <= len(_SHOWN):
        return list(rates)
    return sorted({float(rates[np.abs(rates - shown / 100).argmin()]) for shown in _SHOWN})


def _number(value: float | None) -> str:
    if value is None or np.isnan(value):
        return ""
    return np.format_float_positional(value, precision=2, fractional=False, trim="-").replace("-", "−")
