"""Mixed models: ours from a tidy frame, lme4's, statsmodels' MixedLM, and R's segmented mixed model, on the same data.

    OMP_NUM_THREADS=1 python -m benchmarks.mixed_models

4,000 prompts × 31 rates for the linear model (random intercept and slope of each prompt, REML), 48 × 31 for the
segmented one. Ours starts from the frame and ends with Satterthwaite's degrees of freedom. The segmented model is compared
under the simple law, which is R's model; the default call, which takes the general law where it can, is a second figure.
"""

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf

import ripplestats as rs
from benchmarks.breakpoint_refits import PERCENT
from benchmarks.measuring import in_r, report, timed, timed_once

SCRIPT = Path(__file__).with_suffix(".R")
FORMULA = "y ~ below + above"
LINEAR_PROMPTS, SEGMENTED_PROMPTS = 4000, 48
#: Of our segmented fits, each a fraction of a second: a shared machine is not equally fast all the time R takes.
_SEGMENTED_REPEATS = 20


def linear_data(n: int, seed: int = 0) -> pd.DataFrame:
    """Return curves with a known change of slope at 10 %, and a random intercept and slope of each prompt."""
    rng = np.random.default_rng(seed)
    x = np.unique(PERCENT)
    below, above = np.minimum(x, 10), np.maximum(x - 10, 0)
    effect = rng.multivariate_normal([0.1, 0.05], [[0.04, 0.002], [0.002, 0.0004]], n)
    y = effect[:, :1] + effect[:, 1:] * below - 0.001 * above + 0.3 * rng.standard_normal((n, len(x)))
    return _frame(x, y)


def segmented_data(n: int, seed: int = 0) -> pd.DataFrame:
    """Return curves with a break of each prompt about 5 %."""
    rng = np.random.default_rng(seed)
    x = np.unique(PERCENT)
    at = rng.normal(5, 1.25, (n, 1))
    slope = (1 + 0.3 * rng.standard_normal((n, 1))) / 5
    change = -(1 + 0.15 * rng.standard_normal((n, 1))) / 5
    y = 0.1 + 0.2 * rng.standard_normal((n, 1)) + slope * x + change * np.maximum(x - at, 0)
    return _frame(x, y + 0.1 * rng.standard_normal(y.shape))


def _frame(x: np.ndarray, y: np.ndarray) -> pd.DataFrame:
    n = len(y)
    doses = np.tile(x, n)
    return pd.DataFrame(
        {
            "prompt": np.repeat(np.arange(n), len(x)),
            "x": doses,
            "below": np.minimum(doses, 10),
            "above": np.maximum(doses - 10, 0),
            "y": y.ravel(),
        }
    )


def linear() -> dict[str, Any]:
    """Measure the linear mixed model."""
    data = linear_data(LINEAR_PROMPTS)

    def ours() -> rs.FitResult:
        return rs.mixed(data, FORMULA, groups="prompt", re_formula="~ below")

    seconds, processor = timed(ours, 10)
    found: dict[str, Any] = {
        "prompts": LINEAR_PROMPTS,
        "seconds": seconds,
        "processor_seconds": processor,
        "fixed_effects": ours().tidy()["estimate"].iloc[:3].tolist(),
    }
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "curves.csv"
        data.to_csv(table, index=False)
        lines = in_r(SCRIPT, "lmer", str(table))
    if lines:
        (version, clock, used), (likelihood, *fixed) = lines
        found |= {
            "lme4": version, "lme4_seconds": float(clock), "lme4_processor_seconds": float(used),
            "times_faster_than_lme4": float(clock) / seconds,
            "times_faster_than_lme4_by_processor_time": float(used) / processor,
            "lme4_log_likelihood": float(likelihood), "lme4_fixed_effects": [float(one) for one in fixed],
        }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it did not converge; so does its figure
        clock_, used_ = timed_once(lambda: smf.mixedlm(FORMULA, data, groups="prompt", re_formula="~ below").fit())
    return found | {
        "statsmodels_seconds": clock_, "statsmodels_processor_seconds": used_,
        "times_faster_than_statsmodels": clock_ / seconds,
        "times_faster_than_statsmodels_by_processor_time": used_ / processor,
    }  # fmt: skip


def segmented() -> dict[str, Any]:
    """Measure the segmented mixed model."""
    data = segmented_data(SEGMENTED_PROMPTS)

    def ours(law: str = "simple") -> rs.FitResult:
        # The simple law is the model of segmented.lme.
        return rs.segmented_mixed(data, y="y", x="x", group="prompt", law=law)

    seconds, processor = timed(ours, _SEGMENTED_REPEATS)
    by_default, processor_by_default = timed(lambda: ours("auto"), _SEGMENTED_REPEATS)
    found: dict[str, Any] = {
        "prompts": SEGMENTED_PROMPTS,
        "seconds": seconds,
        "processor_seconds": processor,
        "population_threshold": float(ours().tidy()["estimate"].iloc[0]),
        "seconds_by_default": by_default,
        "processor_seconds_by_default": processor_by_default,
        "population_threshold_by_default": float(ours("auto").tidy()["estimate"].iloc[0]),
    }
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "curves.csv"
        data.to_csv(table, index=False)
        lines = in_r(SCRIPT, "segmented", str(table))
    if lines:
        (version, clock, used), (_, threshold), (_, single, single_used), _ = lines
        found |= {
            "segmented": version, "segmented_seconds": float(clock), "segmented_processor_seconds": float(used),
            "segmented_seconds_without_restarts": float(single),
            "segmented_processor_seconds_without_restarts": float(single_used),
            "times_faster_than_segmented": float(clock) / seconds,
            "times_faster_than_segmented_by_processor_time": float(used) / processor,
            "times_faster_than_segmented_without_restarts": float(single) / seconds,
            "segmented_threshold": float(threshold),
            "times_faster_than_segmented_by_default": float(clock) / by_default,
        }  # fmt: skip
    return found


def main() -> dict[str, Any]:
    """Measure, print and return the figures."""
    result = {"linear": linear(), "segmented": segmented()}
    for model, figures in result.items():
        report(model, figures)
    return result


if __name__ == "__main__":
    main()
