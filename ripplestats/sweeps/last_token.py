"""The arguments of a block for all tokens → those for rows of the last token alone."""

import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ripplestats.errors import EngineError


def last_token_call(
    block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Tensor, dict[str, Any]]:
    """Return the residual stream that a block got, and its other arguments for rows of the last token.

    Args:
        block: a block of a network.
        args: what its forward pass got by position.
        kwargs: what its forward pass got by name.

    Raises:
        EngineError: the first argument is not the residual stream.
    """
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
