"""The one-pass engine: a whole sweep in one forward pass.

Only the last position changes, so all before it is shared. Each intervention is a *branch*: a copy of the last
position that joins at its own block as a sibling in a token tree, attends to the shared prefix and to itself, and
goes through the remaining blocks beside all the others. The model's own forward pass drives: after each block has run
on the prompts, a hook runs the same block on the branches. It computes what the hooked forward computes, and is
compared with it before every sweep (``selfcheck``).
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ripplestats.errors import EngineError
from ripplestats.intervention.branches import Branch
from ripplestats.intervention.edit import intervene
from ripplestats.intervention.hooks import editing
from ripplestats.model.load import Model
from ripplestats.model.sites import Site
from ripplestats.model.unembedding import find_unembedding
from ripplestats.sweeps.batch import PromptBatch
from ripplestats.sweeps.outcomes import Clean, Outcomes
from ripplestats.sweeps.tiled_outcomes import compare_residuals
from ripplestats.sweeps.tree_attention import Prefix, tree_attention

#: Rows of the residual stream that go through a block in one call, at most.
_ROWS_AT_ONCE = 1024


@torch.inference_mode()
def run_one_pass(
    model: Model, batch: PromptBatch, layers: Sequence[int], branches: Sequence[Branch]
) -> tuple[Clean, Outcomes]:
    """Run every branch at every layer on a batch; outcomes are ordered by layer, then as ``branches``.

    Raises:
        EngineError: the model's attention or blocks cannot be shared by branches.
    """
    residual = branch_residuals(model, batch, layers, branches)
    unembed = find_unembedding(model.network, model.layout)
    return compare_residuals(residual, batch.target, unembed)


@torch.inference_mode()
def branch_residuals(
    model: Model, batch: PromptBatch, layers: Sequence[int], branches: Sequence[Branch]
) -> Float[Tensor, "branches batch hidden"]:
    """Return the last block's output for the clean last token (first) and for every branch."""
    with tree_attention(model.network) as prefix, ExitStack() as hooks:
        tree = _Tree(model, batch, frozenset(layers), tuple(branches), prefix)
        for layer, block in enumerate(model.blocks):
            handle = block.register_forward_hook(tree.after_block(layer), with_kwargs=True)
            hooks.callback(handle.remove)
        model.network.base_model(input_ids=batch.ids, use_cache=False)
        if tree.residual is None:
            raise EngineError(f"the blocks of {type(model.network).__name__} were not called")
        return tree.residual


@dataclass
class _Tree:
    """The growing set of branches of one batch."""

    model: Model
    batch: PromptBatch
    layers: frozenset[int]
    branches: tuple[Branch, ...]
    prefix: Prefix
    residual: Float[Tensor, "branches batch hidden"] | None = None
    filled: int = 1
    clean_values: dict[Site, Float[Tensor, "batch neurons"]] = field(default_factory=dict)

    def after_block(self, layer: int) -> Any:
        """Make the hook that runs a block on the branches after it has run on the prompts."""

        def hook(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], _output: Any) -> None:
            if self.prefix.keys is None:
                raise EngineError(f"the attention of {type(block).__name__} is not reached by branches")
            hidden, options = _last_token_call(block, args, kwargs)
            if self.residual is None:
                self.residual = self._room(hidden)
            self.prefix.branching = True
            try:
                self._advance(layer, block, options)
            finally:
                self.prefix.branching = False

        return hook

    def _room(self, hidden: Float[Tensor, "batch tokens hidden"]) -> Tensor:
        rows = 1 + len(self.layers) * len(self.branches)
        residual = hidden.new_empty(rows, hidden.shape[0], hidden.shape[-1])
        residual[0] = hidden[:, -1]
        return residual

    def _advance(self, layer: int, block: nn.Module, options: Mapping[str, Any]) -> None:
        """Run a block on the clean last token and all branches so far, then let the block's own branches join."""
        assert self.residual is not None
        joining = self.branches if layer in self.layers else ()
        clean_before = self.residual[0].clone()
        sites = {branch.site for branch in joining}
        with self._watching(layer, sites):
            self.residual[:1] = _run(block, self.residual[:1], options)
        for chunk in self._chunks(self.residual[1 : self.filled]):
            chunk.copy_(_run(block, chunk, options))
        for site in sites:
            mine = [number for number, branch in enumerate(joining) if branch.site == site]
            edited = self._edited(layer, site, [joining[number] for number in mine])
            for numbers, values in zip(self._chunks(torch.tensor(mine)), self._chunks(edited), strict=True):
                rows = clean_before.expand(len(numbers), *clean_before.shape)
                with editing(self.model.layout, layer, site, _overwrite(values)):
                    self.residual[(self.filled + numbers).to(rows.device)] = _run(block, rows, options)
        self.filled += len(joining)

    @contextmanager
    def _watching(self, layer: int, sites: set[Site]) -> Iterator[None]:
        with ExitStack() as stack:
            for site in sites:

                def keep(values: Tensor, site: Site = site) -> Tensor:
                    self.clean_values[site] = values.reshape(len(self.batch.prompts), -1).clone()
                    return values

                stack.enter_context(editing(self.model.layout, layer, site, keep))
            yield

    def _edited(self, layer: int, site: Site, branches: list[Branch]) -> Float[Tensor, "branches batch neurons"]:
        needs_random = any(branch.arm == "random" for branch in branches)
        ranks = self.batch.random_ranks(layer, self.model.n_neurons) if needs_random else None
        return intervene(self.clean_values[site], branches, ranks, self.batch.donors.get((layer, site)))

    def _chunks(self, rows: Tensor) -> tuple[Tensor, ...]:
        return rows.split(max(1, _ROWS_AT_ONCE // len(self.batch.prompts))) if len(rows) else ()


def _overwrite(values: Float[Tensor, "branches batch neurons"]) -> Any:
    return lambda clean: values.reshape(clean.shape)


def _run(block: nn.Module, rows: Float[Tensor, "branches batch hidden"], options: Mapping[str, Any]) -> Tensor:
    # forward, not call: the hook that runs this must not run again. A sequence of one token a row.
    output = block.forward(rows.reshape(-1, 1, rows.shape[-1]), **options)
    hidden: Tensor = output[0] if isinstance(output, tuple) else output
    return hidden.view(rows.shape)


def _last_token_call(
    block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Tensor, dict[str, Any]]:
    """Turn the arguments that a block got for all tokens into those for rows of the last token alone."""
    bound = inspect.signature(block.forward).bind(*args, **kwargs).arguments
    (first, hidden), *rest = bound.items()
    options: dict[str, Any] = {}
    for name, value in [*rest, *bound.get("kwargs", {}).items()]:
        if name == "kwargs":
            continue
        if "mask" in name or name.startswith(("past_", "layer_past")):
            options[name] = None
        elif name == "use_cache":
            options[name] = False
        elif name in ("position_ids", "cache_position") and value is not None:
            options[name] = value[..., -1:] if value.ndim == 1 else value[:1, -1:]
        elif name == "position_embeddings" and value is not None:
            options[name] = tuple(part[:1, -1:] for part in value)
        else:
            options[name] = value
    if not isinstance(hidden, Tensor):
        raise EngineError(f"the first argument of {type(block).__name__}, {first!r}, is not the residual stream")
    return hidden, options
