"""Where memory does not suffice a batch is halved, and nothing in the results tells."""

import numpy as np
import pytest
import torch

from ripplestats.sweeps import runner
from ripplestats.sweeps.grid import make_grid
from ripplestats.sweeps.memory import BATCH_ON_CPU, in_halves, usual_batch_size
from ripplestats.sweeps.runner import Sweep
from tests.conftest import tiny_model, tiny_prompts


def job() -> Sweep:
    model = tiny_model("llama")
    return Sweep(model, tiny_prompts(8, 7), make_grid(model.n_layers, model.n_neurons, rates="1,10,60"))


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("not enough memory: 9 bytes")]
)
def test_a_batch_that_does_not_fit_is_halved_until_it_does(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    expected, clean = job().run(slice(0, 8), "onepass")
    right = runner.run_one_pass

    def narrow(model: object, batch: object, *rest: object, **options: object) -> object:
        if len(batch.prompts) > 2:
            raise error
        return right(model, batch, *rest, **options)

    monkeypatch.setattr(runner, "run_one_pass", narrow)
    sizes: list[int] = []
    found, found_clean = job().run(slice(0, 8), "onepass", backed_off=sizes.append)
    assert sizes == [4, 2, 2]
    for name, column in expected.items():
        if column.dtype.kind == "f":
            np.testing.assert_allclose(found[name], column, atol=1e-5)
    np.testing.assert_array_equal(found["prompt_id"], expected["prompt_id"])
    np.testing.assert_allclose(found_clean["clean_logprob"], clean["clean_logprob"], atol=1e-5)


def test_other_errors_and_single_prompts_are_not_tried_again() -> None:
    def fails(error: Exception) -> object:
        def work(_: object) -> tuple:
            raise error

        return work

    sizes: list[int] = []
    with pytest.raises(RuntimeError, match="shape"):
        in_halves(fails(RuntimeError("shape")), tiny_prompts(8, 5), sizes.append)
    with pytest.raises(MemoryError):
        in_halves(fails(MemoryError()), tiny_prompts(1, 5), sizes.append)
    assert sizes == []


def test_the_usual_batch_on_the_cpu() -> None:
    one = job()
    assert usual_batch_size(one.model, one.grid) == BATCH_ON_CPU
