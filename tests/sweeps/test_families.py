"""The one-pass engine against the hooked forward, on every family, or the family falls back by itself."""

import pytest
import torch

from ripplestats.intervention.branches import Branch
from ripplestats.sweeps.batch import make_batch
from ripplestats.sweeps.grid import make_grid
from ripplestats.sweeps.hooked import last_logits, run_hooked
from ripplestats.sweeps.onepass import run_one_pass
from ripplestats.sweeps.selfcheck import check_one_pass
from tests.conftest import tiny_model, tiny_prompts
from tests.tiny import FAMILIES

#: Families whose attention is code of their own: they must be refused by the self-check, not come out wrong.
FALL_BACK = {"gpt_neo", "gptj", "codegen", "bloom", "falcon", "falcon_alibi", "mpt"}
METRICS = ("delta_logit", "delta_logprob", "kl")
#: Both engines compute in float32, in a different order: 1e-4 nats is asked for, tiny models reach 1e-5.
TOLERANCE = 1e-4


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - FALL_BACK))
def test_one_pass_equals_the_hooked_forward_in_every_cell(family: str) -> None:
    model = tiny_model(family)
    batch = make_batch(tiny_prompts(3, 9), model.device, seed=1)
    grid = make_grid(model.n_layers, model.n_neurons, rates="3,10,50,100",
                     arms=["top", "bottom", "magnitude", "random", "keep_top"],
                     replacements=["median", "mean", "zero"], sites=["pre", "post"])  # fmt: skip
    clean, found = run_one_pass(model, batch, grid.layers, grid.branches())
    plain, expected = run_hooked(model, batch, grid.layers, grid.branches())
    for metric in METRICS:
        torch.testing.assert_close(getattr(found, metric), getattr(expected, metric), atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(clean.logits, plain.logits, atol=TOLERANCE, rtol=0)
    assert (found.top1_changed == expected.top1_changed).float().mean() > 0.99
    assert found.delta_logprob.abs().max() > 0.1, "replacing neurons must matter, or the comparison shows nothing"


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - FALL_BACK))
def test_a_no_op_branch_reproduces_the_clean_logits(family: str) -> None:
    model = tiny_model(family)
    batch = make_batch(tiny_prompts(2, 7), model.device, seed=0)
    no_op = [Branch("top", "zero", "pre", 0), Branch("keep_top", "zero", "post", model.n_neurons)]
    clean, found = run_one_pass(model, batch, range(model.n_layers), no_op)
    torch.testing.assert_close(clean.logits, last_logits(model, batch.ids), atol=TOLERANCE, rtol=0)
    assert found.delta_logprob.abs().max() < 1e-5
    assert not found.top1_changed.any()


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_self_check_passes_only_what_is_right(family: str) -> None:
    model = tiny_model(family)
    grid = make_grid(model.n_layers, model.n_neurons, rates="5,20,60", arms=["top", "random"])
    check = check_one_pass(model, make_batch(tiny_prompts(2, 8), model.device, seed=0), grid)
    assert check.passed == (family not in FALL_BACK), check.reason
    if check.passed:
        assert max(check.largest_difference, check.no_op_difference) <= check.tolerance
