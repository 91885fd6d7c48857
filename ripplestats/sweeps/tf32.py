"""TF32 in matrix products of float32: on or off as the sweep says, whatever the process had set before."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def tf32_products(allowed: bool) -> Iterator[None]:
    """Allow CUDA, or forbid it, to round the factors of float32 matrix products to TF32's 11 bits of mantissa."""
    matmul: Any = torch.backends.cuda.matmul
    name: str = "allow_tf32"
    value: bool | str = allowed
    try:
        before = matmul.allow_tf32
    except RuntimeError:
        # The process has set PyTorch's newer switch, beside which the older one cannot be read.
        name, value = "fp32_precision", "tf32" if allowed else "ieee"
        before = matmul.fp32_precision
    setattr(matmul, name, value)
    try:
        yield
    finally:
        setattr(matmul, name, before)
