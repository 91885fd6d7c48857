"""From the residual stream of the last block to the logits, as the model itself does it."""

from dataclasses import replace

import pytest
import torch
import transformers
from torch import nn

from ripplestats.errors import EngineError
from ripplestats.model.load import Model
from ripplestats.model.sites import find_layout
from ripplestats.model.unembedding import Unembedding, find_unembedding
from tests.conftest import tiny_model
from tests.tiny import FAMILIES, tiny_network

IDS = torch.tensor([[5, 9, 200, 31], [7, 7, 100, 2]])


def residual_and_logits(network: nn.Module, last_block: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    caught = []
    with last_block.register_forward_hook(lambda _module, _args, output: caught.append(output)), torch.inference_mode():
        logits = network(input_ids=IDS, use_cache=False).logits
    return caught[-1][0] if isinstance(caught[-1], tuple) else caught[-1], logits


def check(network: nn.Module) -> Unembedding:
    layout = find_layout(network)
    unembedding = find_unembedding(network, layout)
    residual, logits = residual_and_logits(network, layout.blocks[-1])
    with torch.inference_mode():
        found = unembedding.logits(unembedding.hidden(residual))
    assert logits.std() > 0.05
    torch.testing.assert_close(found, logits, rtol=1e-5, atol=1e-5)
    return unembedding


@pytest.mark.parametrize("family", FAMILIES)
def test_the_logits_of_every_family_come_out_as_its_own(family: str) -> None:
    check(tiny_model(family).network)


def test_divisors_caps_and_projections_are_really_there() -> None:
    def of(family: str) -> Unembedding:
        model: Model = tiny_model(family)
        return find_unembedding(model.network, model.layout)

    assert of("granite").divisor == 4.0
    assert of("gemma2").softcap == 30.0
    assert of("opt").project is not None
    assert of("gptj").head.bias is not None
    plain = of("llama")
    assert (plain.divisor, plain.softcap, plain.project, plain.head.bias) == (1.0, None, None, None)


def test_a_model_that_multiplies_its_logits_is_followed() -> None:
    config = transformers.CohereConfig(
        vocab_size=256, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, logit_scale=0.25, pad_token_id=0, bos_token_id=1,
        eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    network = transformers.CohereForCausalLM(config).eval()
    with torch.no_grad():
        network.model.embed_tokens.weight.normal_()
    assert check(network).divisor == 4.0


@pytest.mark.parametrize("family", ["gptj", "gemma2", "granite", "opt"])
def test_a_part_of_the_vocabulary_has_the_same_logits_as_in_the_whole(family: str) -> None:
    model = tiny_model(family)
    unembedding = find_unembedding(model.network, model.layout)
    hidden = torch.randn(3, unembedding.head.in_features, generator=torch.Generator().manual_seed(0))
    parts = [unembedding.logits(hidden, slice(start, start + 100)) for start in range(0, 256, 100)]
    assert [part.shape[-1] for part in parts] == [100, 100, 56]
    torch.testing.assert_close(torch.cat(parts, dim=-1), unembedding.logits(hidden), rtol=1e-5, atol=1e-6)


def test_an_unembedding_that_is_no_single_matrix_is_refused() -> None:
    network = tiny_network("llama")
    network.lm_head = nn.Sequential(network.lm_head)
    with pytest.raises(EngineError, match="the unembedding of LlamaForCausalLM is not one matrix"):
        find_unembedding(network, find_layout(network))


def test_the_soft_cap_bounds_logits_and_keeps_their_order() -> None:
    model = tiny_model("gemma2")
    capped = find_unembedding(model.network, model.layout)
    hidden = 100 * torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    free = replace(capped, softcap=None).logits(hidden)
    logits = capped.logits(hidden)
    assert free.abs().max() > 30
    assert logits.abs().max() <= 30
    torch.testing.assert_close(logits, 30 * torch.tanh(free / 30))
