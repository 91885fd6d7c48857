"""What a run used, in words that every table, figure and summary repeats."""

import math
from typing import Any

#: Axis and column names of the metrics, with units.
METRIC_NAMES = {
    "delta_logprob": "change in log-probability (nats)",
    "delta_logit": "change in logit",
    "kl": "KL divergence (nats)",
    "top1_changed": "share of prompts whose first token changed",
}
#: The outcomes that estimates can be about, without their units.
OUTCOMES = {"delta_logprob": "change in log-probability", "delta_logit": "change in logit"}
ARM_NAMES = {
    "top": "largest activations",
    "bottom": "smallest activations",
    "magnitude": "furthest from the median",
    "random": "random neurons",
    "keep_top": "all but the largest",
}


def provenance(manifest: dict[str, Any]) -> str:
    """Return model and dataset really used, and what was asked for where that differs."""
    model, dataset = manifest["model"], manifest["dataset"]
    parts = [f"Model {model['used']}"]
    if model["fallback"]:
        parts.append(f" (not {model['requested']}: the hub could not be reached)")
    parts.append(f", dataset {dataset['used']}")
    if dataset["fallback"]:
        parts.append(f" (not {dataset['requested']}: the hub could not be reached)")
    return "".join(parts)


def details(manifest: dict[str, Any], counts: tuple[int, int] | None = None) -> str:
    """Return revision, date, and number of prompts and documents (by default all of the run), for a table's note."""
    model, dataset = manifest["model"], manifest["dataset"]
    revision = f"revision {model['revision']}, " if model["revision"] else ""
    prompts, documents = counts or (dataset["n_prompts"], dataset["n_documents"])
    return (
        f"{provenance(manifest)}; {revision}{model['dtype']}; {prompts} prompts in "
        f"{documents} documents (the clusters); {manifest['created'][:10]}."
    )


def mean_blocks(manifest: dict[str, Any]) -> str:
    """Name the blocks that overall rows are about: those that were run but for the first, or the first where it is alone."""
    n_layers = manifest["model"].get("n_layers")
    layers = sorted(manifest.get("definition", {}).get("layers", ()))
    later = [layer for layer in layers if layer] or layers
    if n_layers is None or later == list(range(1, n_layers)):
        return "all blocks but the first"
    ranges: list[list[int]] = []
    for layer in later:
        if ranges and layer == ranges[-1][1] + 1:
            ranges[-1][1] = layer
        else:
            ranges.append([layer, layer])
    words = ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in ranges)
    return f"{'block' if len(later) == 1 else 'blocks'} {words}"


def mean_over(blocks: str) -> str:
    """Return ``mean over`` the blocks that ``mean_blocks`` names, or the block itself where it is one."""
    return blocks if blocks.startswith("block ") else f"mean over {blocks}"


def percent(value: float, decimals: int = 1) -> str:
    """Return a share as a percentage."""
    return f"{100 * value:.{decimals}f} %"


def interval(low: float, high: float, scale: float = 100, decimals: int = 1) -> str:
    """Return limits as ``[low, high]``, by default in percent, or that there are none."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "[no interval]"
    return f"[{scale * low:.{decimals}f}, {scale * high:.{decimals}f}]"
