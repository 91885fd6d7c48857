"""How far is a run: while it goes on, after a kill, complete, damaged, and from files alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from ripplestats import status
from ripplestats.store import progress
from ripplestats.store.lock import locked
from ripplestats.store.progress import run_progress
from ripplestats.store.run_directory import Run
from tests.store.synthetic_run import make_run, synthetic_definition, synthetic_effects, synthetic_prompts


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Twelve of 48 prompts are done, eight of them in this start."""
    run = make_run(tmp_path / "run", prompts=12)
    run.update(
        definition=synthetic_definition(prompts=48, dataset="passages"),
        completeness={"complete": False, "prompts_done": 0, "prompts": 48},
    )
    write_log(run, [
        ("00:00:00", "start", {"process": 17, "host": "machine"}),
        ("00:00:01", "shard", {"name": "part-000000", "prompts": 8}),
        ("00:01:00", "interrupted", {"why": "StorageError: no space left on device"}),
        ("10:00:00", "resume", {"process": 18, "host": "machine"}),
        ("10:00:04", "shard", {"name": "part-000001", "prompts": 8}),
        ("10:00:08", "shard", {"name": "part-000002", "prompts": 8}),
    ])  # fmt: skip
    return run


def write_log(run: Run, events: list[tuple[str, str, dict[str, object]]]) -> None:
    import json

    lines = [json.dumps({"time": f"2026-01-01T{at}+00:00", "event": event, **more}) for at, event, more in events]
    (run.path / "log.jsonl").write_text("\n".join(lines) + "\n")


def told(run: Run, capsys: pytest.CaptureFixture[str], *flags: str, code: int = 0) -> dict[str, str]:
    assert status.main([str(run.path), *flags]) == code
    out = capsys.readouterr().out
    return dict(line.split(maxsplit=1) for line in out.splitlines())


def test_a_run_that_goes_on_tells_done_rate_time_left_failures_and_where(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(run.path):
        lines = told(run, capsys)
    assert lines["run"] == f"{run.path}: running"
    assert lines["prompts"] == "12 of 48 (25 %) in 2 shards"
    assert lines["model"] == "synthetic-model on passages"
    assert lines["rate"] == "2.00 prompts a second; 18 s left"
    assert lines["where"] == "process 18 on machine works, started 2026-01-01T10:00:00+00:00 (2 starts)"
    assert lines["last"].startswith("shard part-000002 at 2026-01-01T10:00:08+00:00 (")
    assert lines["failure"] == "2026-01-01T00:01:00+00:00 interrupted: StorageError: no space left on device"


def test_a_run_that_was_killed_is_not_complete(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(run, capsys)
    assert lines["run"].endswith(": not complete; the command that made it goes on")
    assert " worked, " in lines["where"]


@pytest.mark.parametrize(("prompts", "state"), [(12, "complete"), (48, "complete (stopped by its rule)")])
def test_a_complete_run_has_no_time_left(
    run: Run, capsys: pytest.CaptureFixture[str], prompts: int, state: str
) -> None:
    done = {"complete": True, "prompts_done": 12, "prompts": prompts}
    run.update(definition=synthetic_definition(prompts=prompts), completeness=done)
    lines = told(run, capsys, "--verify")
    assert lines["run"] == f"{run.path}: {state}"
    assert lines["rate"] == "2.00 prompts a second"
    assert lines["verified"] == "every shard is as it was written"


def test_a_run_without_anything_done_is_told_plainly(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for file in [*(run.path / "shards").iterdir(), run.path / "log.jsonl"]:
        file.unlink()
    lines = told(run, capsys)
    assert lines["prompts"] == "0 of 48 (0 %) in 0 shards"
    assert not {"rate", "where", "last", "failure"} & set(lines)


def test_damage_that_only_reading_shows_is_found_by_verify(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    file = run.parts()[1]
    content = file.read_bytes()
    file.write_bytes(content[:100] + bytes([content[100] ^ 4]) + content[101:])
    assert "damaged" not in told(run, capsys)
    lines = told(run, capsys, "--verify", code=2)
    assert lines["damaged"].startswith(f"{file} is damaged: its SHA-256 is not the one that was written; ")
    assert "verified" not in lines
    file.write_bytes(content[:-1])
    assert str(file) in told(run, capsys, code=2)["damaged"]


def test_a_damaged_record_is_told_and_the_others_count(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    record = run.path / "shards" / f"{run.parts()[1].stem}.json"
    record.write_text("{}")
    lines = told(run, capsys, code=2)
    assert lines["prompts"] == "8 of 48 (17 %) in 1 shards"
    assert str(record) in lines["damaged"]


def test_a_clock_that_was_set_back_gives_no_negative_rate(run: Run) -> None:
    write_log(run, [
        ("10:00:00", "start", {}),
        ("10:00:04", "shard", {"prompts": 8}),
        ("09:00:00", "shard", {"prompts": 8}),
        ("09:00:04", "shard", {"prompts": 8}),
    ])  # fmt: skip
    assert run_progress(run).rate == pytest.approx(2)
    write_log(run, [("10:00:00", "start", {}), ("09:00:00", "shard", {"prompts": 8})])
    assert run_progress(run).rate == 0
    write_log(run, [("10:00:00", "start", {}), ("noon", "shard", {"prompts": "many"})])
    assert run_progress(run).rate == 0


def test_the_rate_is_of_the_last_shards(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_RECENT", 2)
    slow_then_fast = [("10:00:00", "start"), ("10:00:50", "shard"), ("10:00:52", "shard"), ("10:00:54", "shard")]
    write_log(run, [(at, event, {"prompts": 8}) for at, event in slow_then_fast])
    assert run_progress(run).rate == pytest.approx(4)


def test_only_the_last_failures_are_shown(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(run, [("10:00:00", "warning", {"text": f"number {number}"}) for number in range(9)])
    assert status.main([str(run.path)]) == 0
    out = capsys.readouterr().out
    assert "failure   4 earlier ones are in log.jsonl" in out
    assert [word for word in out.split() if word.isdigit() and len(word) == 1][-5:] == list("45678")


@pytest.mark.parametrize("place", ["missing", "empty", "a file"])
def test_a_place_without_a_run_exits_2_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a file").write_text("")
    assert status.main([str(tmp_path / place)]) == 2
    assert (
        capsys.readouterr().err == f"ripplestats: {tmp_path / place} is not a run directory: it has no manifest.json\n"
    )


def test_wrong_flags_exit_2_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert status.main([]) == 2
    assert status.main(["run", "--quickly"]) == 2
    assert all("--help explains every flag" in line for line in capsys.readouterr().err.splitlines())


def test_it_is_a_program_that_loads_no_torch(run: Run) -> None:
    code = (
        f"import sys; from ripplestats.status import main; main([{str(run.path)!r}, '--verify'])\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "12 of 48" in done.stdout


def test_a_part_more_shows_at_once(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.write_part(2, synthetic_effects(range(12, 20)), synthetic_prompts(range(12, 20)), key="2" * 64)
    assert told(run, capsys)["prompts"] == "20 of 48 (42 %) in 3 shards"
