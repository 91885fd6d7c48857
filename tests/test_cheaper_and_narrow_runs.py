"""Runs in less than float32, of some outcomes and of some blocks, from the command line to the last table."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ripplestats as rs
from ripplestats.errors import InputError
from ripplestats.hypotheses.claims import FIRST_BLOCK_TOP1
from ripplestats.run import main
from ripplestats.store.run_directory import Run
from tests.conftest import tiny_model, tiny_prompts
from tests.tiny import tiny_text

pytestmark = pytest.mark.long

Command = Callable[..., Run]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, tables_only: None) -> Command:
    """Run the command line with further flags and open the run."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "texts.txt").write_text("\n\n".join(tiny_text(30, 20)))

    def run(name: str, *flags: str) -> Run:
        usual = [
            "--dataset", str(folder / "texts.txt"), "--model", str(tiny_folder), "--prompts", "12", "--context", "6",
            "--rates", "2,5,10,20,40,60,90", "--bootstrap", "100", "--device", "cpu", "--out", str(folder / name),
        ]  # fmt: skip
        assert main([*usual, *flags]) == 0
        return rs.open_run(folder / name)

    return run


@pytest.fixture(scope="module")
def logits(command: Command) -> Run:
    return command("logits", "--metrics", "logit")


@pytest.fixture(scope="module")
def narrow(command: Command) -> Run:
    return command("narrow", "--dtype", "bfloat16", "--layers", "0,2")


def table(run: Run, name: str) -> str:
    return (run.path / "tables" / f"{name}.tex").read_text(encoding="utf-8")


def summary(run: Run) -> str:
    return (run.path / "summary.txt").read_text(encoding="utf-8")


def test_outcomes_that_were_not_asked_for_are_null(logits: Run) -> None:
    effects = logits.effects()
    assert effects["delta_logit"].notna().all()
    assert effects[["delta_logprob", "kl", "top1_changed"]].isna().all().all()
    assert logits.metrics == ("delta_logit",)
    assert logits.manifest["definition"]["metrics"] == ["logit"]
    assert np.isfinite(logits.prompts()["clean_logprob"]).all()


def test_estimates_are_about_the_logit_where_the_log_probability_was_not_recorded(logits: Run) -> None:
    estimates = logits.estimates()
    assert set(estimates["metric"]) == {"delta_logit"}
    assert {"threshold", "plateau", "core_fraction", "population_threshold", "mixed_intercept", "design_effect"} <= set(
        estimates["quantity"]
    )
    specifications = pd.read_csv(logits.path / "specifications.csv")
    assert specifications.loc[specifications["main"], "metric"].tolist() == ["delta_logit"] * 2


def test_tables_and_summary_say_that_they_are_about_logits(logits: Run) -> None:
    assert "mean drop in logit." in table(logits, "thresholds")
    assert "plateau (logits)" in table(logits, "core_fraction")
    assert "drop in logit (logits)" in table(logits, "mixed_model")
    assert "margin of 0.05 is one of logits" in table(logits, "claims")
    assert "drop in logit of the target in logits" in summary(logits)
    assert "nats" not in summary(logits)
    assert not any("nats" in table(logits, name) for name in ("thresholds", "core_fraction", "mixed_model", "claims"))
    assert not (logits.path / "tables" / "precision.tex").exists()


def test_claims_are_in_logits_and_the_loss_of_the_first_token_is_undefined_with_a_reason(logits: Run) -> None:
    claims = pd.read_csv(logits.path / "claims.csv")
    nulls = claims.loc[claims["claim"] == "1 insensitivity", "null"].unique()
    assert nulls.tolist() == ["the effects at 10 % and 90 % differ by 0.05 logits or more"]
    (lost,) = claims[claims["claim"] == FIRST_BLOCK_TOP1].itertuples()
    assert lost.decision == "undecided"
    assert np.isnan([lost.estimate, lost.p_value, lost.conf_low]).all()
    assert lost.null.endswith("(undefined: whether the first token changes was not recorded)")
    said = " ".join(summary(logits).split())
    assert "top-1 lost: undecided (whether the first token changes was not recorded)" in said
    assert "could not be tested on what was recorded" in table(logits, "claims")


def test_a_run_in_bfloat16_uses_one_pass_and_says_how_precise_it_is(narrow: Run) -> None:
    manifest = narrow.manifest
    assert manifest["engine"]["used"] == "onepass"
    assert manifest["engine"]["self_check"]["rounding"]["factor"] == 8.0
    audit = manifest["precision"]
    assert (audit["arithmetic"], audit["reference"], audit["layers"]) == ("bfloat16", "float32", [2])
    drift = pd.DataFrame(audit["drift"])
    assert len(drift) == 2 * 4 * 7
    assert (drift["drift_largest"] > 0).any()
    assert "bfloat16 differs from float32" in summary(narrow) or "Warning: bfloat16 has" in summary(narrow)
    shown = table(narrow, "precision")
    assert "Drift: bfloat16 $-$ float32, over 8 cells" in shown
    assert len([line for line in shown.splitlines() if line.endswith(r"\\")]) == 1 + 4 * 7


def test_a_run_of_some_blocks_says_which(narrow: Run) -> None:
    assert "over block 2" in summary(narrow)
    for text in (summary(narrow), *(table(narrow, name) for name in ("thresholds", "claims", "mixed_model"))):
        assert "all blocks but the first" not in text
    assert "Block 2 for every arm" in table(narrow, "thresholds")
    assert "Of blocks only 0, 2 were run." in table(narrow, "specification_curve")


def test_block_0_alone_is_analysed(command: Command) -> None:
    run = command("first", "--layers", "0", "--metrics", "logprob")
    assert set(run.estimates()["layer"]) == {"0"}
    assert "Only the first block was swept. Its threshold: " in summary(run)
    assert "all blocks but the first" not in table(run, "thresholds") + table(run, "moderators")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--metrics", "kl"], "--metrics kl needs logit or logprob"),
        (["--metrics", "loss"], "--metrics 'loss' is not known; allowed: logit, logprob, kl, top1"),
        (["--audit-dtype", "int8"], "--audit-dtype 'int8' is not known; allowed: auto, none, float32, float64"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(flags: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(flags) == 2
    assert said in capsys.readouterr().err


def test_tf32_on_a_processor_is_said_to_change_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    run = rs.sweep(
        tiny_model("gpt2"), tiny_prompts(8, 5), rates="10", layers="1", tf32=True, out=tmp_path / "run", say=said.append
    )
    assert "note: --tf32 changes nothing on cpu; matrix products stay in float32" in said
    assert run.manifest["definition"]["tf32"] is False
    assert "precision" not in run.manifest


def test_another_choice_of_outcomes_is_another_run(tmp_path: Path) -> None:
    usual = {"rates": "10", "layers": "1", "out": tmp_path / "run"}
    rs.sweep(tiny_model("gpt2"), tiny_prompts(8, 5), metrics=("logit",), **usual)
    with pytest.raises(InputError, match="another metrics"):
        rs.sweep(tiny_model("gpt2"), tiny_prompts(8, 5), metrics=("logit", "kl"), **usual)


def test_float32_can_be_audited_in_float64(tmp_path: Path) -> None:
    run = rs.sweep(
        tiny_model("gpt2"), tiny_prompts(8, 5), rates="10,50", layers="1", audit_dtype="float64", out=tmp_path / "run"
    )
    audit = json.loads((run.path / "manifest.json").read_text())["precision"]
    assert audit["reference"] == "float64"
    assert audit["warning"] == ""
