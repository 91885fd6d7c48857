"""Number formats of the benchmark, TF32 among them."""

import torch

#: TF32 is a way of multiplying float32 matrices, not a format to keep numbers in.
_DTYPES = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def set_precision(name: str) -> torch.dtype:
    """Set how this process multiplies matrices and return the format of the weights."""
    torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    return _DTYPES[name]
