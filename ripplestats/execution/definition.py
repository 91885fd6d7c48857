"""What defines the numbers of a run, and of each of its shards.

Not among it: worker count, batch size, engine and device. The engine is checked against the hooked forward, and the
others change nothing but the order of sums.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ripplestats.prompts.table import PromptTable
    from ripplestats.sweeps.runner import Sweep

#: To be raised by hand with every change that makes the sweep compute other numbers: runs of two do not mix.
NUMERICS = 1


def definition(job: "Sweep") -> dict[str, Any]:
    """Return all that fixes the effects of a sweep, by names that a person knows from the command line."""
    prompts = job.prompts
    return {
        **computation(job),
        "dataset": prompts.provenance.used,
        "prompts": len(prompts),
        "context": sorted({len(prompt.context_ids) for prompt in prompts}),
        "per_document": max(Counter(prompt.document_id for prompt in prompts).values()),
        "prompts_fingerprint": prompts.fingerprint,
    }


def beginning(job: "Sweep", n_prompts: int) -> dict[str, Any]:
    """Return the definition of the first prompts of a sweep, or an empty one if they are not computed alike alone.

    Donors of ``resample`` are drawn from all prompts: a run with them cannot be grown.
    """
    if "resample" in job.grid.replacements:
        return {}
    return definition(replace(job, prompts=job.prompts[:n_prompts]))


def shard_keys(job: "Sweep", slices: Sequence[slice]) -> list[str]:
    """Return for each slice of the prompts the SHA-256 of what defines its numbers, in hexadecimal."""
    shared: dict[str, Any] = computation(job)
    if "resample" in job.grid.replacements:
        shared["donors_from"] = job.prompts.fingerprint
    start = hashlib.sha256(json.dumps(shared, sort_keys=True).encode(errors="backslashreplace"))
    keys = []
    for rows in slices:
        digest = start.copy()
        part: PromptTable = job.prompts[rows]
        digest.update(json.dumps([prompt.prompt_id for prompt in part]).encode())
        digest.update(part.fingerprint.encode())
        keys.append(digest.hexdigest())
    return keys


def tokenizer_sha256(tokenizer: "PreTrainedTokenizerBase") -> str:
    """Return the SHA-256 of a fast tokenizer's definition, but for what a call changes (truncation and padding)."""
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    content |= {"truncation": None, "padding": None}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode(errors="backslashreplace")).hexdigest()


def computation(job: "Sweep") -> dict[str, Any]:
    """Return what fixes the numbers of every prompt, whichever it is."""
    model, grid = job.model, job.grid
    return {
        "model": model.used,
        "revision": model.revision,
        "weights_sha256": model.weights_sha256,
        "tokenizer_sha256": tokenizer_sha256(model.tokenizer),
        "numerics": NUMERICS,
        "dtype": model.dtype,
        "tf32": job.tf32,
        "metrics": job.metrics,
        "seed": job.seed,
        "rates": [str(rate) for rate in grid.rates],
        "arms": grid.arms,
        "replacement": grid.replacements,
        "site": grid.sites,
        "layers": grid.layers,
    }
