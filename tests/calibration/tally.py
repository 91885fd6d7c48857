"""Data sets → rows of coverage, size and power with their Monte-Carlo errors."""

import zlib
from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import pandas as pd

from ripplestats.fits.bootstrap import flip_signs
from ripplestats.fits.curves import Floats
from ripplestats.hypotheses.breaks import sup_f
from tests.calibration.methods import METHODS, Method, draw_study, estimates, with_fewer_resamples
from tests.calibration.nulls import NULLS
from tests.calibration.simulate import Scenario, simulate, truths

ALPHA = 0.05
#: Rounding of a limit that is the truth itself.
_ROUNDING = 1e-12
SETS_AT_ONCE = 25
CORE_RESAMPLES = 400


def seeded(name: str) -> np.random.Generator:
    """Return the generator of a job, the same whichever worker runs it."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def coverage(
    scenario: Scenario, n_sets: int, n_boot: int, methods: Mapping[str, Mapping[str, Method]] = METHODS
) -> pd.DataFrame:
    """Return a row a quantity and method; those that take seconds have data sets of their own, the same for all."""
    rng = seeded(f"{scenario.name} {'' if methods is METHODS else 'slow'}")
    at_once = min(SETS_AT_ONCE, n_sets)
    found: dict[tuple[str, str], list[Floats]] = defaultdict(list)
    for _ in range(max(round(n_sets / at_once), 1)):
        study = draw_study(scenario, at_once, n_boot, rng)
        fewer = with_fewer_resamples(study, min(n_boot, CORE_RESAMPLES))
        for quantity, intervals in methods.items():
            # Only isotonic fits take long.
            one = fewer if quantity.startswith(("core", "plateau")) else study
            for method, limits in intervals.items():
                found[quantity, method].append(np.stack([estimates(one, quantity, method), *limits(one)]))
    truth = truths(scenario)
    rows = [
        coverage_row(scenario, quantity, method, np.concatenate(parts, axis=1), truth[quantity])
        for (quantity, method), parts in found.items()
    ]
    return pd.DataFrame(rows)


def coverage_row(scenario: Scenario, quantity: str, method: str, found: Floats, truth: float) -> dict[str, object]:
    """Return a row from estimates and limits (3 × sets)."""
    defined = np.isfinite(found).all(axis=0)
    estimate, low, high = found[:, defined]
    n = int(defined.sum())
    above, below = low > truth + _ROUNDING, high < truth - _ROUNDING
    share = float(1 - (above | below).mean()) if n else np.nan
    length = high - low
    return {
        "quantity": quantity, "method": method, "kind": scenario.kind, "break": scenario.break_mean,
        "documents": scenario.n_documents, "truth": truth, "sets": found.shape[1], "coverage": share,
        "coverage_error": np.sqrt(share * (1 - share) / n) if n else np.nan,
        "all_above": above.mean() if n else np.nan, "all_below": below.mean() if n else np.nan,
        "median_length": np.median(length) if n else np.nan, "mean_length": length.mean() if n else np.nan,
        "undefined": 1 - defined.mean(), "bias": estimate.mean() - truth if n else np.nan,
        "sd": estimate.std(ddof=1) if n > 1 else np.nan,
    }  # fmt: skip


def size(name: str, n_documents: int, n_sets: int, n_boot: int) -> pd.DataFrame:
    """Return a row a test of one null, on its boundary."""
    rng = seeded(f"{name} {n_documents}")
    found: dict[str, list[Floats]] = defaultdict(list)
    at_once = min(SETS_AT_ONCE, n_sets)
    for _ in range(max(round(n_sets / at_once), 1)):
        for test, p_values in NULLS[name](n_documents, at_once, n_boot, rng).items():
            found[test].append(p_values)
    return pd.DataFrame(
        [
            _rejections(np.concatenate(parts), null=name, test=test, documents=n_documents)
            for test, parts in found.items()
        ]
    )


def power(scenario: Scenario, n_sets: int, n_boot: int) -> pd.DataFrame:
    """Return the power of the break test."""
    rng = seeded(f"{scenario.name} {scenario.slope_change}")
    parts = []
    at_once = min(SETS_AT_ONCE, n_sets)
    for _ in range(max(round(n_sets / at_once), 1)):
        curves = simulate(scenario, at_once, rng)
        parts.append(sup_f(curves, flip_signs(scenario.n_documents, n_boot, rng)).p_value)
    names = {"test": "sup-F", "kink": scenario.slope_change, "documents": scenario.n_documents}
    return pd.DataFrame([_rejections(np.concatenate(parts), **names)])


def _rejections(p_values: Floats, **names: object) -> dict[str, object]:
    # An undefined p-value rejects nothing.
    share = float((p_values <= ALPHA).mean())
    error = np.sqrt(share * (1 - share) / len(p_values))
    return {**names, "sets": len(p_values), "rejected": share, "rejected_error": error}
