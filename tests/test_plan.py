"""The planning command line: what it answers, and one line for what is wrong."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from ripplestats import plan as command_line
from ripplestats.plan import main
from ripplestats.store.run_directory import Run
from tests.store.synthetic_run import make_run


@pytest.fixture(scope="module")
def pilot(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = make_run(tmp_path_factory.mktemp("plan") / "pilot", prompts=32, per_document=2, noise=0.5)
    run.update(timings={"sweep_s": 64.0})
    return run


def answered(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """The cells of the table that a command line prints, and that it ends well."""
    code = main(arguments)
    out, err = capsys.readouterr()
    assert code == 0, err
    lines = out.split("\n\n")[1].splitlines()
    assert lines[0].split()[:3] == ["prompts", "per", "document"]
    return [line.split() for line in lines[1:]]


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What is said of a command line that is wrong: one line, exit code 2."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert not out
    lines = err.strip().splitlines()
    assert lines[-1].startswith("ripplestats: ")
    assert len(lines) <= 2  # what is planned from, then what is wrong
    return lines[-1]


def test_help_teaches_with_examples_and_is_fast() -> None:
    started = time.monotonic()
    command = [sys.executable, "-X", "importtime", "-m", "ripplestats.plan", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert time.monotonic() - started < 5  # 0.13 s on an idle machine
    for said in ("examples:", "--pilot", "--half-width", "--claim", "--prompts-per-document", "exit codes", "units:"):
        assert said in done.stdout, said
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "ripplestats.plan" in imported or "ripplestats.errors" in imported
    assert not {"numpy", "pandas", "scipy", "torch"} & imported


def test_half_width_of_each_quantity(pilot: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for quantity, width in (("threshold", "2"), ("core_fraction", "0.5"), ("plateau", "0.1")):
        rows = answered(["--pilot", str(pilot.path), "--quantity", quantity, "--half-width", width], capsys)
        assert [row[0] for row in rows] == ["1", "2", "4", "8"]
        documents = [int(row[1]) for row in rows]
        assert documents == sorted(documents, reverse=True), quantity


def test_the_half_width_is_in_percentage_points_and_costs_what_the_pilot_cost(
    pilot: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "--pilot",
        str(pilot.path),
        "--quantity",
        "plateau",
        "--half-width",
        "0.1",
        "--prompts-per-document",
        "1",
    ]
    row = answered(arguments, capsys)[0]
    documents = int(row[1])
    assert row[2] == "exact"
    assert row[4] == row[1]
    assert " ".join(row[5:]) == (
        f"{2 * documents} s" if documents < 30 else f"{2 * documents // 60} min {2 * documents % 60:02d} s"
    )
    assert main(["--pilot", str(pilot.path), "--quantity", "threshold", "--half-width", "2"]) == 0
    assert "half-width of 2 percentage points" in capsys.readouterr().out


@pytest.fixture(scope="module")
def logits(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same pilot with nothing but the logit recorded, whose changes are 1.5 times those of the log-probability."""
    return make_run(
        tmp_path_factory.mktemp("plan") / "logits", prompts=32, per_document=2, noise=0.5, metrics=["logit"]
    )


@pytest.mark.parametrize(
    ("quantity", "in_nats", "in_logits"),
    [("plateau", "0.1", "0.15"), ("threshold", "2", "2"), ("core_fraction", "0.5", "0.5")],
)
def test_a_pilot_of_logits_alone_is_planned_in_logits(
    pilot: Run, logits: Run, quantity: str, in_nats: str, in_logits: str, capsys: pytest.CaptureFixture[str]
) -> None:
    nats = answered(["--pilot", str(pilot.path), "--quantity", quantity, "--half-width", in_nats], capsys)
    arguments = ["--pilot", str(logits.path), "--quantity", quantity, "--half-width", in_logits]
    assert [row[:5] for row in answered(arguments, capsys)] == [row[:5] for row in nats], "the unit is all that differs"
    assert main(arguments) == 0
    assert "effects in logits" in capsys.readouterr().err


