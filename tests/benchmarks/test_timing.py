import pytest
import torch

from benchmarks.sweep.engines.cells import CellEngine
from benchmarks.sweep.job import Case
from benchmarks.sweep.timing import CellTimes, time_cells, whole_sweep_seconds


class Counting(CellEngine):
    """Puts out logits that name the cell, and remembers what it was asked."""

    def __init__(self, together: bool) -> None:
        self.together = together
        self.asked: list[tuple[int, tuple[int, ...]]] = []

    def clean(self, ids):
        return torch.zeros(4)

    def cells(self, ids, layer, doses):
        self.asked.append((layer, tuple(doses)))
        return torch.tensor([[float(layer), float(k), 0.0, 0.0] for k in doses])


CASE = Case(2, ((1, 2),), (1,), (0, 5), (3,), (3, 9), 0.0)


@pytest.mark.parametrize(("together", "doses"), [(False, (3,)), (True, (3, 9))])
def test_each_engine_gets_the_sample_that_suits_it(together, doses):
    engine = Counting(together)
    times = time_cells(engine, CASE, "cpu")
    assert engine.asked == [(5, (3,)), (0, doses), (5, doses)]  # the first warms up
    assert times.cells_timed == 2 * len(doses)
    assert times.rounds == 1


def test_outcomes_are_clean_less_replaced_log_probabilities():
    outcomes = time_cells(Counting(True), CASE, "cpu").outcomes
    clean = torch.zeros(4).log_softmax(-1)[1]
    replaced = torch.tensor([5.0, 9.0, 0.0, 0.0]).log_softmax(-1)[1]
    assert outcomes["5:9"] == pytest.approx(float(clean - replaced), abs=1e-6)
    assert set(outcomes) == {"0:3", "0:9", "5:3", "5:9"}


def test_blocks_that_were_not_timed_cost_what_a_straight_line_says():
    times = CellTimes(1.0, {0: 0.4, 4: 0.0}, 1, {}, 2)
    # 0.4 + 0.3 + 0.2 + 0.1 + 0 = 1 second a dose
    assert whole_sweep_seconds(times, n_layers=5, n_doses=10) == pytest.approx(1 + 10 * 1.0)


def test_seconds_are_those_of_one_cell_whether_or_not_cells_run_together(monkeypatch):
    now = [0.0]

    class Slow(Counting):
        def cells(self, ids, layer, doses):
            now[0] += 2.0 * len(doses)
            return super().cells(ids, layer, doses)

    monkeypatch.setattr("benchmarks.sweep.timing.clock", lambda _device: now[0])
    for together in (False, True):
        assert time_cells(Slow(together), CASE, "cpu").seconds_per_cell == {0: 2.0, 5: 2.0}
