"""The command line as a person meets it: exit codes, one line for what is wrong, and everything in the run directory."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from ripplestats import pipeline
from ripplestats import run as command_line
from ripplestats.config import RunConfig
from ripplestats.run import main
from ripplestats.store import shards
from ripplestats.store.atomic import write_atomically
from ripplestats.store.run_directory import Run, open_run
from tests.tiny import save_tiny_model, tiny_network, tiny_text, tiny_tokenizer

pytestmark = pytest.mark.long

CHECKOUT = Path(__file__).parents[1]
FLAGS = [
    "--dataset", "--model", "--prompts", "--context", "--per-document", "--rates", "--arms", "--replacement", "--site",
    "--layers", "--device", "--dtype", "--engine", "--seed", "--bootstrap", "--out", "--no-fallback", "--fit-only",
    "--until-width", "--push-to-hub",
]  # fmt: skip
#: Two runs in float32 differ by their order of summation; the largest logits here are about 10.
ENGINE_TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> list[str]:
    """A small run: 20 prompts in three parts, two arms, two blocks, six rates."""
    texts = tmp_path_factory.mktemp("texts") / "texts.txt"
    texts.write_text("\n\n".join(tiny_text(40, 30)))
    return [
        "--dataset", str(texts), "--model", str(tiny_folder), "--prompts", "20", "--context", "6",
        "--rates", "5,10,20,40,60,90", "--layers", "0,2", "--bootstrap", "100", "--device", "cpu",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def printed() -> list[str]:
    """What the finished run printed: standard output and standard error."""
    return []


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, usual: list[str], printed: list[str]) -> Run:
    """A run with its analysis, for reading only."""
    path = tmp_path_factory.mktemp("runs") / "finished"
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert main([*usual, "--out", str(path)]) == 0, err.getvalue()
    printed += [out.getvalue(), err.getvalue()]
    return open_run(path)


@pytest.fixture
def sweep_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the analysis, which takes most of a small run's time."""
    monkeypatch.setattr(command_line, "_finish", lambda *_: None)


def parts(out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (out / "effects").glob("*")}


