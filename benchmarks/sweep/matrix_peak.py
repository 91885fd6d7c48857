"""The machine's matrix peak: the best rate of several large products, square and of the model's own shapes.

python -m benchmarks.sweep.matrix_peak cpu float32 576,1536
"""

import json
import sys

import torch

from benchmarks.sweep.precision import set_precision
from benchmarks.sweep.timing import clock

_ROWS = 1024
_REPEATS = 6


def shapes(hidden: int, neurons: int, device: str) -> list[tuple[int, int, int]]:
    """Return (rows, inner, columns) of the products to try; a GPU needs larger ones to be busy."""
    squares = (4096, 8192) if torch.device(device).type == "cuda" else (2048, 4096)
    rows = _ROWS * (16 if torch.device(device).type == "cuda" else 1)
    model = [(hidden, neurons), (neurons, hidden), (hidden, hidden)]
    return [(n, n, n) for n in squares] + [(many, *shape) for many in (rows, 4 * rows) for shape in model]


def matrix_peak(device: str, dtype: torch.dtype, hidden: int, neurons: int) -> float:
    """Return the highest rate seen, operations a second, all threads."""
    return max(_rate(shape, device, dtype) for shape in shapes(hidden, neurons, device))


def _rate(shape: tuple[int, int, int], device: str, dtype: torch.dtype) -> float:
    rows, inner, columns = shape
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(rows, inner, generator=generator).to(device, dtype)
    # As a linear layer holds it: (columns, inner).
    right = torch.randn(columns, inner, generator=generator).to(device, dtype).T
    out = torch.empty(rows, columns, device=device, dtype=dtype)
    torch.mm(left, right, out=out)
    fastest = float("inf")
    for _ in range(_REPEATS):
        before = clock(device)
        torch.mm(left, right, out=out)
        fastest = min(fastest, clock(device) - before)
    return 2 * rows * inner * columns / fastest


def main() -> int:
    """Measure and print one number as JSON."""
    device, precision, sizes = sys.argv[1:4]
    hidden, neurons = map(int, sizes.split(","))
    json.dump(matrix_peak(device, set_precision(precision), hidden, neurons), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
