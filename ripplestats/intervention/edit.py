"""Many interventions applied to the same activations."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ripplestats.errors import NonFiniteError
from ripplestats.intervention.branches import Branch
from ripplestats.intervention.replacement import replace, replacement_value
from ripplestats.intervention.selection import chosen, neuron_ranks


def check_finite(finite: Bool[Tensor, "*any"]) -> None:
    """Refuse activations of which some are not ``finite``.

    Raises:
        NonFiniteError: an activation is infinite or not a number.
    """
    if not finite.all():
        raise NonFiniteError("the model's MLP activations are not finite numbers; try --dtype float32")


def intervene(
    activations: Float[Tensor, "batch neurons"],
    branches: Sequence[Branch],
    random_ranks: Int[Tensor, "batch neurons"] | None = None,
    donor: Float[Tensor, "batch neurons"] | None = None,
) -> Float[Tensor, "branches batch neurons"]:
    """Return the activations as each branch would leave them.

    Args:
        activations: a site's values at the last token in the clean run.
        branches: interventions, all at this site.
        random_ranks: the order of the random arm, where a branch needs it.
        donor: the same site's values on another prompt, where a branch resamples.

    The activations must be finite (``check_finite``), or the neurons have no order.
    """
    arms = {branch.arm for branch in branches}
    replacements = {branch.replacement for branch in branches}
    ranks = {arm: neuron_ranks(activations, arm, random_ranks) for arm in arms}
    values = {name: replacement_value(activations, name, donor) for name in replacements}
    edited = [
        replace(activations, chosen(ranks[branch.arm], branch.k, branch.arm), values[branch.replacement])
        for branch in branches
    ]
    return torch.stack(edited)
