"""Does an engine compute what the hooked forward computes? Asked before every sweep, on a few cells of it.

Some attention implementations come out wrong without an error when branches share a prefix (unscaled attention,
position biases), so the one-pass engine is never trusted unseen.

In float32 and float64 two right engines differ by rounding only, and a small tolerance tells a wrong one. In bfloat16,
float16 and TF32 rounding is as large as the effects of interest, so a tolerance that a right engine passes would pass a
wrong one as well. There the question is asked twice, and both answers must be yes. Is the engine right in float32, at
float32's tolerance? Its steps are the same in every number format. And in the sweep's own arithmetic, is it about as
close to the float32 truth as the hooked forward in that arithmetic? That is what shows a step that only goes wrong there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool
from torch import Tensor

from ripplestats.errors import EngineError, NonFiniteError, first_line
from ripplestats.intervention.branches import Branch
from ripplestats.intervention.selection import margin
from ripplestats.model.load import Model
from ripplestats.sweeps.batch import PromptBatch
from ripplestats.sweeps.grid import Grid
from ripplestats.sweeps.hooked import run_hooked, site_activations
from ripplestats.sweeps.onepass import run_one_pass
from ripplestats.sweeps.outcomes import Outcomes
from ripplestats.sweeps.tf32 import tf32_products

#: Largest difference allowed in any outcome, nats or logits, by the number format of the weights. Outcomes are handed on
#: in float32, so that float64's cannot be held to more than its digits.
TOLERANCES = {"float64": 1e-5, "float32": 1e-4}
#: In less than float32 the engine's median distance from the truth may be so many times the hooked forward's. The cells
#: of a prompt share the error of its clean prediction, so this ratio spreads even between two right engines: in 424
#: trials on tiny models of four families it had the median 1.1, and the largest was 3.6. The median over cells, because
#: rounding sometimes changes which neurons are the largest, and such a cell is off by a whole neuron.
ROUNDING_FACTOR = 8.0
_METRICS = ("delta_logit", "delta_logprob", "kl")
_MOST_BRANCHES = 8
#: Where the last neuron chosen and the first one left differ by less than this share of the largest activation, but do differ,
#: rounding may choose the other, and two right engines differ by a whole neuron: such a cell tells nothing.
_NEARLY_EQUAL = 1e-5


@dataclass(frozen=True)
class Trial:
    """A model on one or two prompts, and its arithmetic."""

    model: Model
    batch: PromptBatch
    tf32: bool = False
    vocabulary: bool = True


@dataclass(frozen=True)
class Rounding:
    """Median distances from the float32 truth in the sweep's own arithmetic: of the outcome where one pass does worst."""

    metric: str
    one_pass: float
    hooked: float
    factor: float


@dataclass(frozen=True)
class SelfCheck:
    """How far the one-pass engine is from the hooked forward, on the cells that were compared.

    ``dtype`` is the number format of that comparison; ``rounding`` the second one, where the sweep computes in less.
    """

    n_cells: int
    largest_difference: float
    no_op_difference: float
    tolerance: float
    reason: str = ""
    dtype: str = "float32"
    rounding: Rounding | None = None

    @property
    def passed(self) -> bool:
        """Whether the engine may be used."""
        return not self.reason


@dataclass(frozen=True)
class _Found:
    """Outcomes of some cells (metric × layer × branch, each of one prompt), and the changes of the no-op."""

    outcomes: Tensor
    no_op: Tensor


