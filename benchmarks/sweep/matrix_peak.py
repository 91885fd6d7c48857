"""The machine's matrix peak: the best rate of several large products, square and of the model's own shapes.

That is what a product reaches once, in milliseconds. A machine that is shared with others, or slows down when it is
warm, does not keep it up: the sustained rate is that of the model's own products, and nothing else, over some seconds.

python -m benchmarks.sweep.matrix_peak cpu float32 576,1536
"""

import json
import sys
from collections.abc import Callable
from itertools import cycle

import torch

from benchmarks.sweep.precision import set_precision
from benchmarks.sweep.timing import clock

_ROWS = 1024
_REPEATS = 6
_SECONDS = 4.0


def shapes(hidden: int, neurons: int, device: str) -> list[tuple[int, int, int]]:
    """Return (rows, inner, columns) of the products to try; a GPU needs larger ones to be busy."""
    squares = (4096, 8192) if torch.device(device).type == "cuda" else (2048, 4096)
    rows = _ROWS * (16 if torch.device(device).type == "cuda" else 1)
    model = [(hidden, neurons), (neurons, hidden), (hidden, hidden)]
    return [(n, n, n) for n in squares] + [(many, *shape) for many in (rows, 4 * rows) for shape in model]


def matrix_peak(device: str, dtype: torch.dtype, hidden: int, neurons: int) -> float:
    """Return the highest rate seen, operations a second, all threads."""
    return max(_rate(shape, device, dtype) for shape in shapes(hidden, neurons, device))


def sustained_rate(device: str, dtype: torch.dtype, hidden: int, neurons: int, seconds: float = _SECONDS) -> float:
    """Return operations a second over some seconds of the model's own products in turn, all threads."""
    own = [shape for shape in shapes(hidden, neurons, device) if len(set(shape)) > 1]
    products = [
        (2 * rows * inner * columns, _product((rows, inner, columns), device, dtype)) for rows, inner, columns in own
    ]
    done = 0
    began = clock(device)
    for number, (operations, multiply) in enumerate(cycle(products), start=1):
        multiply()
        done += operations
        if number % len(products) == 0 and clock(device) - began >= seconds:
            break
    return done / (clock(device) - began)


def _rate(shape: tuple[int, int, int], device: str, dtype: torch.dtype) -> float:
    multiply = _product(shape, device, dtype)
    fastest = float("inf")
    for _ in range(_REPEATS):
        before = clock(device)
        multiply()
        fastest = min(fastest, clock(device) - before)
    rows, inner, columns = shape
    return 2 * rows * inner * columns / fastest


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
    peak = matrix_peak(device, dtype, hidden, neurons)
    json.dump({"peak": peak, "sustained": sustained_rate(device, dtype, hidden, neurons)}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
