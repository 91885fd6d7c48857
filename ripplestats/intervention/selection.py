"""Which neurons an arm replaces.

An arm puts the neurons of a site in an order; at dose k it replaces the first k (``keep_top``: all but the first k).
So the sets of one arm are nested in the rate. Ties go to the lower neuron index.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ripplestats.intervention.branches import Arm


def neuron_ranks(
    activations: Float[Tensor, "batch neurons"], arm: Arm, random_ranks: Int[Tensor, "batch neurons"] | None = None
) -> Int[Tensor, "batch neurons"]:
    """Return every neuron's place in the order of an arm, from 0.

    ``top`` and ``keep_top`` order by signed value, largest first; ``bottom`` smallest first; ``magnitude`` by the
    distance from the lower median, largest first; ``random`` takes ``random_ranks``.
    """
    if arm == "random":
        if random_ranks is None:
            raise ValueError("the random arm needs random_ranks")
        return random_ranks.to(activations.device)
    order = torch.sort(_ordered_by(activations, arm), dim=-1, descending=arm != "bottom", stable=True).indices
    ranks = torch.empty_like(order)
    places = torch.arange(order.shape[-1], device=order.device).expand_as(order)
    return ranks.scatter_(-1, order, places)


def margin(activations: Float[Tensor, "batch neurons"], arm: Arm, k: int) -> Float[Tensor, " batch"]:
    """Return how far apart the last of the first ``k`` neurons in an arm's order and the next one are; infinite for none."""
    if arm == "random" or not 0 < k < activations.shape[-1]:
        return torch.full_like(activations[..., 0], torch.inf)
    values = torch.sort(_ordered_by(activations, arm), dim=-1, descending=arm != "bottom").values
    return (values[..., k - 1] - values[..., k]).abs()


def chosen(ranks: Int[Tensor, "batch neurons"], k: int, arm: Arm) -> Bool[Tensor, "batch neurons"]:
    """Return the mask of the neurons that an arm replaces at dose ``k``."""
    return ranks >= k if arm == "keep_top" else ranks < k


def _ordered_by(activations: Float[Tensor, "batch neurons"], arm: Arm) -> Float[Tensor, "batch neurons"]:
    return (activations - lower_median(activations)).abs() if arm == "magnitude" else activations


def lower_median(activations: Float[Tensor, "batch neurons"]) -> Float[Tensor, "batch 1"]:
    """Return the lower of the two middle values, as ``torch.median`` does and the seed did."""
    return activations.median(dim=-1, keepdim=True).values


def random_ranks(seed: int, prompt_id: int, layer: int, n_neurons: int) -> Int[np.ndarray, " neurons"]:
    """Return the random arm's order for one prompt and block, the same whatever batch the prompt runs in."""
    return np.random.default_rng([seed, prompt_id, layer]).permutation(n_neurons)