def check_one_pass(trial: Trial, grid: Grid, reference: Trial | None = None) -> SelfCheck:
    """Run a few cells and a no-op through both engines, the hooked forward one prompt at a time.

    Hooked cells are what a run's start waits for: each branch is compared on one of the prompts, which take turns.

    Args:
        trial: the model of the sweep on one or two of its prompts.
        grid: the sweep's grid; its first, middle and last layers are checked, and branches across its doses.
        reference: the same in float32, where the sweep computes in less.
    """
    layers = sorted({grid.layers[0], grid.layers[len(grid.layers) // 2], grid.layers[-1]})
    branches = _sample(grid.branches(), len(trial.batch.prompts))
    exact = trial if reference is None else reference
    tolerance = TOLERANCES[exact.model.dtype]
    try:
        found = _one_pass(exact, layers, branches)
        own = found if reference is None else _one_pass(trial, layers, branches)
    except (EngineError, NonFiniteError, RuntimeError, TypeError, ValueError, AttributeError, KeyError) as error:
        line = first_line(error)
        return SelfCheck(0, float("nan"), float("nan"), tolerance, f"one pass failed: {line}", exact.model.dtype)
    truth, telling = _hooked(exact, layers, branches), _in_turn(settled(exact.model, exact.batch, layers, branches))
    largest = _largest((found.outcomes - truth.outcomes)[:, telling])
    no_op = _largest(found.no_op - truth.no_op)
    check = SelfCheck(int(telling.sum()), largest, no_op, tolerance, dtype=exact.model.dtype)
    if not telling.any():
        return replace(check, reason="all activations are too nearly equal to compare engines")
    if max(largest, no_op) > tolerance:
        return replace(check, reason=f"one pass and hooked forward differ by {max(largest, no_op):.2g}")
    if reference is None:
        return check
    rounding = _rounding(own, _hooked(trial, layers, branches), truth, tolerance)
    reason = ""
    if not rounding.one_pass <= rounding.factor * rounding.hooked + tolerance:
        reason = (
            f"one pass is {rounding.one_pass:.2g} off float32, the hooked forward in the same arithmetic only "
            f"{rounding.hooked:.2g} ({rounding.metric})"
        )
    return replace(check, rounding=rounding, reason=reason)


def _sample(branches: Sequence[Branch], n_prompts: int) -> list[Branch]:
    """Return branches across the doses, at least one for each prompt."""
    step = max(1, len(branches) // _MOST_BRANCHES)
    found = list(branches[step // 2 :: step])
    return [*found, *found[:1] * (n_prompts - len(found))]


def _one_pass(trial: Trial, layers: Sequence[int], branches: Sequence[Branch]) -> _Found:
    no_op = Branch("top", "zero", branches[0].site, 0)
    with tf32_products(trial.tf32):
        clean, outcomes = run_one_pass(
            trial.model, trial.batch, layers, [*branches, no_op], vocabulary=trial.vocabulary
        )
    found = _by_layer(outcomes, len(layers), trial.vocabulary)
    return _Found(_in_turn(found[:, :, :-1]), torch.cat([found[:, :, -1].flatten(), clean.logprob]))


def _hooked(trial: Trial, layers: Sequence[int], branches: Sequence[Branch]) -> _Found:
    """Return the outcomes of the definition, each prompt by itself; a no-op changes nothing."""
    prompts, cleans, n_prompts = [], [], len(trial.batch.prompts)
    for number in range(n_prompts):
        with tf32_products(trial.tf32):
            clean, outcomes = run_hooked(trial.model, trial.batch.only(number), layers, branches[number::n_prompts])
        cleans.append(clean.logprob)
        prompts.append(_by_layer(outcomes, len(layers), trial.vocabulary)[..., 0])
    logprob = torch.cat(cleans)
    found = prompts[0].new_empty(*prompts[0].shape[:2], len(branches))
    for number, one in enumerate(prompts):
        found[:, :, number::n_prompts] = one  # as ``_in_turn`` takes them
    return _Found(found, torch.cat([logprob.new_zeros(len(found) * len(layers) * n_prompts), logprob]))


def settled(
    model: Model, batch: PromptBatch, layers: Sequence[int], branches: Sequence[Branch]
) -> Bool[Tensor, "layers branches batch"]:
    """Say in which cells rounding does not change which neurons are chosen."""
    clean = site_activations(model, batch.ids, layers, sorted({branch.site for branch in branches}))
    cells = []
    for layer in layers:
        for branch in branches:
            values = clean[layer, branch.site]
            apart = margin(values, branch.arm, branch.k)
            cells.append(((apart == 0) | (apart > _NEARLY_EQUAL * values.abs().amax(-1))).cpu())
    found: Tensor = torch.stack(cells).unflatten(0, (len(layers), -1))
    return found


def _in_turn(cells: Tensor) -> Tensor:
    """Return of cells (…, branches, batch) those that are compared: (…, branches)."""
    numbers = torch.arange(cells.shape[-2], device=cells.device)
    found: Tensor = cells[..., numbers, numbers % cells.shape[-1]]
    return found


def _by_layer(outcomes: Outcomes, n_layers: int, vocabulary: bool) -> Tensor:
    """Stack the metrics that are compared: (metric, layer, branch, batch)."""
    columns = outcomes.columns()
    chosen = _METRICS if vocabulary else _METRICS[:1]
    return torch.stack([columns[metric].unflatten(0, (n_layers, -1)) for metric in chosen])


def _rounding(own: _Found, hooked: _Found, truth: _Found, tolerance: float) -> Rounding:
    """Compare both engines' distances from the truth, and return the outcome in which one pass does worst."""
    both = [
        (found.outcomes.to(truth.outcomes) - truth.outcomes).flatten(1).abs().quantile(0.5, dim=1).tolist()
        for found in (own, hooked)
    ]
    pairs = [Rounding(name, one, two, ROUNDING_FACTOR) for name, one, two in zip(_METRICS, *both, strict=False)]
    # NaN, where an outcome is not a number, counts as the worst.
    return max(pairs, key=lambda pair: float(torch.tensor(pair.one_pass / (pair.hooked + tolerance)).nan_to_num(1e30)))


def _largest(difference: Tensor) -> float:
    return float(difference.abs().nan_to_num(float("inf")).max()) if difference.numel() else float("nan")
