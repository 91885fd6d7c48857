"""The few lines of a run say what was found, from what, and what is not known."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ripplestats.fits.run_estimates import INVERTED
from ripplestats.rendering.provenance import details, provenance
from ripplestats.report.summary import summarise
from ripplestats.report.wording import ARM_NAMES, METRIC_NAMES, interval
from ripplestats.store import schema
from tests.report.conftest import EVIL, Finished, finished
from tests.store.synthetic_run import LEVELS, synthetic_manifest


def line_of(text: str, start: str) -> str:
    (line,) = (line for line in text.splitlines() if line.startswith(start))
    return line


def row(made: Finished, quantity: str, layer: str, arm: str = "top", share: float | None = None) -> pd.Series:
    rows = made.estimates
    rows = rows[(rows["quantity"] == quantity) & (rows["layer"] == layer) & (rows["arm"] == arm)]
    rows = rows[(rows["metric"] == "delta_logprob") & (rows["method"] == INVERTED)]
    return rows[rows["share"] == share].iloc[0] if share else rows.iloc[0]


@pytest.fixture(scope="module")
def text(synthetic: Finished) -> str:
    return summarise(synthetic.run, synthetic.estimates, synthetic.claims)


def test_model_dataset_prompts_documents_and_level_are_named(text: str) -> None:
    lines = text.splitlines()
    assert lines[0] == f"Model synthetic-model, dataset {EVIL}."
    assert lines[1].startswith("12 prompts from 12 documents, the units of inference")
    assert lines[1].endswith("95 % intervals in brackets.")


def test_the_threshold_is_that_of_the_mean_over_the_later_blocks(text: str, synthetic: Finished) -> None:
    found = row(synthetic, "threshold", "all")
    line = line_of(text, "Threshold:")
    assert f"breaks at {100 * found['estimate']:.1f} % of neurons" in line
    assert f"[{100 * found['conf_low']:.1f}, {100 * found['conf_high']:.1f}]" in line
    assert "in 2 of 2 blocks by themselves the whole interval lies below 10 %" in line


def test_a_threshold_that_ends_just_below_the_claim_s_limit_does_not_print_as_it(synthetic: Finished) -> None:
    estimates = synthetic.estimates.copy()
    chosen = (estimates["quantity"] == "threshold") & (estimates["layer"] == "all")
    estimates.loc[chosen, ["estimate", "conf_low", "conf_high"]] = (0.04, 0.03, 0.0998)
    text = summarise(synthetic.run, estimates, synthetic.claims)
    assert "breaks at 4.00 % of neurons [3.00, 9.98]" in line_of(text, "Threshold:")


def test_plateau_and_core_are_those_of_the_mean_over_the_later_blocks(text: str, synthetic: Finished) -> None:
    plateau = row(synthetic, "plateau", "all")
    numbers = [plateau[name] for name in ("estimate", "conf_low", "conf_high")]
    assert "costs {:.3f} nats [{:.3f}, {:.3f}].".format(*numbers) in line_of(text, "Plateau:")
    for share in (0.5, 0.8, 0.9):
        found = row(synthetic, "core_fraction", "all", share=share)
        (said,) = re.findall(rf"{100 * share:.0f} %[a-z ]* with ([0-9.]+) %", line_of(text, "Core:"))
        assert said == f"{100 * found['estimate']:.1f}"


def test_the_first_block_is_set_against_the_others(text: str, synthetic: Finished) -> None:
    first, others = row(synthetic, "plateau", "0"), row(synthetic, "plateau", "all")
    line = line_of(text, "First block:")
    assert f"{first['estimate']:.2f} nats" in line
    assert f"{first['estimate'] / others['estimate']:.0f} times the mean of the other blocks" in line
    assert "the most likely token changes in 100 % of prompts" in line


def test_the_control_is_the_random_arm(text: str, synthetic: Finished) -> None:
    found = row(synthetic, "plateau", "all", arm="random")
    assert f"random neurons cost {found['estimate']:.3f} nats" in line_of(text, "Control:")


def test_every_claim_has_its_decision_once(text: str, synthetic: Finished) -> None:
    claims = synthetic.claims[synthetic.claims["decision"] != ""]
    assert len(claims["claim"].unique()) >= 7
    assert ", sensitivity:" not in text
    for name, rows in claims.groupby("claim"):
        overall = rows[rows["layer"] == "all"]
        decision = (overall if len(overall) else rows)["decision"].iloc[0]
        assert line_of(text, f"  {name}:").split(":")[1].split()[0] == decision


def test_a_run_that_cannot_test_the_claims_says_nothing_of_them(tmp_path: Path) -> None:
    made = finished(tmp_path / "run", arms=("random",), layers=(1,))
    assert made.claims.empty
    assert "claim" not in summarise(made.run, made.estimates, made.claims).replace("claims.csv", "")


def test_the_engine_and_the_place_of_the_files_are_said(text: str, synthetic: Finished) -> None:
    assert "Engine onepass, 0 s of sweeping." in text
    assert f"In {synthetic.run.path}:" in text


def test_estimates_read_back_from_disk_give_the_same_words(tmp_path: Path) -> None:
    made = finished(tmp_path / "run", arms=("random",), layers=(0, 1))
    made.estimates.to_csv(made.run.path / "estimates.csv", index=False)
    assert summarise(made.run, made.run.estimates(), made.claims) == summarise(made.run, made.estimates, made.claims)


def test_what_takes_the_place_of_what_was_asked_for_is_said(tmp_path: Path) -> None:
    made = finished(tmp_path / "run", arms=("random",), layers=(1,))
    manifest = made.run.manifest
    dataset = {**manifest["dataset"], "requested": "wikitext", "fallback": "no hub", "notes": ["4 documents are short"]}
    model = {**manifest["model"], "requested": "gpt2-large", "fallback": "no hub"}
    made.run.update(dataset=dataset, model=model)
    text = summarise(made.run, made.estimates, made.claims)
    assert text.splitlines()[0] == (
        "Model synthetic-model (not gpt2-large: the hub could not be reached), "
        "dataset synthetic (not wikitext: the hub could not be reached)."
    )
    assert "Note: 4 documents are short." in text


def test_a_run_that_is_not_complete_counts_prompts_and_documents_that_are_done(tmp_path: Path) -> None:
    made = finished(tmp_path / "run", arms=("random",), layers=(1,), prompts=8)
    dataset = {**made.run.manifest["dataset"], "n_prompts": 64, "n_documents": 64}
    made.run.update(dataset=dataset, completeness={"complete": False, "prompts_done": 8, "prompts": 64})
    assert "8 prompts from 8 documents" in summarise(made.run, made.estimates, made.claims)


def test_a_run_of_the_first_block_claims_nothing_of_the_others(tmp_path: Path) -> None:
    made = finished(tmp_path / "run", arms=("random",), layers=(0,))
    text = summarise(made.run, made.estimates, made.claims)
    assert "Only the first block was swept. Its threshold: " in text
    assert "other blocks" not in text
    assert "First block: " in text


def test_an_undefined_threshold_and_plateau_say_why(tmp_path: Path) -> None:
    made = finished(tmp_path / "run", arms=("random",), rates=(0.01, 0.02), layers=(1,))
    text = summarise(made.run, made.estimates, made.claims)
    assert "undefined: 2 doses, at least 5 are needed." in line_of(text, "Threshold")
    assert "undefined: the doses do not cover 10% to 90%." in line_of(text, "Plateau")
    assert "Core:" not in text


@pytest.mark.parametrize(
    "options",
    [
        {"arms": ("random",), "prompts": 3},
        {"arms": ("random",), "prompts": 1},
        {"arms": ("random",), "rates": (0.1,)},
        {"arms": ("random",), "curve": lambda rate: -rate},
        {"arms": ("keep_top",)},
        {"arms": ("random",), "curve": np.zeros_like, "noise": 0.0},
    ],
    ids=["three documents", "one document", "one rate", "negative", "keep_top", "no effect"],
)
def test_a_number_that_is_not_known_is_never_printed_as_nan(tmp_path: Path, options: dict[str, object]) -> None:
    made = finished(tmp_path / "run", **options)
    text = summarise(made.run, made.estimates, made.claims)
    assert not re.search(r"\b(nan|inf|None)\b", text)


def test_wording_by_hand() -> None:
    manifest = synthetic_manifest("corpus", prompts=24, documents=12)
    assert provenance(manifest) == "Model synthetic-model, dataset corpus"
    assert details(manifest) == (
        "Model synthetic-model, dataset corpus; revision r1, float32; 24 prompts in 12 documents (the clusters); "
        "2026-01-02."
    )
    assert interval(0.0123, 0.456) == "[1.2, 45.6]"


def test_every_metric_and_arm_has_a_name() -> None:
    metrics = [name for name in schema.EFFECTS.names if name.startswith("delta") or name in {"kl", "top1_changed"}]
    assert sorted(METRIC_NAMES) == sorted(metrics)
    assert sorted(ARM_NAMES) == sorted(LEVELS)
