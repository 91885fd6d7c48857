"""What each figure of a run shows, in words: for its caption file, and for readers who do not see it."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ripplestats.fits.curve_layout import ALL_LAYERS
from ripplestats.fits.curves import DocumentCurves
from ripplestats.fits.run_estimates import UNITS, main_metric, main_rows
from ripplestats.hypotheses.claims import CLAIMS, THRESHOLD
from ripplestats.rendering.numbers import fixed, with_interval
from ripplestats.report.wording import ARM_NAMES, METRIC_NAMES, mean_over, neurons_done_to

#: Doses, as shares of neurons, that the captions give the effect at, where the run has one within a tenth of them.
_SAID = (0.01, 0.1, 0.9)


def dose_response_caption(curves: Mapping[str, DocumentCurves], metric: str, blocks: str) -> str:
    """Say what the dose–response figure shows, with each arm's mean effect at a few doses."""
    first = next(iter(curves.values())).groups[0]
    where = mean_over(blocks) if first == ALL_LAYERS else f"block {first}"
    said = [f"{ARM_NAMES[arm]}: {_at_doses(one, UNITS[metric])}" for arm, one in curves.items()]
    return (
        f"{_capital(METRIC_NAMES[metric])}, clean − replaced (positive: the true next token became less likely), against "
        f"the share of neurons {neurons_done_to(next(iter(curves)))}, {where}; bands: simultaneous 95 % over documents. "
        f"{_capital('; '.join(said))}."
    )


def layer_by_rate_caption(mean: pd.Series, arm: str, metric: str) -> str:
    """Say what the map shows, and where it is largest."""
    layer, dose = mean.index[int(np.abs(mean.to_numpy()).argmax())]
    return (
        f"Mean {METRIC_NAMES[metric]} of every block (rows) and share of neurons {neurons_done_to(arm)} (columns), "
        f"{ARM_NAMES[arm]}; colours are linear around zero and logarithmic beyond. Largest: "
        f"{fixed(float(mean.loc[layer, dose]), 3)} {UNITS[metric]}, block {layer} at {fixed(dose, 1, 100)} %."
    )


def threshold_caption(rows: pd.DataFrame, arm: str, blocks: str) -> str:
    """Say what the figure of thresholds shows, and how many blocks' lie below 10 %."""
    rows = main_rows(rows[(rows["quantity"] == "threshold") & (rows["metric"] == main_metric(rows["metric"]))])
    layers, overall = rows[rows["layer"] != ALL_LAYERS], rows[rows["layer"] == ALL_LAYERS]
    limit = CLAIMS[THRESHOLD].margin
    band = ""
    if len(overall) and np.isfinite(overall["estimate"].iloc[0]):
        value, low, high = (float(overall[name].iloc[0]) for name in ("estimate", "conf_low", "conf_high"))
        band = f" Band: the {mean_over(blocks)}, {with_interval(value, low, high, 1, 100, margin=limit)} %."
    below = int((layers["conf_high"] < limit).sum())
    return (
        f"Share of neurons {neurons_done_to(arm)} at which the two-phase line through the mean effect breaks, in each "
        f"block, with 95 % intervals over documents; {ARM_NAMES[arm]}.{band} The whole interval lies below 10 % in {below} "
        f"of {len(layers)} blocks; in {int(layers['estimate'].isna().sum())} the threshold is undefined (cross)."
    )


def seed_dots_caption(n_prompts: int, metric: str) -> str:
    """Say what the research note's figure shows."""
    over = f"the mean over {n_prompts} prompts" if n_prompts > 1 else "of one prompt"
    return (
        f"The research note's figure: {METRIC_NAMES[metric]}, {over}, in each block (a column of dots); a dot is a rate, its "
        "colour says which. Left 10 to 90 % of the neurons, right the rates up to 4.5 %."
    )


def sufficiency_caption(share_at: Mapping[str, str]) -> str:
    """Say what the figure of sufficiency against necessity shows; ``share_at`` gives each curve's reading at a dose."""
    return (
        "What replacing the largest activations destroys (necessity), and what keeping them alone wins back (sufficiency), "
        "each as a share of its whole: the mean effect of the largest share replaced, and what is lost with the fewest kept. "
        f"{_capital('; '.join(f'{name}: {said}' for name, said in share_at.items()))}."
    )


def _at_doses(curves: DocumentCurves, unit: str) -> str:
    mean = curves.pooled()[0]
    near = {int(np.abs(curves.x - dose).argmin()): dose for dose in _SAID}
    found = [
        f"{fixed(float(mean[place]), 3)} {unit} at {fixed(float(curves.x[place]), 1, 100)} %"
        for place, dose in near.items()
        if abs(curves.x[place] / dose - 1) < 0.1
    ]
    return ", ".join(found) or f"{fixed(float(mean[-1]), 3)} {unit} at {fixed(float(curves.x[-1]), 1, 100)} %"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
