"""The precision audit: drift against a wider number format, and when it matters."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ripplestats.errors import InputError
from ripplestats.model.load import load_model, reference_model
from ripplestats.sweeps.drift import drift_rows, drift_verdict
from ripplestats.sweeps.precision import LAYERS, PROMPTS, audit_format, audit_precision
from ripplestats.sweeps.tf32 import tf32_products
from tests.sweeps.narrow import narrow_job
from tests.tiny import save_tiny_model, tiny_network

METRICS = ("delta_logit", "delta_logprob", "kl", "top1_changed")


def effects(n_prompts: int = 8, seed: int = 0) -> dict[str, np.ndarray]:
    """Two arms, three rates, two cells a prompt; effects of mean 1 and standard deviation 0.5."""
    rng = np.random.default_rng(seed)
    shape = (n_prompts, 2, 2, 3)
    prompt, arm, _, rate = (place.ravel() for place in np.indices(shape))
    return {
        "prompt_id": prompt,
        "arm": np.array(["top", "random"])[arm],
        "rate": np.array([0.01, 0.1, 0.9])[rate],
        "delta_logprob": rng.normal(1, 0.5, prompt.size),
        "top1_changed": rng.random(prompt.size) < 0.5,
    }


def test_drift_is_summarised_by_arm_outcome_and_rate() -> None:
    reference = effects()
    here = (reference["arm"] == "random") & (reference["rate"] == 0.1)
    low = {**reference, "delta_logprob": reference["delta_logprob"].copy()}
    low["delta_logprob"][here] += np.arange(here.sum()) / 10
    rows = drift_rows(low, reference, ("delta_logprob", "top1_changed"))
    assert len(rows) == 2 * 2 * 3
    (found,) = (row for row in rows if (row.arm, row.metric, row.rate) == ("random", "delta_logprob", 0.1))
    drift = np.arange(16) / 10
    by_prompt = drift.reshape(8, 2).mean(axis=1)
    assert found.n_cells == 16
    assert found.drift_mean == pytest.approx(drift.mean())
    assert found.drift_sd == pytest.approx(drift.std(ddof=1))
    assert found.drift_error == pytest.approx(by_prompt.std(ddof=1) / 8**0.5)
    assert found.drift_largest == pytest.approx(1.5)
    assert found.effect_mean == pytest.approx(reference["delta_logprob"][here].mean())
    assert all(row.drift_largest == 0 for row in rows if row is not found)


@pytest.mark.parametrize(
    ("bias", "noise", "biased", "noisy"),
    [(0.03, 0.001, False, False), (0.1, 0.001, True, False), (-0.1, 0.001, True, False), (0.0, 0.5, False, True)],
)
def test_a_bias_or_a_spread_above_its_limit_matters(bias: float, noise: float, biased: bool, noisy: bool) -> None:
    reference = effects(60)
    drift = bias + noise * np.random.default_rng(2).standard_normal(len(reference["rate"]))
    low = {**reference, "delta_logprob": reference["delta_logprob"] + drift}
    found = drift_verdict(low, reference, ("delta_logprob",))
    assert (found.arm, found.metric) == ("top", "delta_logprob")
    assert (found.biased, found.noisy) == (biased, noisy)
    plateau = reference["delta_logprob"][(reference["arm"] == "top") & (reference["rate"] >= 0.1)].mean()
    assert found.plateau == pytest.approx(plateau)


def test_a_mean_drift_that_is_only_noise_is_not_called_a_bias() -> None:
    reference = effects()
    rng = np.random.default_rng(3)
    low = {
        **reference,
        "delta_logprob": reference["delta_logprob"] + 0.2 * rng.standard_normal(8)[reference["prompt_id"]],
    }
    found = drift_verdict(low, reference, ("delta_logprob",))
    assert abs(found.bias) > 0.05 * found.plateau
    assert not found.biased


@pytest.mark.parametrize("engine", ["onepass", "hooks"])
def test_bfloat16_is_held_against_float32_on_a_sample(engine: str) -> None:
    job = narrow_job(prompts=12)
    audit = audit_precision(job, engine, job.reference())
    assert (audit.arithmetic, audit.reference) == ("bfloat16", "float32")
    assert len(set(audit.prompts)) == PROMPTS
    assert audit.layers == (1, 2)
    assert len(audit.rows) == 2 * 4 * 4
    drift = {row.drift_largest for row in audit.rows if row.metric == "delta_logit"}
    assert 1e-4 < max(drift) < 2.0
    assert all(row.drift_sd < row.effect_sd for row in audit.rows if row.metric == "delta_logit" and row.rate == 0.9)


def test_the_sample_depends_on_the_seed_alone() -> None:
    job = narrow_job(prompts=20)
    one, two, other = (
        audit_precision(one, "onepass", one.reference())
        for one in (job, replace(job, batch_size=1), replace(job, seed=9))
    )
    assert one == two
    assert one.prompts != other.prompts


def test_wide_models_are_sampled_at_a_few_blocks_and_block_0_alone_is_audited_where_it_is_alone() -> None:
    from ripplestats.sweeps.precision import _spaced

    assert _spaced(list(range(1, 30)), LAYERS) == (1, 10, 20, 29)
    job = narrow_job(layers="0")
    assert audit_precision(job, "onepass", job.reference()).layers == (0,)


def test_float32_against_float64_hardly_drifts() -> None:
    job = narrow_job(dtype="float32")
    assert audit_format(job, "float64") == "float64"
    audit = audit_precision(job, "onepass", job.reference("float64"))
    assert audit.reference == "float64"
    assert 0 < max(row.drift_largest for row in audit.rows if row.metric == "delta_logprob") < 1e-5
    assert audit.warning == ""


def test_the_entry_of_the_manifest_is_plain_json() -> None:
    job = narrow_job(metrics=("logit", "top1"))
    entry = audit_precision(job, "onepass", job.reference()).entry()
    again = json.loads(json.dumps(entry, allow_nan=False))
    assert again == entry
    assert set(again["drift"]["metric"]) == {"delta_logit", "top1_changed"}
    assert again["verdict"]["metric"] == "delta_logit"


def test_only_narrow_sweeps_are_audited_unless_asked() -> None:
    narrow, wide = narrow_job(), narrow_job(dtype="float32")
    assert audit_format(narrow, "auto") == "float32"
    assert audit_format(narrow, "none") is None
    assert audit_format(wide, "auto") is None
    assert audit_format(replace(wide, tf32=True), "auto") == "float32"
    for asked in ("float32", "half"):
        with pytest.raises(InputError, match=f"--audit-dtype .?{asked}"):
            audit_format(wide, asked)


def test_tf32_is_as_asked_for_inside_and_as_it_was_outside() -> None:
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    with tf32_products(True):
        assert matmul.allow_tf32
        with tf32_products(False):
            assert not matmul.allow_tf32
        assert matmul.allow_tf32
    assert matmul.allow_tf32 == before


def test_tf32_can_be_set_where_the_process_uses_the_newer_switch() -> None:
    matmul = torch.backends.cuda.matmul
    if not hasattr(matmul, "fp32_precision"):
        pytest.skip("this PyTorch has one switch only")
    before = matmul.fp32_precision
    try:
        matmul.fp32_precision = "tf32"
        with tf32_products(False):
            assert matmul.fp32_precision == "ieee"
        assert matmul.fp32_precision == "tf32"
    finally:
        matmul.fp32_precision = before


def test_the_reference_of_a_tf32_sweep_is_the_same_model_without_it() -> None:
    job = replace(narrow_job(dtype="float32"), tf32=True)
    reference = job.reference()
    assert job.narrow
    assert job.arithmetic == "float32 with TF32 products"
    assert reference.model is job.model
    assert not reference.tf32


def test_a_loaded_model_is_read_again_and_a_made_one_copied(tmp_path: Path) -> None:
    loaded = load_model(str(save_tiny_model(tmp_path / "model")), device="cpu", dtype="bfloat16")
    original = tiny_network("gpt2").get_input_embeddings().weight
    again = reference_model(loaded)
    assert (again.dtype, loaded.dtype) == ("float32", "bfloat16")
    assert torch.equal(again.network.get_input_embeddings().weight, original)
    # A model without a folder has only its rounded weights.
    copied = reference_model(replace(loaded, folder=None), "float64")
    assert copied.dtype == "float64"
    assert loaded.dtype == "bfloat16"
    rounded = original.to(torch.bfloat16).double()
    assert torch.equal(copied.network.get_input_embeddings().weight, rounded)
    assert again.n_neurons == copied.n_neurons == loaded.n_neurons
