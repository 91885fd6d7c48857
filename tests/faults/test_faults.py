"""What else can go wrong outside the program: exit 3 (or 2), one line, and the same command goes on afterwards."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from ripplestats import run as command_line
from ripplestats.run import main
from ripplestats.store import atomic, log
from ripplestats.store.progress import run_progress
from ripplestats.store.run_directory import Run
from ripplestats.sweeps.runner import Sweep
from tests.faults.child import finish, start
from tests.tiny import tiny_text, tiny_tokenizer


@pytest.fixture
def sweep_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the analysis, which takes most of a small run's time."""
    monkeypatch.setattr(command_line, "_finish", lambda *_: None)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, command: Sequence[str]) -> pd.DataFrame:
    """The effects of an undisturbed run."""
    out, monkeypatch = tmp_path_factory.mktemp("calm") / "run", pytest.MonkeyPatch()
    with monkeypatch.context() as patch:
        patch.setattr(command_line, "_finish", lambda *_: None)
        assert main([*command, "--out", str(out)]) == 0
    return Run(out).effects()


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    """The last line on stderr; all others are progress."""
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    assert printed.out == ""
    return printed.err.splitlines()[-1]


def goes_on(command: Sequence[str], out: Path, expected: pd.DataFrame, kept: int) -> None:
    """The same command finishes the run, and equals the undisturbed one."""
    assert len(Run(out).parts()) == kept
    assert main([*command, "--out", str(out)]) == 0
    pd.testing.assert_frame_equal(Run(out).effects(), expected, rtol=0, atol=1e-5)
    assert [path for path in out.rglob("*") if "unfinished" in path.name] == []


