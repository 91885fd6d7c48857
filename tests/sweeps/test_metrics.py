"""Sweeps that record some outcomes only."""

import numpy as np
import pytest

from ripplestats.errors import InputError
from ripplestats.sweeps import onepass
from ripplestats.sweeps.grid import parse_metrics
from ripplestats.sweeps.runner import Sweep
from tests.sweeps.narrow import narrow_job


def recorded(sweep: Sweep, engine: str = "onepass") -> dict[str, np.ndarray]:
    effects, clean = sweep.run(slice(0, 9), engine)
    assert np.isfinite(clean["clean_logprob"]).all()
    return effects


@pytest.mark.parametrize("engine", ["onepass", "hooks"])
@pytest.mark.parametrize("family", ["gpt2", "gemma2", "granite", "opt"])
def test_the_logit_alone_is_the_same_logit(family: str, engine: str) -> None:
    whole = recorded(narrow_job(family, "float32"), engine)
    alone = recorded(narrow_job(family, "float32", metrics=("logit",)), engine)
    assert set(whole) - set(alone) == {"delta_logprob", "kl", "top1_changed"}
    np.testing.assert_allclose(alone["delta_logit"], whole["delta_logit"], atol=2e-5)
    assert np.abs(whole["delta_logit"]).max() > 0.1


def test_the_logit_alone_leaves_out_the_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the vocabulary was computed")

    monkeypatch.setattr(onepass, "compare_residuals", refuse)
    recorded(narrow_job(dtype="float32", metrics=("logit",)))
    with pytest.raises(AssertionError, match="vocabulary"):
        recorded(narrow_job(dtype="float32", metrics=("logit", "top1")))


def test_the_self_check_looks_at_what_is_computed() -> None:
    job = narrow_job(dtype="float32", metrics=("logit",))
    engine, check = job.checked("auto")
    assert engine == "onepass"
    assert check.n_cells > 0


def test_the_targets_logit_is_not_rounded_to_the_format_of_the_weights() -> None:
    found = recorded(narrow_job(metrics=("logit",)))["delta_logit"]
    # Differences of two bfloat16 logits between 1 and 16 are multiples of 2 ** -7.
    assert (found * 2**7 % 1 != 0).mean() > 0.5


def test_names_are_put_in_order_and_wrong_ones_refused() -> None:
    assert parse_metrics(["top1", "logit"]) == ("logit", "top1")
    with pytest.raises(InputError, match="--metrics 'loss' is not known; allowed: logit, logprob, kl, top1"):
        parse_metrics(["loss"])
    with pytest.raises(InputError, match="--metrics kl top1 needs logit or logprob"):
        parse_metrics(["top1", "kl"])
