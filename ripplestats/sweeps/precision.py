"""The precision audit: a sample of a sweep's prompts once more in a wider number format.

bfloat16 keeps 8 bits of a number and TF32 11. What that does to outcomes depends on the model and cannot be read off the
format, so it is measured: the same prompts, blocks, arms and rates in both, cell by cell.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from ripplestats.config import AUDIT_DTYPES, METRICS
from ripplestats.errors import InputError
from ripplestats.sweeps.drift import ERRORS, MOST_BIAS, MOST_SPREAD, Drift, DriftVerdict, drift_rows, drift_verdict
from ripplestats.sweeps.memory import Columns
from ripplestats.sweeps.runner import Sweep

#: How much is run again at most: prompts drawn by the sweep's seed, and blocks at equal steps.
PROMPTS, LAYERS = 8, 4


@dataclass(frozen=True)
class PrecisionAudit:
    """What a sweep's arithmetic does to its outcomes, on a sample of its cells.

    ``prompts`` and ``layers`` were run again, with the grid's first replacement and site, all its arms and rates.
    """

    arithmetic: str
    reference: str
    prompts: tuple[int, ...]
    layers: tuple[int, ...]
    replacement: str
    site: str
    rows: tuple[Drift, ...]
    verdict: DriftVerdict

    @property
    def warning(self) -> str:
        """One line where the drift matters, else nothing."""
        found = self.verdict
        reasons = []
        if found.biased:
            reasons.append(f"a mean drift of {found.bias:.2g}, over {MOST_BIAS:.0%} of the plateau {found.plateau:.2g}")
        if found.noisy:
            reasons.append(
                f"a standard deviation of the drift of {found.drift_sd:.2g}, over {MOST_SPREAD:.0%} of the effects' "
                f"{found.effect_sd:.2g}"
            )
        if not reasons:
            return ""
        return f"{self.arithmetic} has, against {self.reference}, {' and '.join(reasons)}; --dtype float32 has not"

    def line(self) -> str:
        """Say in one line what was found."""
        found = self.verdict
        return (
            f"precision of {self.arithmetic} against {self.reference}: mean drift at most {found.bias:.2g} ± "
            f"{found.bias_error:.1g} (plateau {found.plateau:.2g}), standard deviation {found.drift_sd:.2g} (effects {found.effect_sd:.2g})"
        )

    def entry(self) -> dict[str, Any]:
        """Return the manifest's entry: the rows as columns, NaN as null."""
        rows = [asdict(row) for row in self.rows]
        columns = {name: [_plain(row[name]) for row in rows] for name in rows[0]}
        verdict = {name: _plain(value) for name, value in asdict(self.verdict).items()}
        return {
            "arithmetic": self.arithmetic, "reference": self.reference, "prompts": list(self.prompts),
            "layers": list(self.layers), "replacement": self.replacement, "site": self.site,
            "limits": {"bias": MOST_BIAS, "errors": ERRORS, "spread": MOST_SPREAD}, "verdict": verdict, "warning": self.warning,
            "drift": columns,
        }  # fmt: skip


def audit_format(sweep: Sweep, asked: str) -> str | None:
    """Return the number format of the audit, None where there is to be none.

    Raises:
        InputError: the format is unknown, or is not wider than the sweep's.
    """
    if asked not in AUDIT_DTYPES:
        raise InputError(f"--audit-dtype {asked!r} is not known; allowed: {', '.join(AUDIT_DTYPES)}")
    if asked == "none" or (asked == "auto" and not sweep.narrow):
        return None
    found = "float32" if asked == "auto" else asked
    if sweep.model.dtype == "float64" or (found == "float32" and not sweep.narrow):
        raise InputError(
            f"--audit-dtype {asked} is not wider than the {sweep.arithmetic} of the sweep; allowed: auto, none"
        )
    return found


def audit_precision(sweep: Sweep, engine: Literal["onepass", "hooks"], reference: Sweep) -> PrecisionAudit:
    """Run a sample of prompts and blocks in both arithmetics and summarise the drift.

    Block 0 is left out where others were swept: its effects are many times larger, and would hide the drift of the rest.

    Args:
        sweep: the sweep whose precision is in question.
        engine: as ``Sweep.checked`` chose it.
        reference: the same sweep in a wider number format, from ``Sweep.reference``.

    Raises:
        NonFiniteError: activations or logits are not finite in one of them.
    """
    grid = replace(
        sweep.grid,
        layers=_spaced([layer for layer in sweep.grid.layers if layer] or list(sweep.grid.layers), LAYERS),
        replacements=sweep.grid.replacements[:1],
        sites=sweep.grid.sites[:1],
    )
    n = len(sweep.prompts)
    rows = sorted(np.random.default_rng([sweep.seed, n]).choice(n, min(PROMPTS, n), replace=False).tolist())
    low, wide = (_effects(replace(one, grid=grid), engine, rows) for one in (sweep, reference))
    metrics = tuple(METRICS[name] for name in sweep.metrics)
    return PrecisionAudit(
        sweep.arithmetic,
        reference.arithmetic,
        tuple(sweep.prompts[row].prompt_id for row in rows),
        grid.layers,
        grid.replacements[0],
        grid.sites[0],
        drift_rows(low, wide, metrics),
        drift_verdict(low, wide, metrics),
    )


def _effects(sweep: Sweep, engine: Literal["onepass", "hooks"], rows: list[int]) -> Columns:
    parts = [sweep.run(slice(row, row + 1), engine)[0] for row in rows]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _spaced(layers: list[int], most: int) -> tuple[int, ...]:
    places = np.linspace(0, len(layers) - 1, min(most, len(layers))).round().astype(int)
    return tuple(layers[place] for place in places)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value
