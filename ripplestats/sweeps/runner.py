"""Prompts → rows: batches of equal length through an engine, and outcomes into the columns of the effects table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ripplestats.config import ENGINES, METRICS
from ripplestats.errors import EngineError, InputError, NonFiniteError
from ripplestats.intervention.branches import Branch, dose
from ripplestats.model.load import Model, reference_model
from ripplestats.model.packed import multiplies_packed
from ripplestats.model.sites import Site
from ripplestats.prompts.table import Prompt, PromptTable
from ripplestats.sweeps.allocator import keep_freed_memory
from ripplestats.sweeps.batch import PromptBatch, donor_numbers, equal_length_groups, make_batch
from ripplestats.sweeps.grid import Grid
from ripplestats.sweeps.hooked import run_hooked, site_activations
from ripplestats.sweeps.memory import BATCH_ON_CPU, Columns, in_halves
from ripplestats.sweeps.onepass import run_one_pass
from ripplestats.sweeps.outcomes import Clean, Outcomes
from ripplestats.sweeps.selfcheck import SelfCheck, Trial, check_one_pass
from ripplestats.sweeps.tf32 import tf32_products
from ripplestats.sweeps.threads import side_by_side


@dataclass(frozen=True)
class Sweep:
    """A model, all its prompts and a grid: everything that fixes the outcomes, and how to compute them.

    ``metrics`` are names of ``config.METRICS``; ``tf32`` is for float32 weights on CUDA.
    """

    model: Model
    prompts: PromptTable
    grid: Grid
    seed: int = 0
    batch_size: int = BATCH_ON_CPU
    metrics: tuple[str, ...] = tuple(METRICS)
    tf32: bool = False

    @property
    def arithmetic(self) -> str:
        """What the sweep computes in, in words."""
        return f"{self.model.dtype} with TF32 products" if self.tf32 else self.model.dtype

    @property
    def products(self) -> str:
        """How the one-pass engine multiplies by the weights of linear layers: by packed ones, or as they are."""
        return "packed" if multiplies_packed(self.model.network) else "plain"

    @property
    def narrow(self) -> bool:
        """Whether that is less than float32."""
        return self.tf32 or self.model.dtype in ("bfloat16", "float16")

    @property
    def vocabulary(self) -> bool:
        """Whether an outcome is asked for that needs the logits of all tokens."""
        return self.metrics != ("logit",)

    def reference(self, dtype: str = "float32") -> "Sweep":
        """Return the same sweep in another number format, without TF32."""
        model = self.model if self.model.dtype == dtype else reference_model(self.model, dtype)
        return replace(self, model=model, tf32=False)

    def checked(
        self, engine: str = "auto", reference: "Sweep | None" = None
    ) -> tuple[Literal["onepass", "hooks"], SelfCheck | None]:
        """Choose the engine: one-pass if it passes the self-check, else the hooked forward.

        Args:
            engine: ``auto``, ``onepass`` or ``hooks``.
            reference: the sweep in float32, where this one computes in less; made where it is not given.

        Raises:
            InputError: there is no such engine, or the context is longer than the model's.
            EngineError: ``onepass`` was asked for and does not pass.
        """
        if engine not in ENGINES:
            raise InputError(f"--engine {engine!r} is not known; allowed: {', '.join(ENGINES)}")
        self._check_context()
        if engine == "hooks":
            return "hooks", None
        if self.narrow and reference is None:
            reference = self.reference()
        check = check_one_pass(self._trial(), self.grid, reference._trial() if self.narrow and reference else None)
        if check.passed:
            return "onepass", check
        if engine == "onepass":
            raise EngineError(f"--engine onepass cannot be used: {check.reason}; allowed: auto, hooks")
        return "hooks", check

    def run(
        self,
        rows: slice,
        engine: Literal["onepass", "hooks"],
        tell: Callable[[int], None] = lambda _: None,
        backed_off: Callable[[int], None] = lambda _: None,
    ) -> tuple[Columns, Columns]:
        """Sweep some of the prompts.

        Args:
            rows: which prompts of the table.
            engine: as ``checked`` chose it.
            tell: is called with the number of prompts after each batch.
            backed_off: is called with the number of prompts that are run together after memory did not suffice for more.

        Returns:
            The columns of the effects table (of outcomes those asked for) and the clean columns of the prompt table,
            both in prompt order.

        Raises:
            NonFiniteError: the model's activations or logits are not finite.
        """
        if self.model.device.type == "cpu":
            keep_freed_memory()
        branches = self.grid.branches()
        places = _cell_places(self.grid, branches)
        compute = partial(run_one_pass, vocabulary=self.vocabulary) if engine == "onepass" else run_hooked

        def sweep(model: Model, group: Sequence[Prompt]) -> tuple[Columns, Columns]:
            return in_halves(partial(together, model), group, backed_off)

        def together(model: Model, group: Sequence[Prompt]) -> tuple[Columns, Columns]:
            with tf32_products(self.tf32):
                clean, outcomes = compute(model, replace(self, model=model)._batch(group), self.grid.layers, branches)
            _check_finite(group, clean, outcomes)
            computed = outcomes.columns()
            values = {name: computed[name].cpu().numpy()[places] for name in map(METRICS.__getitem__, self.metrics)}
            return values, _clean_columns(clean)

        effects: dict[int, Columns] = {}
        cleans: dict[int, Columns] = {}
        groups = list(equal_length_groups(self.prompts[rows], self._group_size(len(self.prompts[rows]))))
        for group, (values, clean_values) in zip(groups, side_by_side(self.model, sweep, groups), strict=True):
            for column, prompt in enumerate(group):
                effects[prompt.prompt_id] = {name: array[:, column] for name, array in values.items()}
                cleans[prompt.prompt_id] = {name: array[column] for name, array in clean_values.items()}
            tell(len(group))
        return self._effect_columns(rows, effects), _stacked(self.prompts[rows], cleans)

    def _group_size(self, n_prompts: int) -> int:
        """Prompts of a group: on the CPU the batch is shared out among its threads, each with a group of its own."""
        shares = torch.get_num_threads() if self.model.shareable else 1
        return max(1, min(self.batch_size, n_prompts) // shares)

    def _trial(self) -> Trial:
        first = next(equal_length_groups(self.prompts, 2))
        return Trial(self.model, self._batch(first), self.tf32, self.vocabulary)

    def _check_context(self) -> None:
        if not len(self.prompts):
            raise InputError("there are no prompts to sweep")
        longest = self.prompts.longest
        limit = self.model.max_context
        if limit is not None and longest > limit:
            raise InputError(f"--context {longest} is longer than the {limit} tokens that {self.model.used} can read")

    def _batch(self, group: Sequence[Prompt]) -> PromptBatch:
        donors = self._donors(group) if "resample" in self.grid.replacements else None
        return make_batch(group, self.model.device, self.seed, donors)

    def _donors(self, group: Sequence[Prompt]) -> Mapping[tuple[int, Site], Tensor]:
        """Return, for each prompt of a group, another prompt's clean activations at every site of the grid."""
        numbers = donor_numbers([prompt.document_id for prompt in self.prompts], self.seed)
        lender_of = {
            prompt.prompt_id: self.prompts[number] for prompt, number in zip(self.prompts, numbers, strict=True)
        }
        lenders = [lender_of[prompt.prompt_id] for prompt in group]
        found: list[dict[tuple[int, Site], Tensor]] = []
        for lender in lenders:
            ids = torch.tensor([lender.context_ids], dtype=torch.long, device=self.model.device)
            found.append(site_activations(self.model, ids, self.grid.layers, self.grid.sites))
        return {site: torch.cat([one[site] for one in found]) for site in found[0]}

    def _effect_columns(self, rows: slice, effects: Mapping[int, Columns]) -> Columns:
        prompts = self.prompts[rows]
        cells = _cell_columns(self.grid)
        n = self.grid.n_cells
        return {
            "prompt_id": np.repeat(np.array([prompt.prompt_id for prompt in prompts], np.int32), n),
            "document_id": np.repeat(np.array([prompt.document_id for prompt in prompts], np.int32), n),
            **{name: np.tile(column, len(prompts)) for name, column in cells.items()},
            **{
                column: np.concatenate([effects[prompt.prompt_id][column] for prompt in prompts])
                for column in map(METRICS.__getitem__, self.metrics)
            },
        }


