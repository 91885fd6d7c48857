"""Outcomes from logits, and the tiled way to the same numbers."""

import numpy as np
import pytest
import torch
from scipy import special
from torch import nn

from ripplestats.model.unembedding import Unembedding
from ripplestats.sweeps.outcomes import clean_prediction, compare, joined
from ripplestats.sweeps.tiled_outcomes import compare_residuals


def logits(*shape: int, scale: float = 3.0, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def test_outcomes_equal_their_definitions_in_float64() -> None:
    clean, other, target = logits(2, 50), logits(4, 2, 50, seed=1), torch.tensor([3, 49])
    found = compare(clean_prediction(clean, target), other.clone())
    p, q = (special.log_softmax(one.double().numpy(), axis=-1) for one in (clean, other))
    np.testing.assert_allclose(found.kl, (np.exp(p) * (p - q)).sum(-1), atol=1e-6)
    for row, token in enumerate(target.tolist()):
        np.testing.assert_allclose(found.delta_logprob[:, row], p[row, token] - q[:, row, token], atol=1e-5)
        np.testing.assert_allclose(found.delta_logit[:, row], clean[row, token] - other[:, row, token], atol=1e-5)
    np.testing.assert_array_equal(found.top1_changed, p.argmax(-1) != q.argmax(-1))


def test_the_clean_prediction_is_described() -> None:
    clean = clean_prediction(torch.tensor([[0.0, 2.0, 1.0], [0.0, 0.0, 0.0]]), torch.tensor([2, 0]))
    assert clean.rank.tolist() == [2, 1]
    assert clean.top1.tolist()[0] == 1
    assert clean.entropy[1].item() == pytest.approx(np.log(3))
    assert clean.logprob[0].item() == pytest.approx(special.log_softmax([0.0, 2.0, 1.0])[2])


def test_the_same_logits_change_nothing() -> None:
    clean = logits(3, 20)
    found = compare(clean_prediction(clean, torch.tensor([0, 1, 2])), clean[None].clone())
    assert not found.kl.any()
    assert not found.delta_logprob.abs().max() > 1e-6
    assert not found.top1_changed.any()


def test_an_impossible_token_gives_finite_numbers() -> None:
    clean, other = torch.tensor([[0.0, -1e4, 1.0]]), torch.tensor([[[0.0, 30.0, 1.0]]])
    found = compare(clean_prediction(clean, torch.tensor([0])), other)
    assert torch.isfinite(found.kl).all()
    assert found.kl.item() == pytest.approx(30 - np.log(1 + np.e), abs=1e-5)


@pytest.mark.parametrize("softcap", [None, 20.0])
@pytest.mark.parametrize("spread", [1e-3, 1.0, 8.0])
def test_tiles_give_what_whole_logits_give(spread: float, softcap: float | None) -> None:
    torch.manual_seed(0)
    unembed = Unembedding(nn.Identity(), nn.Linear(16, 5000).requires_grad_(False), divisor=0.5, softcap=softcap)
    base = torch.randn(1, 3, 16) * 3
    residual = torch.cat([base, base + spread * torch.randn(700, 3, 16), base + 5.0])
    target = torch.tensor([1, 2500, 4999])
    clean, found = compare_residuals(residual, target, unembed)
    expected = compare(clean_prediction(unembed.logits(residual[0]), target), unembed.logits(residual[1:]))
    assert clean.logits.shape == (3, 5000)
    for metric in ("delta_logit", "delta_logprob", "kl"):
        torch.testing.assert_close(getattr(found, metric), getattr(expected, metric), atol=3e-5, rtol=1e-5)
    assert (found.top1_changed == expected.top1_changed).float().mean() > 0.999
    assert (found.kl >= 0).all()


def test_small_divergences_are_right_to_a_ten_millionth_in_tiles() -> None:
    torch.manual_seed(0)
    unembed = Unembedding(nn.Identity(), nn.Linear(16, 3000).requires_grad_(False))
    base = torch.randn(1, 2, 16)
    residual = torch.cat([base, base + 1e-4 * torch.randn(9, 2, 16)])
    _, found = compare_residuals(residual, torch.tensor([0, 1]), unembed)
    exact = unembed.head.weight.double() @ residual.double().transpose(-1, -2) + unembed.head.bias.double()[:, None]
    log_p = exact.log_softmax(1)
    kl = (log_p[0].exp() * (log_p[0] - log_p[1:])).sum(1)
    assert kl.max() < 1e-7
    torch.testing.assert_close(found.kl.double(), kl, rtol=0, atol=2e-7)
    assert (found.kl >= 0).all()


def test_a_rise_beyond_the_exponential_takes_the_plain_way() -> None:
    unembed = Unembedding(nn.Identity(), nn.Linear(2, 4, bias=False).requires_grad_(False))
    unembed.head.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [-1.0, 0.0]])
    residual = torch.tensor([[[90.0, 0.0]], [[0.0, 120.0]]])
    _, found = compare_residuals(residual, torch.tensor([0]), unembed)
    assert torch.isfinite(found.kl).all()
    assert found.delta_logprob.item() == pytest.approx(120.0, abs=1e-3)


def test_joining_keeps_the_order() -> None:
    clean = clean_prediction(logits(2, 9), torch.tensor([0, 1]))
    whole = compare(clean, logits(5, 2, 9, seed=2))
    parts = [compare(clean, chunk) for chunk in logits(5, 2, 9, seed=2).split(2)]
    torch.testing.assert_close(joined(parts).kl, whole.kl)
