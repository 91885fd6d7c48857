"""Prompts of equal length → tensors, with everything random about them fixed by seed and prompt number."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ripplestats.intervention.selection import random_ranks
from ripplestats.model.sites import Site
from ripplestats.prompts.table import Prompt


@dataclass(frozen=True)
class PromptBatch:
    """Prompts of equal length on the device, and the donors' activations where resampling needs them."""

    prompts: tuple[Prompt, ...]
    ids: Int[Tensor, "batch tokens"]
    target: Int[Tensor, " batch"]
    seed: int
    donors: Mapping[tuple[int, Site], Float[Tensor, "batch neurons"]] = field(default_factory=dict)

    def random_ranks(self, layer: int, n_neurons: int) -> Int[Tensor, "batch neurons"]:
        """Return the random arm's order at one block for each prompt."""
        rows = [random_ranks(self.seed, prompt.prompt_id, layer, n_neurons) for prompt in self.prompts]
        return handed_over(torch.from_numpy(np.stack(rows)), self.ids.device)

    def only(self, number: int) -> "PromptBatch":
        """Return the batch of one prompt."""
        row = slice(number, number + 1)
        donors = {site: values[row] for site, values in self.donors.items()}
        return PromptBatch(self.prompts[row], self.ids[row], self.target[row], self.seed, donors)


def make_batch(
    prompts: Sequence[Prompt],
    device: torch.device,
    seed: int,
    donors: Mapping[tuple[int, Site], Tensor] | None = None,
) -> PromptBatch:
    """Put prompts of equal length on a device."""
    ids = torch.tensor([prompt.context_ids for prompt in prompts], dtype=torch.long, device=device)
    target = torch.tensor([prompt.target_id for prompt in prompts], dtype=torch.long, device=device)
    return PromptBatch(tuple(prompts), ids, target, seed, donors or {})


def handed_over(values: Tensor, device: torch.device) -> Tensor:
    """Copy from main memory to a device, on CUDA without waiting for what it still has to do.

    CUDA takes its copy of such memory at once. MPS would read it later, when it may be gone: there the call waits.
    """
    return values.to(device, non_blocking=device.type == "cuda")


def equal_length_groups(prompts: Sequence[Prompt], size: int) -> Iterator[list[Prompt]]:
    """Split prompts into groups of at most ``size`` and of equal length: nothing is ever padded."""
    by_length: dict[int, list[Prompt]] = {}
    for prompt in prompts:
        by_length.setdefault(len(prompt.context_ids), []).append(prompt)
    for group in by_length.values():
        for start in range(0, len(group), size):
            yield group[start : start + size]


def donor_numbers(document_ids: Sequence[int], seed: int) -> list[int]:
    """Choose for each prompt the prompt whose activations it borrows: of another document wherever there is one.

    The choice depends on the seed and the whole table only, not on batches.
    """
    documents = np.asarray(document_ids)
    several = len(np.unique(documents)) > 1
    chosen = []
    for number, document in enumerate(documents):
        others = documents != document if several else np.arange(len(documents)) != number
        rng = np.random.default_rng([seed, number, len(documents)])
        chosen.append(int(rng.choice(np.flatnonzero(others))))
    return chosen
