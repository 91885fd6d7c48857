"""A model over several devices: accelerate's device maps, and weights that are elsewhere until they are needed.

accelerate hangs a hook on every module of a model that is spread out. Before a module runs, its hook brings the
arguments to where the module computes, and weights that are offloaded to main memory or to the disk as well; these go
again afterwards, and what then stands in their place ("meta") has a shape and no numbers. Code that reads a weight by
itself, or runs a module often, therefore asks for the weights to be at hand.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from ripplestats.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ripplestats.model.sites import Layout

#: What lays a model out by itself (transformers' words), over the GPUs first, then main memory, then the disk.
STRATEGIES = ("auto", "balanced", "balanced_low_0", "sequential")

DeviceMap = str | Mapping[str, int | str]


def check_device_map(given: DeviceMap | None, device: str = "auto") -> DeviceMap | None:
    """Read a device map: a strategy, or modules and their devices as a mapping or in JSON.

    Raises:
        ModelError: it is neither, or a device is given as well.
    """
    if given is None:
        return None
    if device != "auto":
        raise ModelError(f"--device {device} and --device-map do not go together; allowed: one of them")
    if isinstance(given, str) and given in STRATEGIES:
        return given
    try:
        found = json.loads(given) if isinstance(given, str) else given
    except json.JSONDecodeError:
        found = None
    if isinstance(found, Mapping) and found and all(type(device) in (int, str) for device in found.values()):
        return {str(name): device for name, device in found.items()}
    raise ModelError(
        f"--device-map {given!r} is not known; allowed: {', '.join(STRATEGIES)}, or devices of modules in JSON such as "
        '{"model.embed_tokens": 0, "model.layers": "cpu", "model.norm": 0, "lm_head": "disk"}'
    )


def is_dispatched(module: "nn.Module") -> bool:
    """Tell whether accelerate brings a module's tensors to their device; it leaves a model on one device alone."""
    return hasattr(module, "_hf_hook")


def input_device(network: "nn.Module") -> "torch.device":
    """Return where a network takes its tokens and gives its logits."""
    import torch

    if is_dispatched(network):
        hook: Any = network._hf_hook
        return torch.device(hook.execution_device)
    device: torch.device = next(network.parameters()).device
    return device


def check_whole_blocks(network: "nn.Module", layout: "Layout") -> None:
    """Refuse a device map that splits a block: the branches of a sweep go through a block on one device.

    Raises:
        ModelError: a part of a block has a device of its own.
    """
    blocks = layout.names.blocks.split(".")
    for path in getattr(network, "hf_device_map", {}):
        if len(path.split(".")) > len(blocks) + 1 and path.split(".")[: len(blocks)] == blocks:
            block = ".".join(path.split(".")[: len(blocks) + 1])
            raise ModelError(
                f"--device-map has a device for {path}, a part of {block}; allowed: one device for each whole block"
            )


def placement(network: "nn.Module") -> str:
    """Say in words where a network's modules are, such as ``cpu`` or ``cuda:0 (12 modules), disk (5)``."""
    if not is_dispatched(network):
        return str(input_device(network))
    hf_device_map: Any = network.hf_device_map
    counts = Counter(f"cuda:{device}" if isinstance(device, int) else str(device) for device in hf_device_map.values())
    return ", ".join(f"{device} ({number} module{'s' * (number > 1)})" for device, number in counts.items())


@contextmanager
def weights_at_hand(module: "nn.Module") -> Iterator[None]:
    """Keep a module's offloaded weights where it computes while the context is open, not only for each call."""
    with ExitStack() as stack:
        for part in module.modules():
            hook = getattr(part, "_hf_hook", None)
            for one in getattr(hook, "hooks", (hook,)):
                if getattr(one, "offload", False):
                    stack.enter_context(_held(part, one))
        yield


@contextmanager
def _held(module: "nn.Module", hook: Any) -> Iterator[None]:
    hook.pre_forward(module)
    hook.offload = False
    try:
        yield
    finally:
        hook.offload = True
        hook.post_forward(module, None)
