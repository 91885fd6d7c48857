"""Products by packed weights equal the plain ones, for any number of rows, and leave modules as they were."""

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from ripplestats.model import packed as packing
from ripplestats.model.packed import multiplies_packed, packed_product, packed_products, repeated_rows_once

needs_the_library = pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="PyTorch without Intel's library")


@pytest.fixture(params=[True, False], ids=["of Intel", "of others"], autouse=True)
def made_by_intel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Both kinds of processor, whichever this one is: the library packs on all of them."""
    monkeypatch.setattr(packing, "made_by_intel", lambda: request.param)
    return bool(request.param)


@pytest.mark.parametrize("rows", [1, 7, 256, 300])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_packed_products_equal_plain_ones(rows: int, bias: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    weight, added = torch.randn(24, 12, dtype=dtype), torch.randn(24, dtype=dtype) if bias else None
    x = torch.randn(rows, 1, 12, dtype=dtype)
    found = packed_product(weight, added)(x)
    torch.testing.assert_close(found, nn.functional.linear(x, weight, added))


@needs_the_library
def test_every_linear_layer_inside_a_module_is_packed_on_intel_and_then_as_before(made_by_intel: bool) -> None:
    torch.manual_seed(0)
    block = nn.Sequential(nn.Linear(8, 16), nn.GELU(), Conv1D(8, 16)).requires_grad_(False)
    x = torch.randn(16, 8)
    expected = block(x)
    with packed_products(block):
        assert multiplies_packed(block) == made_by_intel
        assert ("forward" in vars(block[0]), "forward" in vars(block[2])) == (made_by_intel, made_by_intel)
        torch.testing.assert_close(block(x), expected)
        torch.testing.assert_close(block(x[:3]), expected[:3])
    assert "forward" not in vars(block[0])
    assert "forward" not in vars(block[2])
    assert torch.equal(block(x), expected)


def test_two_that_multiply_by_the_same_weights_share_one_layout(made_by_intel: bool) -> None:
    weight = torch.randn(64, 32)
    one, two = packed_product(weight, None), packed_product(weight, None)
    other = packed_product(torch.randn(64, 32), None)
    layouts = [{id(cell.cell_contents) for cell in product.__closure__ or ()} for product in (one, two, other)]
    x = torch.randn(5, 32)
    assert torch.equal(one(x), two(x))
    assert not torch.equal(one(x), other(x))
    if made_by_intel and torch.backends.mkl.is_available():
        assert layouts[0] == layouts[1] != layouts[2]


def test_weights_that_changed_after_a_layout_was_dropped_are_laid_out_again() -> None:
    layer = nn.Linear(8, 16).requires_grad_(False)
    x = torch.randn(3, 8)
    with packed_products(layer):
        layer(x)
    layer.weight.mul_(2)
    with packed_products(layer):
        torch.testing.assert_close(layer(x), nn.functional.linear(x, layer.weight, layer.bias))


class _Counting(nn.Module):
    """Two layers of which the second gets rows that differ; notes how many rows each multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 16), Conv1D(4, 16)

    def forward(self, x: torch.Tensor, added: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x) + added)


@pytest.mark.parametrize("packed", [True, False])
def test_rows_that_repeat_are_multiplied_once_and_others_each(packed: bool) -> None:
    torch.manual_seed(0)
    module = _Counting().requires_grad_(False)
    x = torch.randn(2, 1, 8).repeat(5, 1, 1)
    added = torch.randn(10, 1, 16)
    expected = module(x, added)
    rows: list[int] = []
    first = module.first.forward

    def counted(some: torch.Tensor) -> torch.Tensor:
        rows.append(some.shape[:-1].numel())
        return first(some)

    with packed_products(module if packed else nn.Identity()):
        module.first.forward = counted
        with repeated_rows_once(module, 5):
            torch.testing.assert_close(module(x, added), expected)
            module.first(x[:7])
            module.first(added.repeat(1, 1, 8)[..., :8])
    assert rows == [2, 7, 10]
