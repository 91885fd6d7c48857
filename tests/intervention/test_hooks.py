"""Hooks edit what they should and are gone afterwards."""

import pytest
import torch

from ripplestats.intervention.hooks import editing
from tests.conftest import tiny_model


def hooks_of(network: torch.nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in network.modules())


@pytest.mark.parametrize("site", ["pre", "post"])
@pytest.mark.parametrize("family", ["gpt2", "llama", "phi3", "opt"])
def test_an_edit_sees_all_neurons_and_nothing_stays_behind(family: str, site: str) -> None:
    model = tiny_model(family)
    ids = torch.tensor([[3, 4, 5, 6]])
    before, seen = hooks_of(model.network), []
    clean = model.network(input_ids=ids).logits

    def edit(values: torch.Tensor) -> torch.Tensor:
        seen.append(values.shape)
        return torch.zeros_like(values)

    with editing(model.layout, 1, site, edit):
        edited = model.network(input_ids=ids).logits
    assert [shape[-1] for shape in seen] == [model.n_neurons]
    assert not torch.allclose(clean, edited)
    assert hooks_of(model.network) == before
    assert torch.equal(model.network(input_ids=ids).logits, clean)


def test_hooks_are_removed_when_the_edit_fails() -> None:
    model = tiny_model("gpt2")
    before = hooks_of(model.network)

    def fail(_: torch.Tensor) -> torch.Tensor:
        raise ArithmeticError("on purpose")

    with pytest.raises(ArithmeticError), editing(model.layout, 0, "pre", fail):
        model.network(input_ids=torch.tensor([[3, 4]]))
    assert hooks_of(model.network) == before


def test_phi3_edits_the_gate_half_only() -> None:
    model = tiny_model("phi3")
    outputs: list[torch.Tensor] = []
    module = model.layout.pre[0]
    with editing(model.layout, 0, "pre", torch.zeros_like):
        handle = module.register_forward_hook(lambda _m, _a, output: outputs.append(output.clone()))
        model.network(input_ids=torch.tensor([[3, 4, 5]]))
        handle.remove()
    gate, up = outputs[0].split(model.n_neurons, dim=-1)
    assert not gate.any()
    assert up.any()
