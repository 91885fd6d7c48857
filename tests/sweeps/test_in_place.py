"""Modules that compute in place: the same outcomes as transformers' own, and only where their code is known."""

import functools
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.activations import NewGELUActivation
from transformers.models.llama import modeling_llama as llama

from ripplestats.intervention.branches import ARMS
from ripplestats.model.sites import SITES
from ripplestats.sweeps import in_place as rewriting
from ripplestats.sweeps import onepass
from ripplestats.sweeps.batch import make_batch
from ripplestats.sweeps.grid import make_grid
from ripplestats.sweeps.in_place import digest, in_place, rewritten
from ripplestats.sweeps.onepass import run_one_pass
from tests.conftest import tiny_model, tiny_prompts
from tests.tiny import tiny_network

#: Families of whose blocks something is rewritten, and how many kinds of modules.
SHARED = {
    "gpt2": 1,
    "llama": 5,
    "mistral": 4,
    "qwen2": 4,
    "qwen3_window": 4,
    "gemma": 3,
    "granite": 4,
    "olmo": 3,
    "phi3": 1,
    "glm": 2,
    "arcee": 3,
    "jais2": 2,
    "diffllama": 4,
    "smollm3": 4,
}


def functions(network: nn.Module) -> set[Callable[..., Any]]:
    return {function for module in network.modules() for function in rewritten(module).values()}


@pytest.mark.parametrize("family", SHARED)
def test_outcomes_are_those_of_the_modules_own_code(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(family)
    assert len(functions(model.network)) == SHARED[family], "transformers' code has changed, or what is known of it"
    batch = make_batch(tiny_prompts(3, 9), model.device, seed=1)
    grid = make_grid(model.n_layers, model.n_neurons, rates="8,60", arms=list(ARMS), sites=list(SITES))
    found_clean, found = run_one_pass(model, batch, grid.layers, grid.branches())
    monkeypatch.setattr(onepass, "in_place", lambda _: nullcontext())
    clean, expected = run_one_pass(model, batch, grid.layers, grid.branches())
    torch.testing.assert_close(found_clean.logits, clean.logits, atol=1e-5, rtol=0)
    for name, column in expected.columns().items():
        torch.testing.assert_close(found.columns()[name], column, atol=1e-5, rtol=0)
    assert expected.delta_logprob.abs().max() > 0.1


def test_every_kind_of_module_that_is_known_is_tested() -> None:
    tested = set().union(*(functions(tiny_model(family).network) for family in SHARED))
    assert tested == {*rewriting._REWRITTEN.values(), rewriting._silu}


def test_nothing_is_replaced_in_other_arithmetic_in_training_or_where_weights_are_elsewhere() -> None:
    network = tiny_network("llama")

    def replaced(one: nn.Module) -> bool:
        with in_place(one):
            return any("forward" in vars(module) for module in one.modules())

    assert replaced(network)
    assert not any("forward" in vars(module) for module in network.modules())
    assert not replaced(network.train())
    network.eval().model.layers[2].mlp.down_proj.to(torch.float16)
    assert not replaced(network)
    assert not replaced(tiny_network("llama").to("meta"))


def test_a_forward_that_is_a_modules_own_stays() -> None:
    network = tiny_network("llama")
    norm = network.model.layers[0].input_layernorm
    norm.forward = own = lambda hidden: hidden
    with in_place(network):
        assert norm.forward is own
    assert norm.forward is own


class _Clipped(llama.LlamaAttention):
    def forward(self, hidden_states: Tensor, **options: Any) -> tuple[Tensor, Any]:
        return super().forward(hidden_states.clamp(-8, 8), **options)


class _Inherited(llama.LlamaMLP):
    pass


def test_code_of_ones_own_is_not_known_and_what_is_inherited_is() -> None:
    config = tiny_network("llama").config
    assert rewritten(llama.LlamaAttention(config, 0))
    assert not rewritten(_Clipped(config, 0))
    mlp = _Inherited(config)
    assert set(rewritten(mlp)) == {mlp, mlp.act_fn}
    mlp.act_fn = nn.GELU()
    assert set(rewritten(mlp)) == {mlp}
    assert not rewritten(nn.SiLU()), "its input may be somebody else's"


def test_a_patched_rotation_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    attention = llama.LlamaAttention(tiny_network("llama").config, 0)
    assert rewritten(attention)
    monkeypatch.setattr(llama, "rotate_half", lambda x: x)
    assert not rewritten(attention)


def test_a_digest_sees_statements_and_arguments_and_nothing_else() -> None:
    def plain(self, x, scale=1.0):
        return self.norm(x) * scale

    def described(self: nn.Module, x: Tensor, scale: float = 1.0) -> Tensor:
        """Describe."""
        return self.norm(x) * scale  # and remark

    def default(self, x, scale=2.0):
        return self.norm(x) * scale

    def statement(self, x, scale=1.0):
        return self.norm(x) + scale

    digests = [digest(one) for one in (plain, described, default, statement)]
    assert None not in digests
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_decorated_functions_closures_and_those_without_source_are_not_known() -> None:
    @functools.wraps(NewGELUActivation.forward)
    def decorated(*args: Any) -> Tensor:
        return -NewGELUActivation.forward(*args)

    factor = 2.0
    without_source: dict[str, Any] = {}
    exec("def forward(self, x):\n    return x", without_source)

    def closure(self: nn.Module, x: Tensor) -> Tensor:
        return x * factor

    assert digest(NewGELUActivation.forward) in rewriting._REWRITTEN
    assert digest(decorated) not in rewriting._REWRITTEN
    assert digest(closure) is None
    assert digest(without_source["forward"]) is None
    assert digest(torch.nn.functional.silu.__class__) is None
