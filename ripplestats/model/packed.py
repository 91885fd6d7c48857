"""Matrix products with the same weights and equally many rows, again and again: the weights are laid out once.

Intel's library lays weights out anew for every product, which for some hundred rows is a tenth of the time; PyTorch
can keep that layout (its compiler does), for float32 on the CPU and a number of rows that is fixed beforehand. Where it
cannot, the product is the plain one.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

Product = Callable[[Tensor], Tensor]


def packed_product(weight: Float[Tensor, "out in"], bias: Tensor | None, rows: int) -> Product:
    """Return the map x → x·Wᵀ + b, fast for inputs of exactly ``rows`` rows, right for all."""
    if not _can_pack(weight):
        return lambda x: nn.functional.linear(x, weight, bias)
    packed = torch.ops.mkl._mkl_reorder_linear_weight(weight, rows)
    multiply: Callable[..., Tensor] = torch.ops.mkl._mkl_linear
    return lambda x: multiply(x, packed, weight, bias, rows)


@contextmanager
def packed_products(module: nn.Module, rows: int) -> Iterator[None]:
    """Let every linear layer inside a module multiply by packed weights while the context is open."""
    with ExitStack() as stack:
        for layer in module.modules():
            # By type, not isinstance: a subclass may do more than multiply.
            if type(layer) in (nn.Linear, Conv1D) and _can_pack(layer.get_parameter("weight")):
                weight, bias = _as_linear(layer)
                layer.forward = packed_product(weight, bias, rows)
                stack.callback(delattr, layer, "forward")
        yield


def _as_linear(layer: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Return weight (out × in) and bias; transformers' Conv1D (GPT-2) keeps the weight as (in, out)."""
    weight = layer.get_parameter("weight")
    bias = None if layer.bias is None else layer.get_parameter("bias")
    return (weight.T.contiguous() if type(layer) is Conv1D else weight), bias


def _can_pack(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and torch.backends.mkl.is_available()