@pytest.mark.usefixtures("sweep_only")
@pytest.mark.parametrize("step", [1, 3, 11, 25, 38, 39])
def test_a_disk_that_is_full_at_any_file_keeps_what_is_whole(
    tmp_path: Path, command: Sequence[str], expected: pd.DataFrame, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], step: int,
) -> None:  # fmt: skip
    left, write = step, atomic.write_atomically

    def fill(path: Path, content: object) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            with atomic.storing(path):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, content)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "write_atomically", fill)
        assert main([*command, "--out", str(tmp_path / "run")]) == 3
    line = complaint(capsys)
    assert line.startswith("ripplestats: ")
    assert line.endswith("cannot be written: no space left on device; what was finished before is kept")
    kept = len(Run(tmp_path / "run").parts())
    assert kept == min(max(step - 2, 0) // 3, 12)  # a manifest, three files a shard, the prompts, and the manifest
    goes_on(command, tmp_path / "run", expected, kept)


@pytest.fixture
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system in memory, mounted with the options that are the parameter."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", request.param, "tmpfs", str(place)], capture_output=True, check=False
    )
    if not made or made.returncode:
        pytest.skip("this user may not mount a file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.usefixtures("sweep_only")
@pytest.mark.parametrize("disk", ["size=160k"], indirect=True)
def test_a_disk_that_is_really_full_keeps_what_is_whole(
    tmp_path: Path, disk: Path, command: Sequence[str], expected: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--out", str(disk / "run")]) == 3
    assert "cannot be written: no space left on device" in complaint(capsys)
    kept = len(Run(disk / "run").parts())
    assert 0 < kept < 12
    shutil.copytree(disk / "run", tmp_path / "larger")
    goes_on(command, tmp_path / "larger", expected, kept)


@pytest.mark.usefixtures("sweep_only")
@pytest.mark.parametrize("disk", ["size=8m"], indirect=True)
def test_a_disk_that_became_read_only_exits_3_and_the_run_goes_on_when_it_is_not(
    disk: Path, command: Sequence[str], expected: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    half = [*command, "--out", str(disk / "run")]
    half[half.index("--prompts") + 1] = "48"
    assert main(half) == 0
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert main([*command, "--out", str(disk / "run")]) == 3
    assert "read-only file system" in complaint(capsys)
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    goes_on(command, disk / "run", expected, 6)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_exits_3(
    tmp_path: Path, command: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    assert main([*command, "--out", str(tmp_path / "closed" / "run")]) == 3
    assert complaint(capsys).endswith("cannot be written: permission denied; what was finished before is kept")


@pytest.mark.usefixtures("sweep_only")
@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")],
    ids=["Python", "torch"],
)
def test_out_of_memory_on_the_way_keeps_what_is_whole(
    tmp_path: Path, command: Sequence[str], expected: pd.DataFrame, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], error: Exception,
) -> None:  # fmt: skip
    compute = Sweep.run

    def starved(job: Sweep, rows: slice, *more: object) -> object:
        if rows.start == 16:
            raise error
        return compute(job, rows, *more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Sweep, "run", starved)
        assert main([*command, "--out", str(tmp_path / "run")]) == 3
    assert complaint(capsys) == (
        "ripplestats: out of memory; a shorter --context or fewer --arms need less, and finished parts are kept"
    )
    goes_on(command, tmp_path / "run", expected, kept=2)


@pytest.fixture
def wide_model(tmp_path: Path) -> Path:
    """A local model of which one prompt of 300 tokens takes 79 MB for the neurons of a block."""
    config = GPT2Config(
        vocab_size=256, n_positions=512, n_embd=16, n_layer=2, n_head=2, n_inner=1 << 16, activation_function="relu"
    )
    torch.manual_seed(0)
    folder = tmp_path / "wide-gpt2"
    GPT2LMHeadModel(config).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.usefixtures("sweep_only")
def test_a_limit_on_the_address_space_is_out_of_memory(tmp_path: Path, wide_model: Path) -> None:
    """All but a prompt's neurons fits: where nothing is left, threads of Python may wait for ever for one that died."""
    texts, out, printed = tmp_path / "texts.txt", tmp_path / "run", tmp_path / "printed.txt"
    texts.write_text("\n\n".join(tiny_text(10, 320)))
    command = (
        "--dataset", str(texts), "--model", str(wide_model), "--prompts", "8", "--context", "300", "--arms", "top",
        "--rates", "10", "--layers", "1", "--device", "cpu", "--engine", "hooks", "--out", str(out),
    )  # fmt: skip
    code = finish(start(command, printed, memory=64 << 20, sweep_only=True))
    text = printed.read_text()
    assert "Traceback" not in text
    assert code == 3, text
    assert text.splitlines()[-1].startswith("ripplestats: out of memory; ")
    assert not Run(out).complete
    assert main(command) == 0
    assert Run(out).complete


@pytest.mark.usefixtures("sweep_only")
def test_a_clock_that_is_set_back_changes_nothing(
    tmp_path: Path, command: Sequence[str], expected: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter(range(10**6))

    class Backwards(datetime):
        """Every look at the clock shows an hour less."""

        @classmethod
        def now(cls, tz: object = None) -> "Backwards":  # type: ignore[override]
            return cls(2026, 1, 1, tzinfo=UTC) - timedelta(hours=next(moments))  # type: ignore[return-value]

    monkeypatch.setattr(log, "datetime", Backwards)
    assert main([*command, "--out", str(tmp_path / "run")]) == 0
    run = Run(tmp_path / "run")
    pd.testing.assert_frame_equal(run.effects(), expected)
    assert run.manifest["timings"]["sweep_s"] >= 0
    now = run_progress(run)
    assert (now.rate, now.seconds_left) == (0, 0)


@pytest.mark.usefixtures("sweep_only")
@pytest.mark.parametrize("name", ["Größe 空 ✓ \u202etxt", "a b'c\"d$e;f", "-"], ids=ascii)
def test_any_name_of_a_folder_will_do(
    tmp_path: Path, command: Sequence[str], expected: pd.DataFrame, name: str
) -> None:
    out = tmp_path / name / "run"
    assert main([*command, "--out", str(out)]) == 0
    assert main([*command, "--out", str(out)]) == 0
    pd.testing.assert_frame_equal(Run(out).effects(), expected)
    assert Run(out).manifest["options"]["prompts"] == 96


def test_a_name_that_is_no_utf_8_is_refused_in_one_line(
    tmp_path: Path, command: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / os.fsdecode(b"not \xff utf-8")
    for flags in ([], ["--fit-only"]):
        assert main([*command, *flags, "--out", str(out)]) == 2
        assert complaint(capsys).endswith("its name is not UTF-8, which parquet files need; choose another folder")
    assert not out.exists()


@pytest.mark.usefixtures("sweep_only")
@pytest.mark.parametrize("depth", [1, 14, 40], ids=["one long name", "a deep folder", "longer than any path"])
def test_a_path_that_is_too_long_is_one_line(
    tmp_path: Path, command: Sequence[str], capsys: pytest.CaptureFixture[str], depth: int
) -> None:
    out = tmp_path.joinpath(*["x" * (300 if depth == 1 else 200)] * depth)
    code = main([*command, "--out", str(out)])
    if depth == 14:
        assert code == 0
        assert Run(out).complete
    else:
        assert code == 3
        assert "file name too long" in complaint(capsys)
    assert main(["--fit-only", "--out", str(out / "none")]) == 2
    assert complaint(capsys).startswith("ripplestats: ")
