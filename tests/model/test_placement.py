"""Models over several devices: weights on the disk until they are needed, outcomes as of the plain model."""

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import accelerate
import numpy as np
import pytest
import torch

from ripplestats.errors import ModelError
from ripplestats.execution.definition import definition, shard_keys
from ripplestats.intervention.branches import ARMS
from ripplestats.model import load
from ripplestats.model.load import Model, load_model, reference_model
from ripplestats.model.placement import check_device_map, weights_at_hand
from ripplestats.model.sites import SITES, find_layout
from ripplestats.sweeps import onepass
from ripplestats.sweeps.grid import make_grid
from ripplestats.sweeps.runner import Sweep
from ripplestats.sweeps.selfcheck import TOLERANCES
from tests.conftest import tiny_model, tiny_prompts
from tests.tiny import save_tiny_model, tiny_network

#: By what reads weights or takes a module's forward pass in hand: plain, gated, parallel, adapters of a method and of a
#: whole forward pass, recurrences that read weights by themselves, a projection after the last norm.
CHOSEN = ("gpt2", "llama", "gpt_neox", "gpt_neo", "falcon", "lfm2", "qwen3_5", "opt")
ROUNDING = {"atol": 1e-6, "rtol": 0}


@pytest.fixture(autouse=True)
def as_transformers_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let plain models compute as dispatched ones do, whose linear layers are left alone: bit by bit the same."""
    for faster in ("packed_products", "repeated_rows_once", "in_place"):
        monkeypatch.setattr(onepass, faster, lambda *_: nullcontext())


def swept(model: Model) -> Sweep:
    grid = make_grid(
        model.n_layers, model.n_neurons, rates="8,60", arms=list(ARMS), replacements=["median", "resample"], sites=SITES
    )
    return Sweep(model, tiny_prompts(4, 9), grid, 1)


def in_turn(model: Model, first: str, second: str) -> dict[str, str]:
    """A device map: blocks in turn, all the rest beside the first of them."""
    blocks = model.layout.names.blocks
    found = {}
    for name, _ in model.network.named_parameters(remove_duplicate=False):
        inside = name.startswith(f"{blocks}.")
        module = ".".join(name.split(".")[: blocks.count(".") + 2]) if inside else name.rpartition(".")[0]
        found[module] = (first, second)[int(module.rpartition(".")[2]) % 2] if inside else first
    return found


def dispatched(folder: Path, family: str, device_map: dict[str, str]) -> Model:
    """A tiny model as ``load_model`` lays it out (some families' tokenizers know one word more than the tiny models)."""
    network = load._network(save_tiny_model(folder, family), family, "float32", device_map)
    return replace(tiny_model(family), network=network, layout=find_layout(network), device_map=device_map)


def away_in(model: Model) -> set[str]:
    """The names of the weights that are not in memory."""
    return {name for name, weight in model.network.named_parameters(remove_duplicate=False) if weight.is_meta}


@pytest.mark.parametrize("where", ["all on the disk", "every other block"])
@pytest.mark.parametrize("family", CHOSEN)
def test_offloaded_weights_give_the_outcomes_of_the_plain_model(family: str, where: str, tmp_path: Path) -> None:
    plain = tiny_model(family)
    device_map = {"": "disk"} if where == "all on the disk" else in_turn(plain, "cpu", "disk")
    model = dispatched(tmp_path / "model", family, device_map)
    before = away_in(model)
    assert before, "some weights are not in memory"
    for engine in ("onepass", "hooks"):
        (found, clean), (expected, known) = (swept(one).run(slice(0, 4), engine) for one in (model, plain))
        for metric in ("delta_logit", "delta_logprob", "kl"):
            np.testing.assert_allclose(found[metric], expected[metric], **ROUNDING)
        np.testing.assert_allclose(clean["clean_logprob"], known["clean_logprob"], **ROUNDING)
        assert np.abs(expected["delta_logprob"]).max() > 0.1
    assert away_in(model) == before, "and are away again"


def test_the_engine_is_chosen_by_the_self_check(tmp_path: Path) -> None:
    engine, check = swept(dispatched(tmp_path / "model", "llama", {"": "disk"})).checked()
    assert engine == "onepass", check.reason
    assert check.largest_difference <= TOLERANCES["float32"]


def test_a_block_is_fetched_once_for_the_prompts_and_all_branches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = dispatched(tmp_path / "model", "gpt2", {"": "disk"})
    fetched = []
    read = accelerate.utils.OffloadedWeightsLoader.__getitem__

    def reading(loader: object, name: str) -> torch.Tensor:
        fetched.append(name)
        return read(loader, name)

    monkeypatch.setattr(accelerate.utils.OffloadedWeightsLoader, "__getitem__", reading)
    job = replace(swept(model), grid=make_grid(model.n_layers, model.n_neurons, rates="8,60"))
    job.run(slice(0, 4), "onepass")
    of_blocks = [name for name in fetched if ".h." in name]
    assert of_blocks
    assert len(of_blocks) == len(set(of_blocks))


@pytest.mark.parametrize("family", ["llama", "gpt_neox"])
def test_hooks_on_one_device_change_nothing(family: str) -> None:
    network = accelerate.dispatch_model(tiny_network(family), {"": "cpu"}, force_hooks=True)
    model = replace(tiny_model(family), network=network, layout=find_layout(network))
    assert not model.shareable
    for engine in ("onepass", "hooks"):
        found, expected = (swept(one).run(slice(0, 4), engine)[0] for one in (model, tiny_model(family)))
        np.testing.assert_allclose(found["delta_logprob"], expected["delta_logprob"], **ROUNDING)
    assert all("forward" in vars(module) for module in network.modules() if hasattr(module, "_hf_hook"))


def test_weights_at_hand_are_numbers_while_the_context_is_open(tmp_path: Path) -> None:
    block = dispatched(tmp_path / "model", "gpt2", {"": "disk"}).blocks[1]
    expected = dict(tiny_model("gpt2").blocks[1].named_parameters())
    with pytest.raises(KeyError), weights_at_hand(block):
        for name, weight in block.named_parameters():
            torch.testing.assert_close(weight.data, expected[name])
        raise KeyError
    assert all(weight.is_meta for weight in block.parameters())


def test_the_device_map_is_no_part_of_what_defines_a_run(tiny_folder: Path) -> None:
    plain, spread = load_model(str(tiny_folder)), load_model(str(tiny_folder), device_map={"": "disk"})
    assert spread.weights_sha256 == plain.weights_sha256
    assert (str(spread.device), spread.placement) == ("cpu", "disk (1 module)")
    assert definition(swept(spread)) == definition(swept(plain))
    assert shard_keys(swept(spread), [slice(0, 4)]) == shard_keys(swept(plain), [slice(0, 4)])


def test_auto_leaves_a_model_plain_that_fits_on_one_device(tiny_folder: Path) -> None:
    model = load_model(str(tiny_folder), device_map="auto")
    if not torch.cuda.is_available():
        assert model.shareable
        assert model.placement == "cpu"
    assert model.device_map == "auto"


def test_the_reference_of_a_spread_out_model_is_spread_out(tiny_folder: Path) -> None:
    model = load_model(str(tiny_folder), device_map={"": "disk"}, dtype="bfloat16")
    reference = reference_model(model)
    assert (model.dtype, reference.dtype, reference.placement) == ("bfloat16", "float32", "disk (1 module)")
    effects, _ = swept(reference).run(slice(0, 4), "onepass")
    expected, _ = swept(load_model(str(tiny_folder))).run(slice(0, 4), "onepass")
    np.testing.assert_allclose(effects["delta_logprob"], expected["delta_logprob"], **ROUNDING)


def test_a_map_is_a_word_a_mapping_or_json() -> None:
    assert check_device_map(None) is None
    assert check_device_map("balanced") == "balanced"
    assert check_device_map({"": 0}) == {"": 0}
    assert check_device_map(json.dumps({"model": 1, "lm_head": "cpu"})) == {"model": 1, "lm_head": "cpu"}


@pytest.mark.parametrize("wrong", ["", "everywhere", "{", "[]", "{}", "3", '{"model": [1]}', '{"model": true}'])
def test_any_other_map_is_refused_in_one_line(wrong: str) -> None:
    with pytest.raises(ModelError, match=r"^--device-map '.*' is not known; allowed: auto, .*JSON.*$"):
        check_device_map(wrong)


WRONG = {
    "a device as well": ({"device": "cpu", "device_map": "auto"}, "--device cpu and --device-map do not go together"),
    "half a block": (
        {"device_map": dict.fromkeys(
            ["transformer.wte", "transformer.wpe", "transformer.h.1", "transformer.h.2", "transformer.ln_f", "lm_head",
             *(f"transformer.h.0.{part}" for part in ("ln_1", "attn", "ln_2"))], "cpu",
        ) | {"transformer.h.0.mlp": "disk"}},
        "a part of transformer.h.0; allowed: one device for each whole block",
    ),
    "a module that is missing": ({"device_map": {"transformer.wte": "cpu", "transformer.h": "disk"}}, "cannot be loaded"),
    "no such device": ({"device_map": {"": "abacus"}}, "cannot be loaded"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_map_that_does_not_fit_is_refused_in_one_line(what: str, tiny_folder: Path) -> None:
    options, said = WRONG[what]
    with pytest.raises(ModelError) as caught:
        load_model(str(tiny_folder), **options)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