def test_claims_are_planned_in_logits_too(pilot: Run, logits: Run, capsys: pytest.CaptureFixture[str]) -> None:
    # The effect of block 0 grows as its spread does, the claim's limit of zero stays: the power is the same.
    rows = [answered(["--pilot", str(run.path), "--claim", "4"], capsys) for run in (pilot, logits)]
    assert [row[:5] for row in rows[0]] == [row[:5] for row in rows[1]]
    assert int(rows[1][0][1]) >= 2
    # Claim 1 has a limit of 0.05, which in logits is the narrower one.
    within = ["--claim", "1", "--documents", "100000", "--prompts-per-document", "2"]
    nats, other = (answered(["--pilot", str(run.path), *within], capsys)[0][1] for run in (pilot, logits))
    assert other == "not" or int(other) > int(nats)


@pytest.mark.parametrize("claim", ["1", "4", "5"])
def test_power_of_claims_on_means(pilot: Run, capsys: pytest.CaptureFixture[str], claim: str) -> None:
    arguments = ["--pilot", str(pilot.path), "--claim", claim, "--prompts-per-document", "2", "--documents", "100000"]
    rows = answered(arguments, capsys)
    assert rows[0][0] == "2"
    assert rows[0][1] == "not" or int(rows[0][1]) >= 4


def test_stated_deviations_need_no_pilot(capsys: pytest.CaptureFixture[str]) -> None:
    rows = answered(
        ["--sd-document", "0.12", "--sd-prompt", "0.2", "--quantity", "plateau", "--half-width", "0.02"], capsys
    )
    assert [int(row[1]) for row in rows] == [525, 333, 237, 189]  # 1.96² (0.12² + 0.2²/m) / 0.02², a little more for t
    rows = answered(["--sd-document", "0.12", "--effect", "0.05", "--claim", "5", "--power", "0.9"], capsys)
    assert [row[1] for row in rows] == ["63"]  # (1.96 + 1.28)² (0.12 / 0.05)² = 60.5, and 2 for t


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "either --pilot FOLDER or --sd-document"),
        (["--sd-document", "1"], "either --quantity"),
        (["--sd-document", "1", "--quantity", "plateau"], "go together"),
        (["--sd-document", "1", "--quantity", "plateau", "--half-width", "0"], "must be positive"),
        (["--sd-document", "1", "--quantity", "threshold", "--half-width", "1"], "need --pilot"),
        (["--sd-document", "1", "--claim", "5"], "needs --effect"),
        (["--sd-document", "0", "--claim", "1"], "not both zero"),
        (["--sd-document", "-1", "--claim", "1"], "not negative"),
        (["--sd-document", "1", "--claim", "1", "--power", "1"], "--power between"),
        (["--sd-document", "1", "--claim", "1", "--prompts-per-document", "0"], "at least 1"),
        (["--sd-document", "1", "--claim", "1", "--seed", "-1"], "--seed"),
        (["--sd-document", "1", "--claim", "6"], "invalid choice"),
        (["--pilot", "x", "--effect", "1", "--claim", "1"], "--effect goes with"),
        (["--pilot", "x", "--claim", "3", "--share", "0.7"], "0.5, 0.8, 0.9"),
        (["--pilot", "nowhere", "--claim", "1"], "not a run directory"),
        (["--plot"], "--help explains"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in refused(arguments, capsys)


def test_a_pilot_of_one_prompt_a_document_says_what_it_cannot_tell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run", noise=0.5)
    arguments = ["--pilot", str(run.path), "--claim", "5"]
    assert len(answered(arguments, capsys)) == 1
    assert "one prompt a document" in refused([*arguments, "--prompts-per-document", "1", "2"], capsys)


def test_an_interruption_ends_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "_from_deviations", interrupted)
    assert main(["--sd-document", "1", "--claim", "1"]) == 130
    assert "interrupted" in capsys.readouterr().err
