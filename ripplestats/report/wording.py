"""Names of metrics, arms and blocks, and numbers, as every table, figure and summary has them."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from ripplestats.rendering.numbers import limits

#: Axis and column names of the metrics, with units.
METRIC_NAMES = {
    "delta_logprob": "drop in log-probability (nats)",
    "delta_logit": "drop in logit",
    "kl": "KL divergence (nats)",
    "top1_changed": "share of prompts whose first token changed",
}
#: The outcomes that estimates can be about, without their units.
OUTCOMES = {"delta_logprob": "drop in log-probability", "delta_logit": "drop in logit"}
ARM_NAMES = {
    "top": "largest activations",
    "bottom": "smallest activations",
    "magnitude": "furthest from the median",
    "random": "random neurons",
    "keep_top": "all but the largest",
}

#: Covariates of a prompt, as columns have them and in words; ``kind`` only where it is one.
_COVARIATES = {
    "clean_logprob": "clean log-probability",
    "clean_entropy": "clean entropy",
    "context_tokens": "tokens of context",
    "position": "position in the document",
    "target_kind": "kind of target",
    "kind": "kind of prompt",
}
_COVARIATE = re.compile(rf"\b({'|'.join(_COVARIATES)})(?:(\[)|(?= \(any\)|:|$))")

#: What a run must have to decide a claim, by its number.
_CLAIMS_NEED = {
    "1": "rates of 10 and 90 % of the arm top with the median",
    "2": "rates below and above 10 % of the arm top with the median",
    "3": "rates from below 2 to 90 % of the arm top with the median",
    "4": "block 0 and others",
    "5": "the arms top and random",
    "6": "another replacement, zero or mean, beside the median",
}


def covariates_in_words(text: str) -> str:
    """Return a term of the moderators, or a note on one, with the covariate in words; what is none of ours stays."""
    return _COVARIATE.sub(lambda found: _COVARIATES[found[1]] + (" [" if found[2] else ""), text)


def untested(tested: Iterable[str]) -> list[str]:
    """Return in words which of the six claims a run could not decide, and what it lacks; ``tested`` are their names."""
    missing = sorted(set(_CLAIMS_NEED) - {name[:1] for name in tested})
    return [f"Claim {number} was not tested: it needs {_CLAIMS_NEED[number]}." for number in missing]


def neurons_done_to(arm: str) -> str:
    """Return what a dose of an arm does to neurons: they are ``replaced``, or alone ``kept``."""
    return "kept" if arm == "keep_top" else "replaced"


def mean_blocks(manifest: dict[str, Any]) -> str:
    """Name the blocks that overall rows are about: those that were run but for the first, or the first where it is alone."""
    n_layers = manifest["model"].get("n_layers")
    layers = sorted(manifest.get("definition", {}).get("layers", ()))
    later = [layer for layer in layers if layer] or layers
    if n_layers is None or later == list(range(1, n_layers)):
        return "all blocks but the first"
    return named_blocks(later)


def named_blocks(layers: Sequence[int]) -> str:
    """Return ``block 3`` or ``blocks 1–3, 7``."""
    ranges: list[list[int]] = []
    for layer in sorted(layers):
        if ranges and layer == ranges[-1][1] + 1:
            ranges[-1][1] = layer
        else:
            ranges.append([layer, layer])
    words = ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in ranges)
    return f"{'block' if len(layers) == 1 else 'blocks'} {words}"


def mean_over(blocks: str) -> str:
    """Return ``mean over`` the blocks that ``mean_blocks`` names, or the block itself where it is one."""
    return blocks if blocks.startswith("block ") else f"mean over {blocks}"


def design_effect(estimates: pd.DataFrame) -> str:
    """Return what it costs that documents hold several prompts, of the first arm, or nothing where it is undefined."""
    found = estimates.loc[estimates["quantity"] == "design_effect", "estimate"].dropna()
    return f"Design effect of the documents {found.iloc[0]:.2f}." if len(found) else ""


def interval(low: float, high: float, scale: float = 100, decimals: int = 1) -> str:
    """Return limits as ``[low, high]``, by default in percent, or that there are none."""
    return limits(low, high, decimals, scale) or "[no interval]"
