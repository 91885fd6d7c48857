"""The definition: a plain forward pass of the model with a hook that replaces neurons at the last token.

Every engine is held to this one. It is also what a model runs on whose attention the one-pass engine cannot share.
"""

import inspect
from collections.abc import Sequence
from contextlib import ExitStack

import torch
from jaxtyping import Float
from torch import Tensor

from ripplestats.intervention.branches import Branch
from ripplestats.intervention.edit import check_finite, intervene
from ripplestats.intervention.hooks import editing
from ripplestats.model.load import Model
from ripplestats.model.sites import Site
from ripplestats.sweeps.batch import PromptBatch
from ripplestats.sweeps.outcomes import Clean, Outcomes, clean_prediction, compare, joined

#: Tokens that go through the model in one hooked call, at most.
_TOKENS_AT_ONCE = 2048


@torch.inference_mode()
def last_logits(model: Model, ids: Tensor) -> Float[Tensor, "batch vocabulary"]:
    """Return the model's own logits after the last token."""
    keep = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.network.forward).parameters else {}
    logits: Tensor = model.network(input_ids=ids, use_cache=False, **keep).logits
    return logits[:, -1]


@torch.inference_mode()
def run_hooked(
    model: Model, batch: PromptBatch, layers: Sequence[int], branches: Sequence[Branch]
) -> tuple[Clean, Outcomes]:
    """Run every branch at every layer on a batch; outcomes are ordered by layer, then as ``branches``."""
    clean = clean_prediction(last_logits(model, batch.ids), batch.target)
    at_once = max(1, _TOKENS_AT_ONCE // batch.ids.numel())
    parts = []
    for layer in layers:
        for start in range(0, len(branches), at_once):
            chunk = branches[start : start + at_once]
            parts.append(compare(clean, hooked_logits(model, batch, layer, chunk)))
    return clean, joined(parts)


@torch.inference_mode()
def hooked_logits(
    model: Model, batch: PromptBatch, layer: int, branches: Sequence[Branch]
) -> Float[Tensor, "branches batch vocabulary"]:
    """Return the logits of branches at one block, by as many copies of the batch through the whole model."""
    size, length = batch.ids.shape
    by_site: dict[Site, list[int]] = {}
    for number, branch in enumerate(branches):
        by_site.setdefault(branch.site, []).append(number)
    logits = [torch.empty(0)] * len(branches)
    for site, numbers in by_site.items():
        mine = [branches[number] for number in numbers]
        needs_random = any(branch.arm == "random" for branch in mine)
        ranks = batch.random_ranks(layer, model.n_neurons) if needs_random else None

        def edit(values: Tensor, mine: list[Branch] = mine, site: Site = site, ranks: Tensor | None = ranks) -> Tensor:
            edited = values.clone()
            last = edited.view(len(mine), size, length, -1)[:, :, -1]
            check_finite(torch.isfinite(last[0]))
            last[:] = intervene(last[0].clone(), mine, ranks, batch.donors.get((layer, site)))
            return edited

        with editing(model.layout, layer, site, edit):
            rows = last_logits(model, batch.ids.repeat(len(mine), 1)).view(len(mine), size, -1)
        for number, row in zip(numbers, rows, strict=True):
            logits[number] = row
    return torch.stack(logits)


@torch.inference_mode()
def site_activations(
    model: Model, ids: Tensor, layers: Sequence[int], sites: Sequence[Site]
) -> dict[tuple[int, Site], Float[Tensor, "batch neurons"]]:
    """Return the clean values at the last token of each neuron site."""
    seen: dict[tuple[int, Site], Tensor] = {}
    size, length = ids.shape

    with ExitStack() as stack:
        for layer in layers:
            for site in sites:

                def look(values: Tensor, key: tuple[int, Site] = (layer, site)) -> Tensor:
                    seen[key] = values.reshape(size, length, -1)[:, -1].clone()
                    return values

                stack.enter_context(editing(model.layout, layer, site, look))
        last_logits(model, ids)
    return seen
