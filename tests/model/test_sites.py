"""Where each family keeps its blocks and neurons: from the table, by structure, or named by the caller."""

from pathlib import Path

import pytest
import torch
from torch import nn

from ripplestats.errors import ModelError
from ripplestats.intervention.hooks import editing
from ripplestats.model import sites
from ripplestats.model.load import load_model
from ripplestats.model.sites import SITES, SiteNames, find_layout, parse_site_names
from tests.conftest import tiny_model
from tests.families import EXPERTS, FAMILIES, RECURRENT, WITHOUT_MLP
from tests.tiny import save_tiny_model, tiny_network

IDS = torch.tensor([[5, 9, 200, 31]])
#: Four times the hidden size where the family has no size of its own.
WIDE = {"GPT2Config", "GPTBigCodeConfig", "GPTNeoConfig", "GPTJConfig", "CodeGenConfig", "BloomConfig", "FalconConfig"}
SWEPT = {**FAMILIES, **RECURRENT}
#: Their structure leaves more than one answer, or none.
UNCLEAR = {"opt_post", "bloom", "lfm2", "recurrent_gemma", "granite_hybrid"}


def width(family: str) -> int:
    options = SWEPT[family].options
    return 4 * options.get("d_model", 32) if SWEPT[family].config in WIDE | {"MptConfig"} else 64


def seen_at(family: str, layer: int, site: str, edit=lambda values: values) -> torch.Tensor:
    """What a site of one block puts out in a forward pass in which another edit may be at work."""
    layout = tiny_model(family).layout
    seen = []

    def look(values: torch.Tensor) -> torch.Tensor:
        seen.append(values.clone())
        return values

    with torch.inference_mode(), editing(layout, layer, "pre", edit), editing(layout, layer, site, look):
        tiny_model(family).network(input_ids=IDS, use_cache=False)
    return seen[0].reshape(IDS.shape[1], -1)


@pytest.mark.parametrize("family", SWEPT)
def test_every_family_has_its_blocks_and_neurons(family: str) -> None:
    layout = tiny_model(family).layout
    assert len(layout.blocks) == len(layout.pre) == len(layout.post) == 3
    assert layout.n_neurons == width(family)
    assert len({type(block) for block in layout.blocks}) == 1
    assert len(set(map(id, (*layout.pre, *layout.post)))) == 6
    assert "norm" in type(layout.norm).__name__.lower() or family == "opt_post"
    for layer in range(3):
        for site in SITES:
            assert seen_at(family, layer, site).shape == (4, layout.n_neurons)


