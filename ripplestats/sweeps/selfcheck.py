"""Does an engine compute what the hooked forward computes? Asked before every sweep, on a few cells of it.

Some attention implementations come out wrong without an error when branches share a prefix (unscaled attention,
position biases), so the one-pass engine is never trusted unseen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ripplestats.errors import EngineError
from ripplestats.intervention.branches import Branch
from ripplestats.model.load import Model
from ripplestats.sweeps.batch import PromptBatch
from ripplestats.sweeps.grid import Grid
from ripplestats.sweeps.hooked import run_hooked
from ripplestats.sweeps.onepass import run_one_pass
from ripplestats.sweeps.outcomes import Clean, Outcomes

#: Largest difference allowed in any outcome, nats or logits, by the number format of the weights.
TOLERANCES = {"float64": 1e-8, "float32": 1e-4, "bfloat16": 0.5, "float16": 0.1}
_METRICS = ("delta_logit", "delta_logprob", "kl")
_MOST_BRANCHES = 8


@dataclass(frozen=True)
class SelfCheck:
    """How far the one-pass engine is from the hooked forward, on the cells that were compared."""

    n_cells: int
    largest_difference: float
    no_op_difference: float
    tolerance: float
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Whether the engine may be used."""
        return not self.reason


def check_one_pass(model: Model, batch: PromptBatch, grid: Grid) -> SelfCheck:
    """Run a few cells and a no-op through both engines, the hooked forward one cell and one prompt at a time.

    Args:
        model: the model of the sweep.
        batch: one or two prompts of the sweep.
        grid: the sweep's grid; its first, middle and last layers are checked, and branches across its doses.
    """
    tolerance = TOLERANCES[model.dtype]
    layers = sorted({grid.layers[0], grid.layers[len(grid.layers) // 2], grid.layers[-1]})
    branches = _sample(grid.branches())
    no_op = Branch("top", "zero", branches[0].site, 0)
    n_cells = len(layers) * len(branches) * len(batch.prompts)
    try:
        clean, outcomes = run_one_pass(model, batch, layers, [*branches, no_op])
    except (EngineError, RuntimeError, TypeError, ValueError, AttributeError, KeyError) as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        return SelfCheck(0, float("nan"), float("nan"), tolerance, f"one pass failed: {line}")
    found = _by_layer(outcomes, len(layers))
    plain, expected = _one_by_one(model, batch, layers, branches)
    largest = _largest(found[:, :, :-1] - expected)
    no_op_difference = max(_largest(found[:, :, -1]), _largest(clean.logprob - plain))
    worst = max(largest, no_op_difference)
    reason = "" if worst <= tolerance else f"one pass and hooked forward differ by {worst:.2g}"
    return SelfCheck(n_cells, largest, no_op_difference, tolerance, reason)


def _sample(branches: Sequence[Branch]) -> list[Branch]:
    step = max(1, len(branches) // _MOST_BRANCHES)
    return list(branches[step // 2 :: step])


def _by_layer(outcomes: Outcomes, n_layers: int) -> torch.Tensor:
    """Stack the metrics: (metric, layer, branch, batch)."""
    return torch.stack([getattr(outcomes, metric).unflatten(0, (n_layers, -1)) for metric in _METRICS])


def _one_by_one(
    model: Model, batch: PromptBatch, layers: Sequence[int], branches: Sequence[Branch]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return clean log-probabilities and outcomes of the definition, each cell by itself."""
    cleans: list[Clean] = []
    prompts = []
    for number in range(len(batch.prompts)):
        one = batch.only(number)
        cells = []
        for layer in layers:
            for branch in branches:
                clean, outcomes = run_hooked(model, one, [layer], [branch])
                cells.append(_by_layer(outcomes, 1)[:, 0, 0])
        cleans.append(clean)
        prompts.append(torch.stack(cells, dim=1).unflatten(1, (len(layers), len(branches))))
    return torch.cat([clean.logprob for clean in cleans]), torch.cat(prompts, dim=-1)


def _largest(difference: torch.Tensor) -> float:
    return float(difference.abs().nan_to_num(float("inf")).max())
