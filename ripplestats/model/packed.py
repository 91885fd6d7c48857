"""Matrix products with the same weights again and again: the weights are laid out once.

Intel's library lays weights out anew for every product, which for some hundred rows is a tenth of the time. It can keep
that layout, for float32 on the CPU, and PyTorch's compiler uses that. Threads that multiply by the same weights at the
same time share one layout. Everywhere else the product is the plain one. So it is on processors of another make: on
AMD's (measured on Zen 3) the plain product is as fast as that with packed weights, and laying them out costs 4 % on top.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from weakref import WeakValueDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from ripplestats.model.processor import made_by_intel

Product = Callable[[Tensor], Tensor]

#: Rows that a layout is made for: it is right for any number, and about as fast.
_ROWS = 256
#: Layouts in use, by place, shape and strides of the weights. Whoever holds a layout holds its weights as well, so that
#: no others can be in their place.
_IN_USE: "WeakValueDictionary[tuple[object, ...], Tensor]" = WeakValueDictionary()
_ONE_AT_A_TIME = Lock()


def packing_pays() -> bool:
    """Tell whether packed weights are what is fastest on this machine."""
    return torch.backends.mkl.is_available() and made_by_intel()


def multiplies_packed(module: nn.Module) -> bool:
    """Tell whether linear layers inside a module would be multiplied by packed weights."""
    return any(_can_pack(_as_linear(layer)[0]) for layer in _linear_layers(module))


def packed_product(weight: Float[Tensor, "out in"], bias: Tensor | None) -> Product:
    """Return the map x → x·Wᵀ + b, for many calls."""
    if not _can_pack(weight):
        return lambda x: nn.functional.linear(x, weight, bias)
    packed = _laid_out(weight)
    multiply: Callable[..., Tensor] = torch.ops.mkl._mkl_linear
    # PyTorch asks that the rows be those of the layout. The library does not: what it lays out is the weights alone.
    return lambda x: multiply(x, packed, weight, bias, x.shape[:-1].numel())


@contextmanager
def packed_products(module: nn.Module) -> Iterator[None]:
    """Let every linear layer inside a module multiply by packed weights while the context is open."""
    with ExitStack() as stack:
        for layer in _linear_layers(module):
            weight, bias = _as_linear(layer)
            if _can_pack(weight):
                stack.enter_context(_forward(layer, packed_product(weight, bias)))
        yield


@contextmanager
def repeated_rows_once(module: nn.Module, copies: int) -> Iterator[None]:
    """Let every linear layer inside a module multiply rows of which there are ``copies`` only once.

    The copies must follow each other as whole sets of rows. That they are equal is looked at, for each input, on the CPU;
    on other devices asking costs more than it saves, and nothing changes.
    """
    with ExitStack() as stack:
        for layer in _linear_layers(module):
            if copies > 1 and layer.get_parameter("weight").device.type == "cpu":
                stack.enter_context(_forward(layer, _once(layer.forward, copies)))
        yield


def _once(multiply: Product, copies: int) -> Product:
    def product(x: Tensor) -> Tensor:
        if len(x) % copies:
            return multiply(x)
        sets = x.unflatten(0, (copies, -1))
        if not torch.equal(sets[1:], sets[:1].expand_as(sets[1:])):
            return multiply(x)
        one = multiply(sets[0])
        return one.repeat(copies, *(1,) * (one.ndim - 1))

    return product


@contextmanager
def _forward(layer: nn.Module, product: Product) -> Iterator[None]:
    """Put a product in the place of a layer's forward pass while the context is open."""
    before = vars(layer).get("forward")
    layer.forward = product
    try:
        yield
    finally:
        del layer.forward
        if before is not None:
            layer.forward = before


def _laid_out(weight: Tensor) -> Tensor:
    key = (weight.data_ptr(), weight.shape, weight.stride())
    with _ONE_AT_A_TIME:
        found = _IN_USE.get(key)
        if found is None:
            reorder: Callable[..., Tensor] = torch.ops.mkl._mkl_reorder_linear_weight
            found = _IN_USE[key] = reorder(weight, _ROWS)
        return found


def _linear_layers(module: nn.Module) -> list[nn.Module]:
    # By type, not isinstance: a subclass may do more than multiply.
    return [layer for layer in module.modules() if type(layer) in (nn.Linear, Conv1D)]


def _as_linear(layer: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Return weight (out × in) and bias; transformers' Conv1D (GPT-2) keeps the weight as (in, out)."""
    weight = layer.get_parameter("weight")
    bias = None if layer.bias is None else layer.get_parameter("bias")
    return (weight.T if type(layer) is Conv1D else weight), bias


def _can_pack(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and packing_pays()
