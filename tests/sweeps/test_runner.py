"""Prompts through an engine into columns."""

import numpy as np
import pytest
import torch

from ripplestats.errors import EngineError, InputError, NonFiniteError
from ripplestats.model.load import Model
from ripplestats.model.sites import find_layout
from ripplestats.sweeps.batch import donor_numbers, equal_length_groups
from ripplestats.sweeps.grid import make_grid
from ripplestats.sweeps.runner import Sweep
from tests.conftest import tiny_model, tiny_prompts
from tests.tiny import tiny_network, tiny_tokenizer

EVERYTHING = {
    "arms": ["top", "bottom", "magnitude", "random", "keep_top"],
    "replacements": ["median", "mean", "zero", "resample"],
    "sites": ["pre", "post"],
}
METRICS = ["delta_logit", "delta_logprob", "kl"]


def job(batch_size: int = 8, prompts: int = 9, **options: object) -> Sweep:
    model = tiny_model("gpt2")
    grid = make_grid(model.n_layers, model.n_neurons, rates="0,1,10,55,100", **{"arms": ["top", "random"], **options})
    return Sweep(model, tiny_prompts(prompts, 6), grid, seed=5, batch_size=batch_size)


def test_rows_are_in_the_order_of_the_schema_and_doses_are_exact() -> None:
    sweep = job(**EVERYTHING, layers="0,2")
    effects, clean = sweep.run(slice(2, 5), "onepass")
    n = sweep.model.n_neurons
    assert len(effects["prompt_id"]) == 3 * sweep.grid.n_cells == 3 * 5 * 4 * 2 * 2 * 5
    assert effects["prompt_id"].tolist() == sorted(effects["prompt_id"].tolist())
    assert set(effects["layer"]) == {0, 2}
    exact = {0.0: 0, 0.01: n // 100, 0.1: n // 10, 0.55: 55 * n // 100, 1.0: n}
    assert [exact[rate] for rate in effects["rate"]] == effects["k"].tolist()
    np.testing.assert_array_equal(effects["effective_rate"], effects["k"] / n)
    assert clean["prompt_id"].tolist() == [2, 3, 4]
    assert (clean["clean_entropy"] > 0).all()


@pytest.mark.parametrize("engine", ["onepass", "hooks"])
def test_a_rate_of_zero_changes_nothing_and_keeping_all_changes_nothing(engine: str) -> None:
    sweep = job(**EVERYTHING)
    effects, _ = sweep.run(slice(0, 4), engine)
    keep = effects["arm"] == "keep_top"
    idle = np.where(keep, effects["rate"] == 1, effects["rate"] == 0)
    assert np.abs(effects["delta_logprob"][idle]).max() < 2e-6
    assert np.abs(effects["delta_logprob"][~idle]).max() > 0.1


def test_engines_agree_on_every_arm_replacement_and_site() -> None:
    sweep = job(**EVERYTHING)
    one, _ = sweep.run(slice(0, 9), "onepass")
    plain, _ = sweep.run(slice(0, 9), "hooks")
    for metric in METRICS:
        np.testing.assert_allclose(one[metric], plain[metric], atol=1e-4)


@pytest.mark.parametrize("size", [1, 3])
def test_batch_size_changes_nothing(size: int) -> None:
    expected, clean = job(8, **EVERYTHING).run(slice(0, 9), "onepass")
    found, other = job(size, **EVERYTHING).run(slice(0, 9), "onepass")
    for metric in METRICS:
        np.testing.assert_allclose(found[metric], expected[metric], atol=1e-5)
    np.testing.assert_allclose(other["clean_logprob"], clean["clean_logprob"], atol=1e-5)


def test_the_same_seed_gives_byte_equal_effects() -> None:
    first, second = (job(**EVERYTHING).run(slice(0, 9), "onepass")[0] for _ in range(2))
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_another_seed_changes_the_random_arm_only() -> None:
    sweep = job()
    other = Sweep(sweep.model, sweep.prompts, sweep.grid, seed=6)
    (first, _), (second, _) = (one.run(slice(0, 9), "onepass") for one in (sweep, other))
    differ = first["delta_logprob"] != second["delta_logprob"]
    assert differ[(first["arm"] == "random") & (first["rate"] == 0.55)].mean() > 0.9
    assert not differ[first["arm"] == "top"].any()


def test_prompts_of_other_lengths_are_batched_apart() -> None:
    mixed = [*tiny_prompts(3, 5), *tiny_prompts(4, 7), *tiny_prompts(2, 5)]
    groups = list(equal_length_groups(mixed, 3))
    assert [len(group) for group in groups] == [3, 2, 3, 1]
    assert all(len({len(prompt.context_ids) for prompt in group}) == 1 for group in groups)


def test_donors_are_of_another_document_and_do_not_depend_on_batches() -> None:
    documents = [0, 0, 1, 1, 2, 2, 2]
    donors = donor_numbers(documents, seed=3)
    assert all(documents[donor] != documents[i] for i, donor in enumerate(donors))
    assert donors == donor_numbers(documents, seed=3)
    assert all(donor != i for i, donor in enumerate(donor_numbers([0] * 9, seed=0)))


def test_auto_uses_one_pass_where_it_is_right_and_hooks_where_not(monkeypatch: pytest.MonkeyPatch) -> None:
    from ripplestats.sweeps import tree_attention

    sweep = job()
    assert sweep.checked("auto")[0] == "onepass"
    right = tree_attention._weights
    monkeypatch.setattr(tree_attention, "_weights", lambda scores, mask, dtype: right(scores * 1.2, mask, dtype))
    engine, check = sweep.checked("auto")
    assert (engine, check.passed) == ("hooks", False)
    with pytest.raises(EngineError, match="allowed: auto, hooks"):
        sweep.checked("onepass")
    with pytest.raises(InputError, match="--engine"):
        sweep.checked("fast")


def test_a_context_longer_than_the_model_is_refused() -> None:
    sweep = job()
    long = Sweep(sweep.model, tiny_prompts(8, 65), sweep.grid)
    with pytest.raises(InputError, match="64 tokens"):
        long.checked("auto")


@pytest.mark.parametrize("engine", ["onepass", "hooks"])
def test_logits_that_are_not_finite_are_an_error(engine: str) -> None:
    network = tiny_network("gpt2")
    network.transformer.ln_f.weight.data[0] = float("nan")
    model = Model(network, tiny_tokenizer(), find_layout(network), "broken", "broken", "", "")
    sweep = Sweep(model, tiny_prompts(8, 5), make_grid(3, model.n_neurons, rates="10"))
    with pytest.raises(NonFiniteError, match="not finite"):
        sweep.run(slice(0, 8), engine)


@pytest.mark.parametrize("engine", ["onepass", "hooks"])
def test_activations_that_are_not_finite_are_an_error(engine: str) -> None:
    network = tiny_network("gpt2")
    network.transformer.h[1].mlp.c_fc.bias.data[3] = float("inf")
    model = Model(network, tiny_tokenizer(), find_layout(network), "broken", "broken", "", "")
    sweep = Sweep(model, tiny_prompts(8, 5), make_grid(3, model.n_neurons, rates="10"))
    with pytest.raises(NonFiniteError, match="activations are not finite"):
        sweep.run(slice(0, 8), engine)


def test_a_wrong_engine_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from ripplestats.sweeps import tree_attention

    right = tree_attention._weights
    monkeypatch.setattr(tree_attention, "_weights", lambda scores, mask, dtype: right(scores * 1.2, mask, dtype))
    engine, check = job().checked("auto")
    assert engine == "hooks"
    assert "differ by" in check.reason


def test_the_network_is_left_as_it_was() -> None:
    sweep = job()
    before = sweep.model.network.config._attn_implementation
    ids = torch.tensor([[3, 4, 5]])
    clean = sweep.model.network(input_ids=ids).logits
    sweep.run(slice(0, 8), "onepass")
    assert sweep.model.network.config._attn_implementation == before
    assert torch.equal(sweep.model.network(input_ids=ids).logits, clean)
