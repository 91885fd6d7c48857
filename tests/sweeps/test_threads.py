"""Groups of prompts side by side: the same results in the same order, and hooks of one worker unseen by another."""

import threading

import numpy as np
import pytest
import torch

from ripplestats.model.load import Model
from ripplestats.sweeps.grid import make_grid
from ripplestats.sweeps.runner import Sweep
from ripplestats.sweeps.threads import sharing_weights, side_by_side
from tests.conftest import tiny_model, tiny_prompts


@pytest.fixture
def two_threads() -> object:
    """PyTorch with two threads, whatever the machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def job() -> Sweep:
    model = tiny_model("llama")
    grid = make_grid(model.n_layers, model.n_neurons, rates="1,10,60", arms=["top", "random"], sites=["pre", "post"])
    return Sweep(model, tiny_prompts(8, 7), grid, seed=3)


@pytest.mark.parametrize("engine", ["onepass", "hooks"])
def test_two_threads_give_what_one_gives(two_threads: object, engine: str) -> None:
    found, clean = job().run(slice(0, 8), engine)
    torch.set_num_threads(1)
    expected, expected_clean = job().run(slice(0, 8), engine)
    for metric in ("delta_logit", "delta_logprob", "kl"):
        np.testing.assert_allclose(found[metric], expected[metric], atol=1e-5)
    np.testing.assert_array_equal(found["prompt_id"], expected["prompt_id"])
    np.testing.assert_allclose(clean["clean_logprob"], expected_clean["clean_logprob"], atol=1e-5)


def test_groups_run_at_once_on_modules_of_their_own_and_come_back_in_order(two_threads: object) -> None:
    model, meeting = tiny_model("gpt2"), threading.Barrier(2, timeout=20)
    used: set[int] = set()

    def work(mine: Model, number: int) -> int:
        used.add(id(mine.network))
        assert torch.get_num_threads() == 1
        if number < 2:
            meeting.wait()  # passes only if two groups are at work
        return number * number

    assert list(side_by_side(model, work, range(5))) == [0, 1, 4, 9, 16]
    assert len(used) == 2
    assert torch.get_num_threads() == 2


def test_modules_that_share_weights_share_no_hooks() -> None:
    model = tiny_model("gpt2")
    twin = sharing_weights(model)
    own, other = dict(model.network.named_parameters()), dict(twin.network.named_parameters())
    assert all(own[name].data_ptr() == other[name].data_ptr() for name in own)
    seen: list[int] = []
    handle = twin.layout.pre[0].register_forward_hook(lambda *_: seen.append(1))
    model.network(input_ids=torch.tensor([[3, 4]]))
    assert not seen
    handle.remove()


def test_what_one_group_raises_is_raised(two_threads: object) -> None:
    def work(_: Model, number: int) -> int:
        if number == 2:
            raise ValueError("group 2")
        return number

    with pytest.raises(ValueError, match="group 2"):
        list(side_by_side(tiny_model("gpt2"), work, range(6)))
    assert torch.get_num_threads() == 2
