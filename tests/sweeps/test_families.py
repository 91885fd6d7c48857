"""The one-pass engine against the hooked forward, on every family, or the family falls back by itself."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from ripplestats.intervention.branches import ARMS, Branch
from ripplestats.model.load import Model
from ripplestats.model.sites import SITES, find_layout
from ripplestats.sweeps import onepass
from ripplestats.sweeps.adapters import ADAPTERS, tree_attention
from ripplestats.sweeps.batch import make_batch
from ripplestats.sweeps.grid import make_grid
from ripplestats.sweeps.hooked import last_logits, run_hooked
from ripplestats.sweeps.onepass import run_one_pass
from ripplestats.sweeps.runner import Sweep
from tests.conftest import tiny_model, tiny_prompts
from tests.families import FAMILIES, RECURRENT
from tests.tiny import tiny_network

METRICS = ("delta_logit", "delta_logprob", "kl")
#: Both engines compute in float32, in a different order. 1e-4 nats is asked for; most reach 1e-5, and those that norm the
#: MLP's output, which may be small, 3e-5: as far as the hooked forward itself is from float64.
TOLERANCE = 1e-4
#: A tenth of what a logit near 10 is rounded to in float16, times the blocks that it goes through, is far below this.
HALF_TOLERANCE = 0.15
ADAPTED = (
    "gpt_neo",
    "gptj",
    "codegen",
    "xglm",
    "falcon",
    "falcon_new",
    "falcon_alibi",
    "bloom",
    "mpt_clipped",
    "lfm2",
    "qwen3_5",
)


def cells_of_both_engines(model: Model, length: int = 9) -> float:
    """Return the largest difference of any outcome in any cell, having seen that there are effects."""
    batch = make_batch(tiny_prompts(2, length), model.device, seed=1)
    grid = make_grid(model.n_layers, model.n_neurons, rates="8,60", arms=list(ARMS),
                     replacements=["median", "mean", "zero"], sites=list(SITES))  # fmt: skip
    clean, found = run_one_pass(model, batch, grid.layers, grid.branches())
    plain, expected = run_hooked(model, batch, grid.layers, grid.branches())
    assert found.delta_logprob.abs().max() > 0.1, "replacing neurons must matter, or the comparison shows nothing"
    assert (found.top1_changed == expected.top1_changed).float().mean() > 0.99
    differences = [getattr(found, metric) - getattr(expected, metric) for metric in METRICS]
    return max(float(each.abs().max()) for each in [*differences, clean.logits - plain.logits])


def swept(model: Model) -> Sweep:
    return Sweep(model, tiny_prompts(2, 8), make_grid(model.n_layers, model.n_neurons, rates="20", arms=["top"]))


@pytest.mark.parametrize("family", FAMILIES)
def test_one_pass_equals_the_hooked_forward_in_every_cell(family: str) -> None:
    assert cells_of_both_engines(tiny_model(family)) < TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
def test_a_no_op_branch_reproduces_the_clean_logits(family: str) -> None:
    model = tiny_model(family)
    batch = make_batch(tiny_prompts(2, 7), model.device, seed=0)
    no_op = [Branch("top", "zero", "pre", 0), Branch("keep_top", "zero", "post", model.n_neurons)]
    clean, found = run_one_pass(model, batch, range(model.n_layers), no_op)
    torch.testing.assert_close(clean.logits, last_logits(model, batch.ids), atol=TOLERANCE, rtol=0)
    assert found.delta_logprob.abs().max() < TOLERANCE
    assert not found.top1_changed.any()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_here_runs_in_one_pass_by_itself(family: str) -> None:
    engine, check = swept(tiny_model(family)).checked("auto")
    assert engine == "onepass", check.reason
    assert max(check.largest_difference, check.no_op_difference) <= check.tolerance


@pytest.mark.parametrize("family", RECURRENT)
def test_recurrent_blocks_fall_back_to_hooks_by_themselves(family: str) -> None:
    sweep = swept(tiny_model(family))
    engine, check = sweep.checked("auto")
    assert engine == "hooks"
    assert "not reached by branches" in check.reason or "differ by" in check.reason
    effects, _ = sweep.run(slice(0, 2), engine)
    assert abs(effects["delta_logprob"]).max() > 0.1


@pytest.mark.parametrize("family", ["diffllama", "bloom", "gpt_neo", "llama", "lfm2", "qwen3_5"])
def test_branches_may_come_in_many_small_calls(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onepass, "_ROWS_AT_ONCE", 14)
    assert cells_of_both_engines(tiny_model(family)) < TOLERANCE


@pytest.mark.parametrize("family", ["mistral", "gpt_neo", "bloom", "gemma3", "granite_swa", "lfm2", "qwen3_5"])
@pytest.mark.parametrize("length", [1, 4, 5, 33])
def test_contexts_shorter_and_longer_than_the_window(family: str, length: int) -> None:
    assert cells_of_both_engines(tiny_model(family), length) < TOLERANCE


@pytest.mark.parametrize("family", [*ADAPTED, "granite_swa", "gemma2"])
def test_adapters_compute_in_half_precision_too(family: str) -> None:
    network = tiny_network(family).to(torch.float16)
    model = replace(tiny_model(family), network=network, layout=find_layout(network))
    batch = make_batch(tiny_prompts(2, 9), model.device, seed=1)
    branches = make_grid(model.n_layers, model.n_neurons, rates="8,60").branches()
    clean, found = run_one_pass(model, batch, range(3), branches)
    plain, expected = run_hooked(model, batch, range(3), branches)
    for metric in METRICS:
        torch.testing.assert_close(
            getattr(found, metric), getattr(expected, metric), atol=HALF_TOLERANCE, rtol=0, check_dtype=False
        )
    torch.testing.assert_close(clean.logits, plain.logits, atol=HALF_TOLERANCE, rtol=0, check_dtype=False)


@pytest.mark.parametrize("family", [*ADAPTED, "llama"])
def test_a_network_is_left_as_it_was_even_after_an_error(family: str) -> None:
    network = tiny_model(family).network
    before = network.config._attn_implementation
    attentions = [module for module in network.modules() if type(module).__name__ in ADAPTERS]
    assert bool(attentions) == (family in ADAPTED)
    with pytest.raises(KeyError), tree_attention(network):
        assert all(set(vars(module)) & {"_attn", "forward"} for module in attentions)
        raise KeyError
    assert not any(set(vars(module)) & {"_attn", "forward"} for module in attentions)
    assert network.config._attn_implementation == before


class OwnAttention(nn.Module):
    """An attention that nobody knows, with the projections of a Llama's."""

    def __init__(self, projections: nn.Module) -> None:
        super().__init__()
        self.projections = projections

    def forward(self, hidden_states: Tensor, **_: object) -> tuple[Tensor, None]:
        query, key, value = (
            project(hidden_states).unflatten(-1, (-1, 8)).transpose(1, 2)
            for project in (self.projections.q_proj, self.projections.k_proj, self.projections.v_proj)
        )
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
        return self.projections.o_proj(mixed.transpose(1, 2).flatten(2)), None


class ShiftedAttention(nn.Module):
    """A Llama's attention on which the token before has a say of its own, unseen by branches."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, hidden_states: Tensor, **options: object) -> tuple[Tensor, None]:
        before = nn.functional.pad(hidden_states, (0, 0, 1, 0))[:, :-1]
        return self.attention(hidden_states=hidden_states, **options)[0] + before, None


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize(
    ("unknown", "reason"), [(OwnAttention, "not reached by branches"), (ShiftedAttention, "differ by")]
)
def test_an_attention_that_nobody_knows_falls_back_to_hooks(unknown: type, reason: str, position: int) -> None:
    network = tiny_network("llama")
    network.model.layers[position].self_attn = unknown(network.model.layers[position].self_attn)
    engine, check = swept(replace(tiny_model("llama"), network=network, layout=find_layout(network))).checked("auto")
    assert engine == "hooks"
    assert reason in check.reason
