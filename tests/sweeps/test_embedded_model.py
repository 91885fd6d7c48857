"""The engine on the real embedded model, in every cell of a coarse grid."""

import numpy as np
import pytest

from ripplestats.model.load import Model
from ripplestats.prompts.sampling import load_prompts
from ripplestats.sweeps.grid import make_grid
from ripplestats.sweeps.runner import Sweep

pytestmark = pytest.mark.embedded_model


def test_one_pass_equals_the_hooked_forward(embedded_model: Model) -> None:
    prompts = load_prompts("passages", n=8, context=16, tokenizer=embedded_model.tokenizer)[:2]
    grid = make_grid(30, 1536, rates="0.2,2,10,90", arms=["top", "random"], layers="0,10,20,29")
    sweep = Sweep(embedded_model, prompts, grid)
    one, clean = sweep.run(slice(0, 2), "onepass")
    plain, expected = sweep.run(slice(0, 2), "hooks")
    for metric in ("delta_logit", "delta_logprob", "kl"):
        np.testing.assert_allclose(one[metric], plain[metric], atol=1e-4)
    np.testing.assert_allclose(clean["clean_logprob"], expected["clean_logprob"], atol=1e-4)


def test_cloze_prompts_are_guessed_by_the_model(embedded_model: Model) -> None:
    prompts = load_prompts("cloze", n=16, tokenizer=embedded_model.tokenizer)
    grid = make_grid(30, 1536, rates="0", arms=["top"], layers="29")
    _, clean = Sweep(embedded_model, prompts, grid).run(slice(0, 16), "onepass")
    assert np.median(clean["clean_rank"]) == 1
