"""What a run used, in words that every table, figure and summary repeats."""

from typing import Any

#: Axis and column names of the metrics, with units.
METRIC_NAMES = {
    "delta_logprob": "change in log-probability (nats)",
    "delta_logit": "change in logit",
    "kl": "KL divergence (nats)",
    "top1_changed": "share of prompts whose first token changed",
}
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


def details(manifest: dict[str, Any]) -> str:
    """Return revision, number of prompts and documents, and date, for a table's note."""
    model, dataset = manifest["model"], manifest["dataset"]
    revision = f"revision {model['revision']}, " if model["revision"] else ""
    return (
        f"{provenance(manifest)}; {revision}{model['dtype']}; {dataset['n_prompts']} prompts in "
        f"{dataset['n_documents']} documents (the clusters); {manifest['created'][:10]}."
    )


def percent(value: float, decimals: int = 1) -> str:
    """Return a share as a percentage."""
    return f"{100 * value:.{decimals}f} %"


def interval(low: float, high: float) -> str:
    """Return limits as ``[low, high]`` in percent."""
    return f"[{100 * low:.1f}, {100 * high:.1f}]"
