"""Two sweeps of the same cells in two precisions → how far one is from the other, and whether that matters."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

#: Of the mean drift, as a share of the plateau: a bias, which more prompts do not average out. The claims' own margin is
#: 20 % of the plateau; a quarter of that may be rounding.
MOST_BIAS = 0.05
#: A mean drift within so many of its standard errors over prompts is not told from none; three, not two, because the
#: largest of many rates is looked at.
ERRORS = 3.0
#: Of the drift's standard deviation, as a share of the effects': noise of half their spread adds a quarter to their
#: variance, and so makes every interval 12 % wider.
MOST_SPREAD = 0.5
#: The rates of the plateau.
_PLATEAU = (0.1, 0.9)

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Drift:
    """Low precision − reference of one outcome at one rate, and that outcome in the reference.

    ``drift_mean`` has a standard error over prompts, ``drift_error``. Of ``top1_changed`` means are shares of cells. NaN
    where a single cell, or prompt, has no spread.
    """

    arm: str
    metric: str
    rate: float
    n_cells: int
    drift_mean: float
    drift_error: float
    drift_sd: float
    drift_largest: float
    effect_mean: float
    effect_sd: float


@dataclass(frozen=True)
class DriftVerdict:
    """Whether the drift of the main outcome matters.

    ``bias`` is the mean drift that is largest over the rates, ``bias_error`` its standard error over prompts, ``rate``
    where it is; ``plateau`` is the reference's mean effect over 10 to 90 % of neurons (over all rates where none lies
    there), ``drift_sd`` and ``effect_sd`` are over the same cells.
    """

    arm: str
    metric: str
    rate: float
    bias: float
    bias_error: float
    plateau: float
    drift_sd: float
    effect_sd: float

    @property
    def biased(self) -> bool:
        """Whether the mean drift is above its limit, and more than noise."""
        return abs(self.bias) > MOST_BIAS * abs(self.plateau) and not abs(self.bias) <= ERRORS * self.bias_error

    @property
    def noisy(self) -> bool:
        """Whether the spread of the drift is above its limit."""
        return self.drift_sd > MOST_SPREAD * self.effect_sd


def drift_rows(low: Columns, reference: Columns, metrics: tuple[str, ...]) -> tuple[Drift, ...]:
    """Summarise low precision − reference by arm, outcome and rate.

    Args:
        low: columns of the effects table.
        reference: the same cells in the same order in the wider number format.
        metrics: outcome columns.
    """
    return tuple(
        _drift(low, reference, arm, metric, rate)
        for arm in dict.fromkeys(reference["arm"].tolist())
        for metric in metrics
        for rate in np.unique(reference["rate"]).tolist()
    )


def drift_verdict(low: Columns, reference: Columns, metrics: tuple[str, ...]) -> DriftVerdict:
    """Judge the drift of the log-probability (the logit, where that was not recorded) in the arm that the run is about."""
    metric = "delta_logprob" if "delta_logprob" in metrics else "delta_logit"
    arms = list(dict.fromkeys(reference["arm"].tolist()))
    arm = "top" if "top" in arms else arms[0]
    rows = [row for row in drift_rows(low, reference, (metric,)) if row.arm == arm]
    worst = max(rows, key=lambda row: abs(row.drift_mean))
    inside = (reference["rate"] >= _PLATEAU[0]) & (reference["rate"] <= _PLATEAU[1])
    here = (reference["arm"] == arm) & (inside if inside.any() else True)
    effect = reference[metric][here].astype(np.float64)
    drift = low[metric][here].astype(np.float64) - effect
    return DriftVerdict(
        arm, metric, worst.rate, worst.drift_mean, worst.drift_error, float(effect.mean()), _sd(drift), _sd(effect)
    )


def _drift(low: Columns, reference: Columns, arm: str, metric: str, rate: float) -> Drift:
    here = (reference["arm"] == arm) & (reference["rate"] == rate)
    effect = reference[metric][here].astype(np.float64)
    drift = low[metric][here].astype(np.float64) - effect
    prompts = reference["prompt_id"][here]
    means = np.array([drift[prompts == prompt].mean() for prompt in np.unique(prompts)])
    return Drift(
        arm, metric, rate, len(drift), float(drift.mean()), _sd(means) / len(means) ** 0.5, _sd(drift),
        float(np.abs(drift).max()), float(effect.mean()), _sd(effect),
    )  # fmt: skip


def _sd(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")
