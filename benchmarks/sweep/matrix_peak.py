"""The machine's matrix peak: the best rate of several large products, square and of the model's own shapes.

That is what a product reaches once, in milliseconds. A machine that is shared with others, or slows down when it is
warm, does not keep it up: the sustained rate is that of the shape which is fastest when each is multiplied again and again,
and nothing else done.

python -m benchmarks.sweep.matrix_peak cpu float32 576,1536
"""

import json
import sys
from collections.abc import Callable

import torch

from benchmarks.sweep.precision import set_precision
from benchmarks.sweep.timing import clock

_ROWS = 1024
_REPEATS = 6
_SECONDS = 0.5


def shapes(hidden: int, neurons: int, device: str) -> list[tuple[int, int, int]]:
    """Return (rows, inner, columns) of the products to try; a GPU needs larger ones to be busy."""
    squares = (4096, 8192) if torch.device(device).type == "cuda" else (2048, 4096)
    rows = _ROWS * (16 if torch.device(device).type == "cuda" else 1)
    model = [(hidden, neurons), (neurons, hidden), (hidden, hidden)]
    return [(n, n, n) for n in squares] + [(many, *shape) for many in (rows, 4 * rows) for shape in model]


def matrix_peak(device: str, dtype: torch.dtype, hidden: int, neurons: int) -> float:
    """Return the highest rate seen, operations a second, all threads."""
    return max(_rate(shape, device, dtype) for shape in shapes(hidden, neurons, device))


def sustained_rates(
    device: str, dtype: torch.dtype, hidden: int, neurons: int, seconds: float = _SECONDS
) -> list[float]:
    """Return for each of the shapes the operations a second that its product keeps up, all threads."""
    return [_sustained(shape, device, dtype, seconds) for shape in shapes(hidden, neurons, device)]


def _rate(shape: tuple[int, int, int], device: str, dtype: torch.dtype) -> float:
    multiply = _product(shape, device, dtype)
    fastest = float("inf")
    for _ in range(_REPEATS):
        before = clock(device)
        multiply()
        fastest = min(fastest, clock(device) - before)
    return _operations(shape) / fastest


def _sustained(shape: tuple[int, int, int], device: str, dtype: torch.dtype, seconds: float) -> float:
    multiply, done = _product(shape, device, dtype), 0
    began = before = clock(device)
    while before - began < seconds:
        multiply()
        done, before = done + 1, clock(device)
    return done * _operations(shape) / (before - began)


def _operations(shape: tuple[int, int, int]) -> int:
    rows, inner, columns = shape
    return 2 * rows * inner * columns


def _product(shape: tuple[int, int, int], device: str, dtype: torch.dtype) -> Callable[[], object]:
    """Return a product that has been done once already."""
    rows, inner, columns = shape
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(rows, inner, generator=generator).to(device, dtype)
    # As a linear layer holds it: (columns, inner).
    right = torch.randn(columns, inner, generator=generator).to(device, dtype).T
    out = torch.empty(rows, columns, device=device, dtype=dtype)
    torch.mm(left, right, out=out)
    return lambda: torch.mm(left, right, out=out)


def main() -> int:
    """Measure both and print them as JSON."""
    device, precision, sizes = sys.argv[1:4]
    hidden, neurons = map(int, sizes.split(","))
    dtype = set_precision(precision)
    peak, sustained = (measure(device, dtype, hidden, neurons) for measure in (matrix_peak, sustained_rates))
    json.dump({"peak": peak, "sustained": max(sustained)}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
