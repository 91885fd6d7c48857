"""What of a run was decided on the way, in plain words: its rates by a pilot, its number of prompts by a rule."""

from collections.abc import Mapping
from typing import Any


def adaptive_design(manifest: Mapping[str, Any]) -> list[str]:
    """Return a line on rates that a pilot chose, and one on the rule that ends a run at a width, where there were such."""
    rates, stopping = manifest.get("options", {}).get("staged_rates"), manifest.get("stopping")
    return [*([_rates(rates)] if rates else []), *([_stopping(stopping, manifest)] if stopping else [])]


def _rates(record: Mapping[str, Any]) -> str:
    pilot, added = record["pilot"], ", ".join(f"{100 * rate:.3g}" for rate in record["added"])
    coarse = len(record["rates"]) - len(record["added"])
    where = f"spread evenly, for {record['reason']}" if record["reason"] else "put where its mean curve bends"
    return (
        f"Rates: {coarse} set beforehand and {len(record['added'])} ({added} %) {where}, by a pilot of "
        f"{pilot['n_prompts']} prompts from {pilot['n_documents']} documents that are not among those above."
    )


def _stopping(record: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    asked, looks = f"{100 * record['until_width']:g} percentage points", record["looks"]
    done = manifest["completeness"]["prompts_done"]
    at_most = f"{manifest['completeness']['prompts']} prompts"
    if record["reached"]:
        return (
            f"Stopped by rule: at the last two of {len(looks)} looks the interval of the threshold was at most {asked} wide "
            f"({_width(looks[-2])}, then {_width(looks[-1])}); at most {at_most} were allowed."
            + (f" The run held {done} prompts already, and all are used." if done > looks[-1]["prompts"] else "")
        )
    if not looks:
        return (
            f"Stopping rule not met: all {at_most} were run before the first look at the threshold's interval, which "
            f"{record['first_look']} documents are needed for ({asked} were asked for)."
        )
    return (
        f"Stopping rule not met: all {at_most} were run; the interval of the threshold was to be at most {asked} wide at "
        f"two looks in a row, and at the last of {len(looks)} it was {_width(looks[-1])}."
    )


def _width(look: Mapping[str, Any]) -> str:
    wide = "undefined" if look["width"] is None else f"{100 * look['width']:.2f}"
    return f"{wide} at {look['documents']} documents"
