"""What the chosen neurons are set to."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ripplestats.intervention.branches import Replacement
from ripplestats.intervention.selection import lower_median


def replacement_value(
    activations: Float[Tensor, "batch neurons"],
    replacement: Replacement,
    donor: Float[Tensor, "batch neurons"] | None = None,
) -> Float[Tensor, "batch neurons"]:
    """Return the value that each neuron would be overwritten with.

    Args:
        activations: a site's values at the last token, before any of them is replaced.
        replacement: ``median`` (the lower one), ``mean`` or ``zero`` of these values, or ``resample``.
        donor: for ``resample``, the same neurons' values on another prompt.
    """
    if replacement == "resample":
        if donor is None:
            raise ValueError("resample needs the donor's activations")
        return donor
    if replacement == "median":
        value = lower_median(activations)
    elif replacement == "mean":
        value = activations.mean(dim=-1, keepdim=True)
    else:
        value = torch.zeros_like(activations[..., :1])
    return value.expand_as(activations)


def replace(
    activations: Float[Tensor, "*batch neurons"],
    mask: Bool[Tensor, "*batch neurons"],
    value: Float[Tensor, "*batch neurons"],
) -> Float[Tensor, "*batch neurons"]:
    """Return the activations with ``value`` where ``mask`` holds; every other entry is bit-equal."""
    return torch.where(mask, value, activations)
