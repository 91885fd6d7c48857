"""The one-pass engine: a whole sweep in one forward pass.

Only the last position changes, so all before it is shared. Each intervention is a *branch*: a copy of the last
position that joins at its own block as a sibling in a token tree, attends to the shared prefix and to itself, and
goes through the remaining blocks beside all the others. The model's own forward pass drives: after each block has run
on the prompts, a hook runs the same block on the branches. It computes what the hooked forward computes, and is
compared with it before every sweep (``selfcheck``).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ripplestats.errors import EngineError
from ripplestats.intervention.branches import Branch
from ripplestats.intervention.edit import check_finite, intervene
from ripplestats.intervention.hooks import editing
from ripplestats.model.load import Model
from ripplestats.model.packed import packed_products, packing_pays, repeated_rows_once
from ripplestats.model.placement import weights_at_hand
from ripplestats.model.sites import Site
from ripplestats.model.unembedding import find_unembedding
from ripplestats.sweeps.adapters import tree_attention
from ripplestats.sweeps.batch import PromptBatch, handed_over
from ripplestats.sweeps.in_place import in_place
from ripplestats.sweeps.last_token import last_token_call
from ripplestats.sweeps.outcomes import Clean, Outcomes, compare_target_logits
from ripplestats.sweeps.tiled_outcomes import compare_residuals
from ripplestats.sweeps.tree_attention import Prefix

#: Rows of the residual stream that go through a block in one call, at most. Where each call lays out the weights anew,
#: more of them pay for it.
_ROWS_AT_ONCE = 256 if packing_pays() else 768

_Outcomes = TypeVar("_Outcomes", Clean, Outcomes)


@torch.inference_mode()
def run_one_pass(
    model: Model, batch: PromptBatch, layers: Sequence[int], branches: Sequence[Branch], *, vocabulary: bool = True
) -> tuple[Clean, Outcomes]:
    """Run every branch at every layer on a batch; outcomes are ordered by layer, then as ``branches``.

    Without ``vocabulary`` only the change of the target's logit is computed.

    Raises:
        EngineError: the model's attention or blocks cannot be shared by branches.
    """
    residual = branch_residuals(model, batch, layers, branches)
    unembed = find_unembedding(model.network, model.layout)
    compare = compare_residuals if vocabulary else compare_target_logits
    with weights_at_hand(unembed.head):
        clean, outcomes = compare(residual, batch.target.to(unembed.head.weight.device), unembed)
    return _moved(clean, batch.ids.device), _moved(outcomes, batch.ids.device)


@torch.inference_mode()
def branch_residuals(
    model: Model, batch: PromptBatch, layers: Sequence[int], branches: Sequence[Branch]
) -> Float[Tensor, "branches batch hidden"]:
    """Return the last block's output for the clean last token (first) and for every branch."""
    with tree_attention(model.network) as prefix, in_place(model.network), ExitStack() as hooks:
        tree = _Tree(model, batch, frozenset(layers), tuple(branches), prefix)
        for layer, block in enumerate(model.blocks):
            hooks.callback(block.register_forward_pre_hook(tree.before_block).remove)
            hooks.callback(block.register_forward_hook(tree.after_block(layer), with_kwargs=True).remove)
        hooks.push(tree.at_hand)
        model.network.base_model(input_ids=batch.ids, use_cache=False)
        if tree.residual is None:
            raise EngineError(f"the blocks of {type(model.network).__name__} were not called")
        # Asked once: every question makes a GPU's queue run dry.
        check_finite(torch.stack(tree.finite))
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
    finite: list[Bool[Tensor, ""]] = field(default_factory=list)
    at_hand: ExitStack = field(default_factory=ExitStack)

    def before_block(self, block: nn.Module, _args: tuple[Any, ...]) -> None:
        """Fetch a block's weights, where they are elsewhere, and lay them out, once for the prompts and all branches."""
        self.at_hand.enter_context(weights_at_hand(block))
        self.at_hand.enter_context(packed_products(block))

    def after_block(self, layer: int) -> Any:
        """Make the hook that runs a block on the branches after it has run on the prompts."""

        def hook(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            hidden, options = last_token_call(block, args, kwargs)
            residual = self._room(hidden) if self.residual is None else self.residual
            self.residual = residual.to(_hidden(output).device)
            with self.at_hand, self.prefix.shared_with_branches(block):
                self._advance(layer, block, options)

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
        chunks = self._chunks(self.residual[: self.filled])
        for number, chunk in enumerate(chunks):
            # The clean row goes among branches: what rounding does to it, it does to them.
            with self._watching(layer, sites if number == 0 else set()):
                chunk.copy_(_run(block, chunk, options))
        for site in sites:
            mine = [number for number, branch in enumerate(joining) if branch.site == site]
            edited = self._edited(layer, site, [joining[number] for number in mine])
            for numbers, values in zip(self._chunks(torch.tensor(mine)), self._chunks(edited), strict=True):
                rows = clean_before.expand(len(numbers), *clean_before.shape)
                # Up to the edited neurons all of them compute the same.
                with repeated_rows_once(block, len(rows)), editing(self.model.layout, layer, site, _overwrite(values)):
                    self.residual[handed_over(self.filled + numbers, rows.device)] = _run(block, rows, options)
        self.filled += len(joining)

    @contextmanager
    def _watching(self, layer: int, sites: set[Site]) -> Iterator[None]:
        with ExitStack() as stack:
            for site in sites:

                def keep(values: Tensor, site: Site = site) -> Tensor:
                    self.clean_values[site] = values.reshape(-1, values.shape[-1])[: len(self.batch.prompts)].clone()
                    return values

                stack.enter_context(editing(self.model.layout, layer, site, keep))
            yield

    def _edited(self, layer: int, site: Site, branches: list[Branch]) -> Float[Tensor, "branches batch neurons"]:
        needs_random = any(branch.arm == "random" for branch in branches)
        ranks = self.batch.random_ranks(layer, self.model.n_neurons) if needs_random else None
        self.finite.append(torch.isfinite(self.clean_values[site]).all().to(self.batch.ids.device))
        return intervene(self.clean_values[site], branches, ranks, self.batch.donors.get((layer, site)))

    def _chunks(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Split rows into parts of nearly equal size."""
        n_parts = -(-len(rows) * len(self.batch.prompts) // _ROWS_AT_ONCE)
        return rows.split(-(-len(rows) // n_parts)) if len(rows) else ()


def _overwrite(values: Float[Tensor, "branches batch neurons"]) -> Any:
    return lambda clean: values.reshape(clean.shape)


def _run(block: nn.Module, rows: Float[Tensor, "branches batch hidden"], options: Mapping[str, Any]) -> Tensor:
    # forward, not call: the hook that runs this must not run again. A sequence of one token a row.
    return _hidden(block.forward(rows.reshape(-1, 1, rows.shape[-1]), **options)).view(rows.shape)


def _hidden(output: Any) -> Tensor:
    """Return the residual stream of what a block puts out."""
    hidden: Tensor = output[0] if isinstance(output, tuple) else output
    return hidden


def _moved(outcomes: _Outcomes, device: torch.device) -> _Outcomes:
    found = {name: value.to(device) for name, value in vars(outcomes).items() if value is not None}
    return replace(outcomes, **found)
