from dataclasses import replace

import pytest

from benchmarks.sweep.models import BenchmarkModel, cut_prompts
from benchmarks.sweep.plan import FULL, block_doses, make_cases
from tests.tiny import save_tiny_model


def test_prompts_are_cut_from_all_of_the_text_with_the_token_that_follows():
    prompts, targets = cut_prompts(tuple(range(100)), 3, 10)
    assert prompts[0] == tuple(range(10))
    assert targets == (10, 54, 99)
    assert prompts[1][-1] == 53
    with pytest.raises(ValueError, match="10 tokens of text are not enough for a context of 10"):
        cut_prompts(tuple(range(10)), 1, 10)


def test_cells_of_engines_that_run_one_at_a_time_are_among_those_run_together(tmp_path):
    model = BenchmarkModel("tiny", "tiny", save_tiny_model(tmp_path / "tiny"))
    cases = make_cases(replace(FULL, prompts=2), model, 5120, tuple(range(2000)))
    assert [case.context for case in cases] == [8, 32, 128, 512]
    for case in cases:
        assert set(case.doses) <= set(case.doses_together) <= set(block_doses(5120))
        assert case.layers == (0, 1, 2)
    assert len(cases[0].doses_together) == len(block_doses(5120)) == 31
    assert len(cases[-1].doses_together) == 4