def unfinished(out: Path) -> list[Path]:
    return [file for file in out.rglob("*") if file.name.startswith((".", "~")) or "unfinished" in file.name]


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr that says what is wrong; a few others may say before what was done."""
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    lines = printed.err.splitlines()
    assert all(line.startswith("ripplestats: ") for line in lines)
    return lines[-1].removeprefix("ripplestats: ")


#: Flags that are refused before anything is loaded, and words of the complaint.
WRONG = {
    "dataset": (["--dataset", "nonsense"], "--dataset 'nonsense' is neither a file nor a known corpus; allowed: wikitext"),
    "dataset file": (["--dataset", "missing.txt"], "--dataset 'missing.txt' is neither a file nor a known corpus"),
    "dataset of 300 letters": (["--dataset", "x" * 300], "--dataset"),
    "arm": (["--arms", "top", "middle"], "--arms 'middle' is not known; allowed: top, bottom, magnitude, random, keep_top"),
    "replacement": (["--replacement", "mode"], "--replacement 'mode' is not known; allowed: median, mean, zero, resample"),
    "site": (["--site", "between"], "--site 'between' is not known; allowed: pre, post"),
    "rate over 100": (["--rates", "10,101"], "% is outside 0 to 100 %"),
    "rate below 0": (["--rates", "-1,10"], "--rates"),
    "rate below 0 in one word": (["--rates=-1,10"], "% is outside 0 to 100 %"),
    "rate that is no number": (["--rates", "ten"], "--rates 'ten': 'ten' is not a number; allowed: seed, fine, coarse"),
    "rate that is not finite": (["--rates", "10,nan"], "'nan' is not a number"),
    "no rate": (["--rates", ","], "names no rate"),
    "width of nothing": (["--until-width", "0"], "--until-width 0 must lie between 0 and 100 percentage points"),
    "width of everything": (["--until-width", "100"], "--until-width 100 must lie between 0 and 100 percentage points"),
    "width that is no number": (["--until-width", "nan"], "--until-width nan must lie between 0 and 100"),
    "width in words": (["--until-width", "two"], "argument --until-width: invalid float value: 'two'"),
    "layers that are no numbers": (["--layers", "first"], "--layers 'first' is not 'all' or a list such as 0,4,10-12"),
    "layers backwards": (["--layers", "2-0"], "--layers '2-0'"),
    "prompts": (["--prompts", "4"], "--prompts 4 must be at least 8"),
    "context": (["--context", "0"], "--context 0 must be at least 1"),
    "bootstrap": (["--bootstrap", "99"], "--bootstrap 99 must be at least 100"),
    "seed": (["--seed", "-1"], "--seed -1 must be at least 0"),
    "flag": (["--promts", "9"], "unrecognized arguments: --promts"),
    "engine": (["--engine", "turbo"], "--engine 'turbo' is not known; allowed: auto, onepass, hooks"),
    "dtype": (["--dtype", "float8"], "--dtype 'float8' is not known; allowed: float32"),
    "device": (["--device", "quantum"], "--device 'quantum' cannot be used here; allowed: auto, cpu"),
    "model": (["--model", "./missing"], "--model './missing' is not a folder; allowed: smollm2-135m"),
    "module names": (["--neuron-modules", "pre=a"], "--neuron-modules 'pre=a' must name blocks="),
    "no run": (["--fit-only"], "is not a run directory"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_flag_exits_2_with_one_line_and_makes_nothing(
    usual: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    words, said = WRONG[what]
    monkeypatch.chdir(tmp_path)
    assert main([*usual, "--out", str(tmp_path / "run"), *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("ripplestats: ")
    assert said in line
    assert list(tmp_path.iterdir()) == []


def test_wrong_rates_and_arms_are_told_before_the_model_is_loaded(
    usual: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["--rates", "101"], ["--arms", "middle"], ["--engine", "turbo"], ["--dtype", "float8"]):
        assert main([*usual, "--model", str(tmp_path / "missing"), *words]) == 2
        assert words[0] in complaint(capsys)


def test_layers_outside_the_model_exit_2_with_its_range(
    usual: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*usual, "--layers", "1,3", "--out", str(tmp_path / "run")]) == 2
    assert complaint(capsys) == "--layers '1,3' is outside this model's blocks 0 to 2"
    assert not (tmp_path / "run").exists()


def test_a_context_longer_than_the_models_positions_exits_2(
    usual: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = tmp_path / "long.txt"
    texts.write_text("\n\n".join(tiny_text(10, 80)))
    words = ["--dataset", str(texts), "--prompts", "8", "--out", str(tmp_path / "run")]
    assert main([*usual, *words, "--context", "65"]) == 2
    assert "--context 65 is longer than the 64 tokens that" in complaint(capsys)
    assert not (tmp_path / "run").exists()


def test_a_context_of_all_the_models_positions_can_be_swept(usual: list[str], tmp_path: Path, sweep_only: None) -> None:
    texts = tmp_path / "long.txt"
    texts.write_text("\n\n".join(tiny_text(10, 80)))
    words = ["--dataset", str(texts), "--prompts", "8", "--out", str(tmp_path / "run")]
    assert main([*usual, *words, "--context", "64"]) == 0
    assert open_run(tmp_path / "run").complete


@pytest.mark.parametrize("engine", ["auto", "hooks"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_whose_numbers_are_not_finite_exits_2(
    usual: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], engine: str, value: float
) -> None:
    network = tiny_network("gpt2")
    network.transformer.h[1].mlp.c_fc.weight[0, 0] = value
    network.save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    words = ["--model", str(tmp_path / "model"), "--out", str(tmp_path / "run"), "--engine", engine]
    assert main([*usual, *words]) == 2
    assert "not finite" in complaint(capsys)


def test_an_output_folder_with_other_files_exits_2_and_is_left_alone(
    usual: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    assert main([*usual, "--out", str(tmp_path)]) == 2
    assert "is not empty and holds no run; choose another folder" in complaint(capsys)
    assert [file.name for file in tmp_path.iterdir()] == ["letter.txt"]


def test_an_output_folder_that_cannot_be_made_exits_3(usual: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*usual, "--out", "/proc/no-such-place/run"]) == 3
    assert "/proc/no-such-place/run" in complaint(capsys)


def test_the_run_directory_holds_every_file_of_the_contract(finished: Run) -> None:
    names = {file.relative_to(finished.path).as_posix() for file in finished.path.rglob("*") if file.is_file()}
    parts = sorted(name for name in names if name.startswith("effects/"))
    assert [name[: len("effects/part-000000")] for name in parts] == [f"effects/part-{i:06d}" for i in range(3)]
    assert {"manifest.json", "prompts.parquet", "estimates.csv", "claims.csv", "report.html", "log.jsonl"} <= names
    drawn = [".pdf", ".png"]
    for folder, endings in (("tables", [".tex"]), ("figures", [*drawn, ".txt"]), ("figures/slides", drawn)):
        inside = {name for name in names if str(Path(name).parent) == folder}
        stems = {Path(name).stem for name in inside}
        assert len(stems) >= 3
        assert inside == {f"{folder}/{stem}{ending}" for stem in stems for ending in endings}
    begin = {".pdf": b"%PDF-", ".png": b"\x89PNG"}
    for figure in (finished.path / "figures").rglob("*.p*"):
        assert figure.read_bytes().startswith(begin[figure.suffix])
    assert unfinished(finished.path) == []


def test_effects_have_the_columns_and_types_of_the_contract(finished: Run) -> None:
    frame = finished.effects()
    types = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert types == {
        "prompt_id": "int32", "document_id": "int32", "arm": "category", "replacement": "category", "site": "category",
        "layer": "int16", "rate": "float64", "k": "int32", "effective_rate": "float64", "delta_logit": "float32",
        "delta_logprob": "float32", "kl": "float32", "top1_changed": "bool",
    }  # fmt: skip
    assert len(frame) == 20 * 2 * 2 * 6
    assert frame[["delta_logit", "delta_logprob", "kl"]].notna().all().all()
    assert (frame["kl"] >= -1e-6).all()
    assert frame["top1_changed"].any()


def test_prompts_have_the_columns_and_types_of_the_contract(finished: Run) -> None:
    table = pq.read_table(finished.path / "prompts.parquet")
    contract = {
        "prompt_id": pa.int32(), "document_id": pa.int32(), "context": pa.string(), "context_ids": pa.list_(pa.int32()),
        "target": pa.string(), "target_id": pa.int32(), "clean_logit": pa.float32(), "clean_logprob": pa.float32(),
        "clean_rank": pa.int32(), "clean_entropy": pa.float32(),
    }  # fmt: skip
    found = {field.name: field.type for field in table.schema}
    assert {name: found.get(name) for name in contract} == contract
    frame = table.to_pandas()
    assert frame["prompt_id"].tolist() == list(range(20))
    assert (frame["context_ids"].map(len) == 6).all()
    assert (frame["clean_logprob"] < 0).all()
    assert frame["clean_rank"].between(1, 256).all()
    assert frame["clean_entropy"].between(0, np.log(256)).all()


def test_estimates_and_claims_have_the_columns_of_the_contract(finished: Run) -> None:
    estimates = pd.read_csv(finished.path / "estimates.csv")
    assert list(estimates) == [
        "quantity", "arm", "replacement", "site", "metric", "layer", "share", "method", "estimate", "std_error",
        "conf_low", "conf_high", "conf_level", "n_prompts", "n_documents", "note",
    ]  # fmt: skip
    assert set(estimates["layer"]) == {"all", "0", "2"}
    assert set(estimates["arm"]) == {"top", "random"}
    assert {"threshold", "plateau", "core_fraction", "slope_below", "slope_above"} <= set(estimates["quantity"])
    assert set(estimates["n_prompts"]) == {20}
    assert estimates.loc[estimates["estimate"].isna(), "note"].notna().all(), "undefined, and why"
    claims = pd.read_csv(finished.path / "claims.csv")
    assert list(claims) == [
        "claim", "layer", "null", "statistic", "df", "p_value", "p_adjusted", "adjustment", "estimate", "conf_low",
        "conf_high", "decision", "margin",
    ]  # fmt: skip
    assert set(claims["decision"].dropna()) <= {"supported", "refuted", "undecided"}


def test_the_manifest_says_what_was_used_and_how(finished: Run, usual: list[str], tiny_folder: Path) -> None:
    manifest = finished.manifest
    assert {"ripplestats", "python", "torch", "transformers", "datasets", "numpy", "git_commit"} <= set(
        manifest["versions"]
    )
    model, dataset = manifest["model"], manifest["dataset"]
    assert (model["requested"], model["used"], model["fallback"]) == (str(tiny_folder), str(tiny_folder), "")
    assert (model["n_layers"], model["n_neurons"], model["dtype"], model["device"]) == (3, 128, "float32", "cpu")
    assert (dataset["requested"], dataset["used"], dataset["fallback"]) == (usual[1], usual[1], "")
    assert dataset["revision"].startswith("sha256:")
    assert (dataset["n_prompts"], dataset["n_documents"]) == (20, 20)
    assert len(dataset["fingerprint"]) == len(manifest["definition"]["weights_sha256"]) == 64
    assert manifest["definition"]["rates"] == ["1/20", "1/10", "1/5", "2/5", "3/5", "9/10"]
    assert manifest["definition"]["layers"] == [0, 2]
    assert manifest["definition"]["seed"] == 0
    assert manifest["analysis"] == {"n_boot": 100, "seed": 0}
    check = manifest["engine"]["self_check"]
    assert manifest["engine"]["used"] == "onepass"
    assert manifest["engine"]["products"] in ("packed", "plain")
    assert check["passed"]
    assert 0 < check["largest_difference"] <= check["tolerance"]
    assert manifest["completeness"] == {"complete": True, "prompts_done": 20, "prompts": 20}
    assert min(manifest["timings"]["sweep_s"], manifest["timings"]["analysis_s"]) >= 0


def test_the_manifest_holds_every_option(finished: Run) -> None:
    manifest = finished.manifest
    known = {*manifest["options"], *manifest["definition"], "dataset", "model", "device"}
    assert {field.name for field in fields(RunConfig)} - known - {"out", "fit_only"} == set()


def test_the_summary_goes_to_stdout_and_the_rest_to_stderr(finished: Run, printed: list[str]) -> None:
    out, err = printed
    assert str(finished.path) in out
    assert "20 prompts from 20 documents" in out
    assert "Plateau" in out
    assert out.strip() == (finished.path / "summary.txt").read_text(encoding="utf-8").strip()
    assert [line for line in err.splitlines() if not line.startswith(("ripplestats: ", "20/20 prompts, "))] == []


def test_fit_only_gives_the_same_estimates_without_torch(finished: Run, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(finished.path, tmp_path / "run"))
    for name in ("estimates.csv", "claims.csv"):
        (copy / name).unlink()
    shutil.rmtree(copy / "figures")
    code = (
        "import sys; from ripplestats.run import main; from tests.pictures import embed_fonts_quickly\n"
        "embed_fonts_quickly(dict.__setitem__)\n"
        f"code = main(['--fit-only', '--out', {str(copy)!r}, '--bootstrap', '100'])\n"
        "loaded = {'torch', 'transformers', 'datasets'} & set(sys.modules)\n"
        "sys.exit(code or ('torch was loaded' if loaded else 0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300, cwd=CHECKOUT
    )
    assert done.returncode == 0, done.stderr
    for name in ("estimates.csv", "claims.csv"):
        assert (copy / name).read_bytes() == (finished.path / name).read_bytes()
    assert sorted((copy / "figures").iterdir())
    assert "Plateau" in done.stdout


def test_fit_only_of_a_run_without_parts_exits_2(
    finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "manifest.json").write_bytes((finished.path / "manifest.json").read_bytes())
    assert main(["--fit-only", "--out", str(tmp_path)]) == 2
    assert "holds no finished part of the effects yet" in complaint(capsys)


def test_the_same_command_again_does_no_part_twice(
    finished: Run, usual: list[str], monkeypatch: pytest.MonkeyPatch, sweep_only: None
) -> None:
    before = {file: file.stat().st_mtime_ns for file in finished.path.glob("effects/*")}

    def refuse(*_: object) -> None:
        raise AssertionError("a part was written again")

    monkeypatch.setattr(Run, "write_part", refuse)
    assert main([*usual, "--out", str(finished.path)]) == 0
    assert {file: file.stat().st_mtime_ns for file in finished.path.glob("effects/*")} == before
    assert finished.complete


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--arms", "top"], "arms"),
        (["--rates", "5,10"], "rates"),
        (["--layers", "0,1"], "layers"),
        (["--replacement", "zero"], "replacement"),
        (["--site", "post"], "site"),
        (["--dtype", "float64"], "dtype"),
        (["--prompts", "12"], "prompts"),
        (["--seed", "1"], "seed"),
        (["--context", "5"], "context"),
        (["--per-document", "2"], "per document"),
        (["--dataset", "OTHER"], "dataset"),
        (["--model", "OTHER"], "model"),
    ],
)
def test_other_options_for_the_same_folder_are_refused_by_name(
    finished: Run, usual: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], named: str
) -> None:
    if words == ["--dataset", "OTHER"]:
        (tmp_path / "other.txt").write_text("\n\n".join(tiny_text(40, 30, seed=9)))
        words = ["--dataset", str(tmp_path / "other.txt")]
    elif words == ["--model", "OTHER"]:
        words = ["--model", str(save_tiny_model(tmp_path / "other", seed=9))]
    before = parts(finished.path)
    assert main([*usual, "--out", str(finished.path), *words]) == 2
    line = complaint(capsys)
    assert f"holds a run with another {named} (" in line
    assert "choose another --out" in line
    assert parts(finished.path) == before


@pytest.mark.parametrize("words", [["--batch-size", "3"], ["--bootstrap", "200"], ["--no-fallback"]])
def test_options_that_change_no_number_of_the_effects_are_taken_up(
    finished: Run, usual: list[str], sweep_only: None, words: list[str]
) -> None:
    assert main([*usual, "--out", str(finished.path), *words]) == 0


def test_an_interrupted_run_exits_130_and_the_same_command_finishes_it(
    finished: Run, usual: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    whole = Run.write_part

    def interrupted(run: Run, number: int, *tables, **key) -> None:
        if number == 1:
            raise KeyboardInterrupt
        whole(run, number, *tables, **key)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "write_part", interrupted)
        assert main([*usual, "--out", str(out)]) == 130
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert f"interrupted; finished parts are kept in {out}, and the same command goes on" in said
    assert open_run(out).manifest["completeness"] == {"complete": False, "prompts_done": 8, "prompts": 20}
    assert len(open_run(out).prompts()) == 8
    assert unfinished(out) == []

    monkeypatch.setattr(pipeline, "analyse", lambda run, **_: f"{run.effects()['prompt_id'].nunique()} prompts")
    assert main(["--fit-only", "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert "is not complete; estimates are from the prompts that are done" in printed.err
    assert printed.out.strip() == "8 prompts"

    (part,) = open_run(out).parts()
    first = part.stat().st_mtime_ns
    assert main([*usual, "--out", str(out)]) == 0
    assert "1 parts are there" in capsys.readouterr().err
    assert part.stat().st_mtime_ns == first
    assert parts(out) == parts(finished.path)
    assert open_run(out).complete
    pd.testing.assert_frame_equal(open_run(out).prompts(), finished.prompts())


@pytest.mark.parametrize("failing", range(6))
def test_a_full_disk_exits_3_and_what_was_written_before_is_whole(
    finished: Run, usual: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], sweep_only: None, failing: int,
) -> None:  # fmt: skip
    """Each part is written as prompts and effects, in this order; the disk is full from some table on."""
    out = tmp_path / "run"
    write = shards.write_bytes
    written = []

    def half(stream) -> None:
        stream.write(b"PAR1 half of it")
        raise OSError(28, "No space left on device")

    def fill(path: Path, content: bytes) -> None:
        if len(written) == failing:
            write_atomically(path, half)
        write(path, content)
        written.append(path)

    with monkeypatch.context() as patch:
        patch.setattr(shards, "write_bytes", fill)
        assert main([*usual, "--out", str(out)]) == 3
    assert "no space left on device; what was finished before is kept" in complaint_of(capsys)
    assert unfinished(out) == []
    kept = parts(out)
    assert len(kept) == failing // 2
    assert kept == {name: content for name, content in parts(finished.path).items() if name in kept}

    assert main([*usual, "--out", str(out)]) == 0
    assert parts(out) == parts(finished.path)


def complaint_of(capsys: pytest.CaptureFixture[str]) -> str:
    """The last line on stderr, where progress may have been told before."""
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    assert sum("cannot be written" in line for line in printed.err.splitlines()) == 1
    return printed.err.splitlines()[-1]


def test_a_disk_that_is_full_at_the_figures_exits_3(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(finished.path, tmp_path / "run")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    assert main(["--fit-only", "--out", str(copy), "--bootstrap", "100"]) == 3
    assert "no space left on device" in complaint_of(capsys)
    assert unfinished(Path(copy)) == []


@pytest.mark.parametrize(
    "error",
    [MemoryError(), torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("can't allocate memory: 99 GB")],
)
def test_too_little_memory_exits_3_with_what_to_do(
    usual: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:  # fmt: skip
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(pipeline, "sweep", fail)
    assert main([*usual, "--out", str(tmp_path / "run")]) == 3
    assert complaint(capsys) == (
        "out of memory; a shorter --context or fewer --arms need less, and finished parts are kept"
    )


def test_a_mistake_of_the_program_is_not_dressed_up(
    usual: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(pipeline, "sweep", fail)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        main([*usual, "--out", str(tmp_path / "run")])


def test_the_same_seed_gives_byte_equal_files(
    finished: Run, usual: list[str], tmp_path: Path, sweep_only: None
) -> None:
    assert main([*usual, "--out", str(tmp_path / "run")]) == 0
    assert parts(tmp_path / "run") == parts(finished.path)
    assert (tmp_path / "run" / "prompts.parquet").read_bytes() == (finished.path / "prompts.parquet").read_bytes()


@pytest.mark.parametrize("size", [1, 3, 8])
def test_the_batch_size_changes_no_effect(
    finished: Run, usual: list[str], tmp_path: Path, sweep_only: None, size: int
) -> None:
    assert main([*usual, "--out", str(tmp_path / "run"), "--batch-size", str(size)]) == 0
    frame, expected = open_run(tmp_path / "run").effects(), finished.effects()
    metrics = ["delta_logit", "delta_logprob", "kl"]
    pd.testing.assert_frame_equal(frame.drop(columns=metrics), expected.drop(columns=metrics))
    np.testing.assert_allclose(frame[metrics], expected[metrics], rtol=0, atol=ENGINE_TOLERANCE)


@pytest.mark.parametrize("engine", ["onepass", "hooks"])
def test_both_engines_can_be_asked_for_and_agree(
    finished: Run, usual: list[str], tmp_path: Path, sweep_only: None, engine: str
) -> None:
    assert main([*usual, "--out", str(tmp_path / "run"), "--engine", engine]) == 0
    run = open_run(tmp_path / "run")
    assert run.manifest["engine"]["used"] == engine
    metrics = ["delta_logit", "delta_logprob", "kl"]
    np.testing.assert_allclose(run.effects()[metrics], finished.effects()[metrics], rtol=0, atol=1e-4)


def test_one_pass_is_refused_where_it_is_wrong_and_auto_says_what_it_does(
    usual: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], sweep_only: None
) -> None:
    model = ["--model", str(save_tiny_model(tmp_path / "model", "granite_hybrid"))]
    assert main([*usual, *model, "--out", str(tmp_path / "one"), "--engine", "onepass"]) == 2
    assert "--engine onepass cannot be used" in complaint(capsys)
    assert main([*usual, *model, "--out", str(tmp_path / "auto")]) == 0
    assert "one-pass engine not used, hooked forward instead" in capsys.readouterr().err
    engine = open_run(tmp_path / "auto").manifest["engine"]
    assert (engine["used"], engine["self_check"]["passed"]) == ("hooks", False)


def test_help_names_every_flag_in_no_time_and_without_torch() -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "ripplestats.run", "--help"], capture_output=True, text=True, check=False,
        cwd=CHECKOUT, env={**os.environ, "COLUMNS": "100"}, timeout=60,
    )  # fmt: skip
    assert time.monotonic() - began < 2
    assert (done.returncode, done.stderr) == (0, "")
    assert [flag for flag in FLAGS if f"  {flag} " not in done.stdout and f"  {flag}\n" not in done.stdout] == []
    assert "python -m ripplestats.run --dataset wikitext" in done.stdout
    assert "exit codes: 0 done; 2 " in done.stdout


def test_help_and_wrong_flags_load_no_torch() -> None:
    code = (
        "import sys\nfrom ripplestats.run import main\n"
        "assert main(['--prompts', '4']) == 2\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print(sorted({'torch', 'transformers', 'datasets', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stderr == "ripplestats: --prompts 4 must be at least 8\n"


def test_the_manifest_of_a_finished_run_is_json_that_anything_can_read(finished: Run) -> None:
    text = (finished.path / "manifest.json").read_text(encoding="utf-8")
    assert "NaN" not in text
    assert json.loads(text)["format"] == "ripplestats run 1"
