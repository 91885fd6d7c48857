"""Where memory does not suffice a batch is halved, and nothing in the results tells."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ripplestats.sweeps import memory, runner
from ripplestats.sweeps.batch import handed_over
from ripplestats.sweeps.grid import make_grid
from ripplestats.sweeps.memory import BATCH_ON_CPU, in_halves, usual_batch_size
from ripplestats.sweeps.runner import Sweep
from tests.conftest import tiny_model, tiny_prompts
from tests.tiny import tiny_network


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


def test_the_usual_batch_on_the_cpu_is_what_the_memory_beyond_the_weights_allows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one, meminfo = job(), tmp_path / "meminfo"
    monkeypatch.setattr(memory, "_MEMORY", meminfo)
    assert memory.free_main_memory() == float("inf")
    assert usual_batch_size(one.model, one.grid, 7) == BATCH_ON_CPU
    fixed, of_prompt = memory._bytes_on_cpu(one.model, one.grid, 7)
    for fitting in (1, 3, 8, 50):
        kilobytes = (fixed + fitting * of_prompt) * 2 // 1024 + 1
        meminfo.write_text(f"MemTotal: 9 kB\nMemAvailable:   {kilobytes} kB\n")
        assert usual_batch_size(one.model, one.grid, 7) == min(fitting, BATCH_ON_CPU)
    meminfo.write_text("MemAvailable: 1 kB\n")
    assert usual_batch_size(one.model, one.grid, 7) == 1
    meminfo.unlink()
    long = 10**6
    assert usual_batch_size(one.model, one.grid, long) == 1, "600 MB, however much is free"


def test_the_usual_batch_on_a_gpu_is_what_half_of_its_free_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    one = job()
    asked: list[torch.device] = []
    model = SimpleNamespace(device=torch.device("cuda:1"), network=one.model.network)

    def fitting(free: int, dtype: torch.dtype = torch.float32) -> int:
        def mem_get_info(device: torch.device) -> tuple[int, int]:
            asked.append(device)
            return free, 10 * free

        monkeypatch.setattr(torch.cuda, "mem_get_info", mem_get_info)
        model.network = model.network.to(dtype)
        return usual_batch_size(model, one.grid, 7)

    model.network = tiny_network("llama")
    rows = len(one.grid.layers) * len(one.grid.branches())
    of_prompt = rows * model.network.config.hidden_size * 4 * memory._COPIES
    assert [fitting(free * of_prompt) for free in (0, 1, 2, 21, 10**6)] == [1, 1, 1, 10, memory._MOST]
    assert fitting(20 * of_prompt, torch.bfloat16) == 20
    assert set(asked) == {torch.device("cuda:1")}
    model.device = torch.device("mps")
    assert usual_batch_size(model, one.grid, 7) == BATCH_ON_CPU


def test_only_cuda_is_given_memory_that_may_be_gone_when_it_works() -> None:
    class Recorded(torch.Tensor):
        def to(self, device: torch.device, non_blocking: bool) -> tuple[str, bool]:
            return device.type, non_blocking

    given = [handed_over(Recorded(), torch.device(name)) for name in ("cuda:0", "mps", "cpu")]
    assert given == [("cuda", True), ("mps", False), ("cpu", False)]
