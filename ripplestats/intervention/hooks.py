"""Editing a running network at its neuron sites; hooks are removed whatever happens."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from ripplestats.model.sites import Layout, Site

#: Takes a site's values, shape (..., neurons), and returns the edited ones.
Edit = Callable[[Tensor], Tensor]


@contextmanager
def editing(layout: Layout, layer: int, site: Site, edit: Edit) -> Iterator[None]:
    """Pass the values of one neuron site through ``edit`` while the context is open.

    Some families flatten batch and position before the MLP, so the leading shape of what ``edit`` gets is the family's
    own; the last dimension is always the neurons.
    """
    n = layout.n_neurons

    def edit_output(_module: nn.Module, _args: object, output: Tensor) -> Tensor:
        if not layout.names.gate_half:
            return edit(output)
        edited = output.clone()
        edited[..., :n] = edit(output[..., :n])
        return edited

    def edit_input(_module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (edit(args[0]), *args[1:])

    handle = (
        layout.pre[layer].register_forward_hook(edit_output)
        if site == "pre"
        else layout.post[layer].register_forward_pre_hook(edit_input)
    )
    try:
        yield
    finally:
        handle.remove()
