"""The peers that need no further package compute what ours computes."""

from pathlib import Path

import pytest
import torch

from benchmarks.sweep.engines import peer_class
from benchmarks.sweep.engines.cells import Source, replaced
from benchmarks.sweep.job import Case
from benchmarks.sweep.timing import cell_name, time_cells
from benchmarks.sweep.whole_sweep import load, time_sweeps
from tests.tiny import save_tiny_model

CASE = Case(9, ((5, 9, 30, 77, 120, 200, 31, 44, 8),), (17,), (0, 1, 2), (6, 32), (6, 32), 0.0)
RATES = "10,50"


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def folder(request, tmp_path_factory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp(request.param), request.param)


@pytest.mark.parametrize("name", ["note", "batched_hooks"])
def test_a_peer_finds_the_outcomes_of_our_sweep(folder, name):
    model = load(str(folder), "cpu", torch.float32)
    doses = (model.n_neurons // 10, model.n_neurons // 2)
    case = Case(**{**vars(CASE), "doses": doses, "doses_together": doses})
    ours = time_sweeps(model, case, RATES, batch_size=1)
    engine = peer_class(name)(Source(folder, "cpu", torch.float32))
    theirs = time_cells(engine, case, "cpu")
    assert theirs.outcomes.keys() == ours.outcomes.keys()
    assert theirs.outcomes == pytest.approx(ours.outcomes, abs=2e-5)
    assert max(map(abs, theirs.outcomes.values())) > 0.05, "the cells do nothing, so that agreement says nothing"


def test_batched_hooks_do_not_run_the_blocks_below_again(folder):
    engine = peer_class("batched_hooks")(Source(folder, "cpu", torch.float32))
    ids = torch.tensor([CASE.prompts[0]])
    engine.clean(ids)
    ran: list[int] = []
    for number, block in enumerate(engine.blocks):
        block.register_forward_hook(lambda *_, number=number: ran.append(number))
    engine.cells(ids, 1, (6, 32))
    assert ran == [1, 2]


def test_the_largest_values_of_each_row_become_its_lower_median():
    values = torch.tensor([[4.0, 1.0, 3.0, 2.0], [0.0, -1.0, 5.0, 6.0]])
    assert replaced(values, 2).tolist() == [[2.0, 1.0, 2.0, 2.0], [0.0, -1.0, 0.0, 0.0]]
    assert replaced(values, 0).tolist() == values.tolist()


def test_cells_have_one_name_everywhere():
    assert cell_name(3, 40) == "3:40"
