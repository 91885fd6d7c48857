"""The self-check in less than float32: a right engine passes however its rounding falls, a wrong one never does."""

import pytest
import torch

from ripplestats.sweeps import onepass, selfcheck, tree_attention
from ripplestats.sweeps.selfcheck import ROUNDING_FACTOR
from tests.sweeps.narrow import narrow_job


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2"])
def test_a_right_engine_is_used_in_less_than_float32(family: str, dtype: str) -> None:
    engine, check = narrow_job(family, dtype).checked("auto")
    assert engine == "onepass", check.reason
    assert check.dtype == "float32"
    assert check.largest_difference <= check.tolerance == 1e-4
    # The engines differ in this arithmetic by more than float32's tolerance: it could not have told them apart.
    assert check.rounding.one_pass > check.tolerance
    assert check.rounding.one_pass <= ROUNDING_FACTOR * check.rounding.hooked + check.tolerance


def test_a_wrong_engine_is_found_out_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    right = tree_attention._weights
    monkeypatch.setattr(tree_attention, "_weights", lambda scores, mask, dtype: right(scores * 1.2, mask, dtype))
    engine, check = narrow_job().checked("auto")
    assert engine == "hooks"
    assert "differ by" in check.reason
    assert check.rounding is None


def test_an_engine_that_is_wrong_in_bfloat16_alone_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    right = tree_attention._weights

    def coarse(scores: torch.Tensor, mask: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor:
        return right(scores * (0.0 if dtype == torch.bfloat16 else 1.0), mask, dtype)

    monkeypatch.setattr(tree_attention, "_weights", coarse)
    engine, check = narrow_job().checked("auto")
    assert engine == "hooks"
    assert "off float32, the hooked forward in the same arithmetic only" in check.reason
    assert check.largest_difference <= check.tolerance


def test_outcomes_that_are_no_numbers_in_bfloat16_alone_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    right = tree_attention._weights

    def broken(scores: torch.Tensor, mask: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor:
        return right(scores, mask, dtype) * (float("nan") if dtype == torch.bfloat16 else 1.0)

    monkeypatch.setattr(tree_attention, "_weights", broken)
    assert narrow_job().checked("auto")[0] == "hooks"


def test_in_float32_the_second_question_is_not_asked() -> None:
    job = narrow_job(dtype="float32")
    assert not job.narrow
    assert job.checked("auto")[1].rounding is None


def test_one_pass_is_used_in_float64_and_held_to_it() -> None:
    assert narrow_job(dtype="float64").checked("auto")[0] == "onepass"
    job = narrow_job()
    engine, check = job.checked("auto", job.reference("float64"))
    assert (engine, check.dtype) == ("onepass", "float64")
    assert check.largest_difference <= check.tolerance == 1e-5


def test_neurons_that_rounding_can_swap_condemn_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each pair of neurons, nearly equal, one pass chooses the other: right but where a dose splits a pair."""
    job = narrow_job("gpt2", "float32")
    for block in job.model.blocks:
        for part in (block.mlp.c_fc.weight, block.mlp.c_fc.bias):
            part.data[..., 1::2] = part.data[..., ::2] * (1 + 1e-6)
    right = onepass.intervene

    def swapped(values: torch.Tensor, *options: object) -> torch.Tensor:
        swap = torch.ones_like(values)
        swap[..., ::2] += 3e-6
        return right(values * swap, *options)

    everything = job.checked("auto")[1]
    monkeypatch.setattr(onepass, "intervene", swapped)
    engine, check = job.checked("auto")
    assert engine == "onepass", check.reason
    assert 0 < check.n_cells == everything.n_cells < 3 * 8
    monkeypatch.setattr(selfcheck, "_NEARLY_EQUAL", 0.0)
    assert job.checked("auto")[0] == "hooks"
