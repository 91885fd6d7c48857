"""Products by packed weights equal the plain ones, for any number of rows, and leave modules as they were."""

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from ripplestats.model.packed import packed_product, packed_products


@pytest.mark.parametrize("rows", [1, 7, 16, 40])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_packed_products_equal_plain_ones(rows: int, bias: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    weight, added = torch.randn(24, 12, dtype=dtype), torch.randn(24, dtype=dtype) if bias else None
    x = torch.randn(rows, 1, 12, dtype=dtype)
    found = packed_product(weight, added, 16)(x)
    torch.testing.assert_close(found, nn.functional.linear(x, weight, added))


def test_every_linear_layer_inside_a_module_is_packed_and_then_as_before() -> None:
    torch.manual_seed(0)
    block = nn.Sequential(nn.Linear(8, 16), nn.GELU(), Conv1D(8, 16)).requires_grad_(False)
    x = torch.randn(16, 8)
    expected = block(x)
    with packed_products(block, 16):
        packed = torch.backends.mkl.is_available()
        assert ("forward" in vars(block[0]), "forward" in vars(block[2])) == (packed, packed)
        torch.testing.assert_close(block(x), expected)
        torch.testing.assert_close(block(x[:3]), expected[:3])
    assert "forward" not in vars(block[0])
    assert "forward" not in vars(block[2])
    assert torch.equal(block(x), expected)