@pytest.mark.parametrize("family", SWEPT)
def test_pre_feeds_the_nonlinearity_whose_neurons_post_takes_in(family: str) -> None:
    def silence(values: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(values)

    def silence_one(values: torch.Tensor) -> torch.Tensor:
        edited = values.clone()
        edited[..., 7] = 0
        return edited

    clean = seen_at(family, 1, "post")
    # Zero but for the 1e-6 at which Apertus' nonlinearity changes its form.
    assert (seen_at(family, 1, "post", silence).abs() < 1e-5).all(), "every nonlinearity here is zero at zero"
    one = seen_at(family, 1, "post", silence_one)
    assert (one[:, 7].abs() < 1e-5).all()
    others = torch.arange(clean.shape[1]) != 7
    torch.testing.assert_close(one[:, others], clean[:, others], rtol=0, atol=0)
    assert (clean != 0).any(dim=0).float().mean() > 0.7, "neurons that were silent anyway would show nothing"


def test_only_the_gate_half_of_phi3_is_edited() -> None:
    layout = tiny_model("phi3").layout
    assert layout.names.gate_half
    outputs = []
    whole = layout.pre[1].register_forward_hook(lambda _module, _args, output: outputs.append(output.clone()))
    with whole:
        seen_at("phi3", 1, "post")
    edited = []

    def minus(values: torch.Tensor) -> torch.Tensor:
        assert values.shape[-1] == layout.n_neurons
        return -values

    with torch.inference_mode(), editing(layout, 1, "pre", minus):
        late = layout.pre[1].register_forward_hook(lambda _module, _args, output: edited.append(output.clone()))
        with late:
            tiny_model("phi3").network(input_ids=IDS, use_cache=False)
    n = layout.n_neurons
    torch.testing.assert_close(edited[0][..., :n], -outputs[0][..., :n], rtol=0, atol=0)
    torch.testing.assert_close(edited[0][..., n:], outputs[0][..., n:], rtol=0, atol=0)


@pytest.mark.parametrize("family", SWEPT)
def test_the_structure_alone_gives_the_same_modules_or_asks_for_them(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = tiny_model(family).network
    expected = find_layout(network)
    monkeypatch.setattr(sites, "FAMILIES", {})
    try:
        found = find_layout(network)
    except ModelError as error:
        assert "--neuron-modules blocks=" in str(error)
        assert family in UNCLEAR
        return
    assert found.pre == expected.pre
    assert found.post == expected.post
    assert found.blocks == expected.blocks
    assert found.norm is expected.norm
    assert found.n_neurons == expected.n_neurons
    assert found.names.gate_half == expected.names.gate_half


@pytest.mark.parametrize("family", ["gpt2", "opt", "llama"])
def test_common_structures_need_no_table(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sites, "FAMILIES", {})
    assert find_layout(tiny_model(family).network).n_neurons > 0


def test_names_of_the_caller_come_before_the_table() -> None:
    names = SiteNames("transformer.h", "attn.c_attn", "mlp.c_proj", "transformer.ln_f")
    layout = find_layout(tiny_model("gpt2").network, names)
    assert layout.names == names
    assert layout.pre[0] is tiny_model("gpt2").network.transformer.h[0].attn.c_attn


@pytest.mark.parametrize("part", ["blocks", "pre", "post", "norm"])
def test_a_name_that_the_network_does_not_have_is_refused(part: str) -> None:
    right = {"blocks": "transformer.h", "pre": "mlp.c_fc", "post": "mlp.c_proj", "norm": "transformer.ln_f"}
    with pytest.raises(ModelError, match="no_such_module") as caught:
        find_layout(tiny_model("gpt2").network, SiteNames(**right | {part: "no_such_module"}))
    assert "--neuron-modules" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("family", EXPERTS)
def test_a_mixture_of_experts_is_refused_with_the_reason(family: str) -> None:
    with pytest.raises(
        ModelError, match=rf"a {family} model cannot be swept: it is a mixture of experts \(.+expert"
    ) as caught:
        find_layout(tiny_network(family))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("family", WITHOUT_MLP)
def test_blocks_without_an_mlp_are_refused_with_the_reason(family: str) -> None:
    with pytest.raises(ModelError, match=f"a {family} model cannot be swept: its blocks are") as caught:
        find_layout(tiny_network(family))
    assert "one MLP in every block" in str(caught.value)


def test_a_shared_expert_that_the_caller_names_is_taken() -> None:
    names = SiteNames("model.layers", "mlp.shared_mlp.gate_proj", "mlp.shared_mlp.down_proj", "model.norm")
    layout = find_layout(tiny_network("hunyuan_v1_moe"), names)
    assert layout.n_neurons == 64


def test_a_mixture_of_experts_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="mixture of experts"):
        load_model(str(save_tiny_model(tmp_path, "mixtral")), device="cpu")


def test_a_model_without_a_final_norm_has_nothing_in_its_place() -> None:
    layout = tiny_model("opt_post").layout
    assert isinstance(layout.norm, nn.Identity)


def test_blocks_of_different_widths_are_refused() -> None:
    network = tiny_network("llama")
    network.model.layers[1].mlp.down_proj = nn.Linear(32, 32)
    with pytest.raises(ModelError, match=r"different numbers of neurons: \[32, 64\]"):
        find_layout(network)


def test_site_names_are_read_in_any_order() -> None:
    text = "norm=model.norm,pre=mlp.gate_proj,blocks=model.layers,post=mlp.down_proj"
    assert parse_site_names(text) == SiteNames("model.layers", "mlp.gate_proj", "mlp.down_proj", "model.norm")


@pytest.mark.parametrize(
    "text",
    [
        "", "model.layers", "blocks=a,pre=b,post=c", "blocks=a,pre=b,post=c,norm=d,more=e", "blocks=a,pre=b,post=c,norm",
        "blocks=a,pre=b,post=c,norm=", "blocks=a,blocks=x,pre=b,post=c,norm=d", "blocks=a,pre=b,post=c,norm=d,words",
    ],
)  # fmt: skip
def test_incomplete_site_names_are_refused_with_the_form(text: str) -> None:
    with pytest.raises(ModelError) as caught:
        parse_site_names(text)
    assert str(caught.value) == (
        f"--neuron-modules {text!r} must name blocks=…,pre=…,post=…,norm=… (dotted module names, each once)"
    )


def test_spaces_after_the_commas_of_site_names_do_not_matter() -> None:
    assert parse_site_names("blocks=a, pre=b, post=c, norm=d") == SiteNames("a", "b", "c", "d")