def _cell_columns(grid: Grid) -> Columns:
    """Return the columns that name the cells of one prompt: arm, replacement, site, layer, rate, in this order."""
    axes = (grid.arms, grid.replacements, grid.sites, grid.layers, range(len(grid.rates)))
    arm, replacement, site, layer, rate = (
        index.ravel() for index in np.meshgrid(*(np.arange(len(axis)) for axis in axes), indexing="ij")
    )
    doses = np.array([dose(one, grid.n_neurons) for one in grid.rates], np.int32)
    return {
        "arm": np.array(grid.arms)[arm],
        "replacement": np.array(grid.replacements)[replacement],
        "site": np.array(grid.sites)[site],
        "layer": np.array(grid.layers, np.int16)[layer],
        "rate": np.array([float(one) for one in grid.rates])[rate],
        "k": doses[rate],
        "effective_rate": doses[rate] / grid.n_neurons,
    }


def _cell_places(grid: Grid, branches: Sequence[Branch]) -> np.ndarray:
    """Return, for each cell of one prompt, the row of the engine's outcomes that holds it."""
    place = {branch: number for number, branch in enumerate(branches)}
    of_layer = {layer: number * len(branches) for number, layer in enumerate(grid.layers)}
    cells = _cell_columns(grid)
    names = zip(*(cells[name] for name in ("arm", "replacement", "site", "layer", "k")), strict=True)
    return np.array(
        [of_layer[layer] + place[Branch(arm, replacement, site, k)] for arm, replacement, site, layer, k in names]
    )


def _clean_columns(clean: Clean) -> Columns:
    return {
        "clean_logit": clean.logit.cpu().numpy(),
        "clean_logprob": clean.logprob.cpu().numpy(),
        "clean_rank": clean.rank.cpu().numpy().astype(np.int32),
        "clean_entropy": clean.entropy.cpu().numpy(),
    }


def _stacked(prompts: Sequence[Prompt], cleans: Mapping[int, Columns]) -> Columns:
    ids = [prompt.prompt_id for prompt in prompts]
    return {
        "prompt_id": np.array(ids, np.int32),
        **{name: np.stack([cleans[one][name] for one in ids]) for name in cleans[ids[0]]},
    }


def _check_finite(group: Sequence[Prompt], clean: Clean, outcomes: Outcomes) -> None:
    finite = torch.isfinite(clean.logits).all(-1)
    for values in outcomes.columns().values():
        finite &= torch.isfinite(values).all(0)
    if not finite.all():
        prompt = group[int((~finite).nonzero()[0])]
        raise NonFiniteError(f"the model's logits are not finite on prompt {prompt.prompt_id}; try --dtype float32")
