"""The loop over shards: nothing twice, nothing lost, errors at once, and a rule that may end it early."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import ripplestats as rs
from ripplestats.errors import RunError, StorageError
from ripplestats.store.atomic import storing
from ripplestats.store.run_directory import Run
from ripplestats.sweeps.runner import Sweep
from tests.conftest import tiny_model, tiny_prompts


def swept(out: Path, n: int = 20, **options: Any) -> Run:
    """Sweep a tiny model over prompts in shards of eight."""
    usual: dict[str, Any] = {"rates": "10,50,90", "layers": "1", "engine": "hooks"}
    prompts = options.pop("prompts", tiny_prompts(n, 6))
    return rs.sweep(tiny_model(), prompts, out=out, **{**usual, **options})


def contents(run: Run) -> dict[str, bytes]:
    folders = ("effects", "prompts", "shards")
    return {f"{folder}/{file.name}": file.read_bytes() for folder in folders for file in (run.path / folder).iterdir()}


def events(run: Run, kind: str) -> list[dict[str, Any]]:
    return [event for event in run.events() if event["event"] == kind]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return swept(tmp_path_factory.mktemp("local") / "whole")


def failing_write(monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException) -> None:
    write = Run.write_part

    def fail(run: Run, part: int, *tables: Any, **key: Any) -> Any:
        if part == number:
            with storing(run.path):
                raise error
        return write(run, part, *tables, **key)

    monkeypatch.setattr(Run, "write_part", fail)


def test_a_run_has_three_shards_each_with_its_log_line(whole: Run) -> None:
    assert [record.n_prompts for record in whole.records()] == [8, 8, 4]
    assert [event["name"] for event in events(whole, "shard")] == [file.stem for file in whole.parts()]
    assert [event["event"] for event in whole.events()] == ["start", "shard", "shard", "shard", "finished"]
    assert whole.manifest["completeness"] == {"complete": True, "prompts_done": 20, "prompts": 20}


def test_a_finished_run_is_taken_up_without_computing(tmp_path: Path, computed: list[int]) -> None:
    first = contents(swept(tmp_path))
    assert computed == [0, 8, 16]
    assert contents(swept(tmp_path)) == first
    assert computed == [0, 8, 16]


@pytest.mark.parametrize(("steps", "shards"), [((20, 40), [8, 8, 4, 4, 8, 8]), ((8, 16, 24), [8, 8, 8])])
def test_a_grown_run_computes_what_is_new_and_equals_one_that_was_whole_from_the_beginning(
    tmp_path: Path, computed: list[int], steps: tuple[int, ...], shards: list[int]
) -> None:
    prompts = tiny_prompts(steps[-1], 6)
    for n in steps:
        run = swept(tmp_path / "grown", prompts=prompts[:n])
    assert len(computed) == len(set(computed)) == len(shards)
    assert [record.n_prompts for record in run.records()] == shards
    assert run.manifest["grown_from"] == list(steps[:-1])
    assert run.manifest["definition"]["prompts"] == steps[-1]
    at_once = swept(tmp_path / "at once", prompts=prompts)
    pd.testing.assert_frame_equal(run.effects(), at_once.effects(), rtol=0, atol=1e-5)
    pd.testing.assert_frame_equal(run.prompts(), at_once.prompts(), rtol=0, atol=1e-5)
    # Taken up again it is the same run, cuts and all.
    swept(tmp_path / "grown", prompts=prompts)
    assert len(computed) == len(shards) + len(at_once.parts())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n": 12}, r"another prompts \(20, now 12\): there would be fewer"),
        ({"prompts": tiny_prompts(30, 6, seed=1)}, r"another prompts \(20, now 30\)"),
        ({"n": 30, "seed": 1}, r"another seed \(0, now 1\)"),
        (
            {"prompts": tiny_prompts(20, 6, seed=1)},
            "another prompts fingerprint .*: the prompts are others, though as many",
        ),
    ],
    ids=str,
)
def test_what_is_no_growth_is_refused_and_the_run_left_alone(whole: Run, options: dict[str, Any], said: str) -> None:
    before = contents(whole)
    with pytest.raises(RunError, match=said):
        swept(whole.path, **options)
    assert contents(whole) == before


def test_a_run_with_donors_is_not_grown(tmp_path: Path) -> None:
    swept(tmp_path, n=12, replacement=("resample",))
    with pytest.raises(RunError, match=r"another prompts \(12, now 20\): .* or donors are drawn from all of them"):
        swept(tmp_path, n=20, replacement=("resample",))


def flip(content: bytes) -> bytes:
    """The content with one bit changed."""
    middle = len(content) // 3
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("folder", "damage"),
    [
        ("effects", lambda content: content[:-1]), ("effects", flip), ("effects", lambda _: None), ("prompts", flip),
        ("shards", lambda _: b""), ("shards", flip), ("shards", lambda _: None),
    ],
    ids=["cut", "bit", "gone", "prompts bit", "record empty", "record bit", "record gone"],
)  # fmt: skip
def test_a_damaged_shard_is_found_said_and_done_anew(
    tmp_path: Path, whole: Run, computed: list[int], folder: str, damage: Callable[[bytes], bytes | None]
) -> None:
    run = swept(tmp_path / "run")
    expected = contents(run)
    name = run.parts()[1].stem
    file = run.path / folder / f"{name}.{'json' if folder == 'shards' else 'parquet'}"
    content = damage(file.read_bytes())
    file.unlink() if content is None else file.write_bytes(content)
    computed.clear()
    said: list[str] = []
    again = swept(tmp_path / "run", say=said.append)
    assert computed == [8]
    assert contents(again) == expected
    if (folder, content) != ("shards", None):  # a shard without a record is rubbish and nothing to talk of
        (line,) = (line for line in said if line.startswith("done anew: "))
        assert str(file) in line
        assert [event["name"] for event in events(again, "damaged")] == [name]
    pd.testing.assert_frame_equal(again.effects(), whole.effects())


def test_a_shard_of_another_run_is_refused_by_name(tmp_path: Path, whole: Run) -> None:
    run = swept(tmp_path / "run", seed=5)
    for file, content in contents(whole).items():
        (run.path / file).write_bytes(content)
    with pytest.raises(RunError, match="holds a shard that is not of this run: part-00000"):
        swept(tmp_path / "run", seed=5)


def test_a_shard_is_whole_before_the_next_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compute, there = Sweep.run, []

    def looking(job: Sweep, rows: slice, *more: Any) -> Any:
        there.append([record.number for record in Run(tmp_path).records()])
        return compute(job, rows, *more)

    monkeypatch.setattr(Sweep, "run", looking)
    assert swept(tmp_path, n=24).complete
    assert there == [[], [0], [0, 1]]


def test_an_error_of_the_disk_ends_the_work_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, computed: list[int]
) -> None:
    failing_write(monkeypatch, 1, OSError(28, "No space left on device"))
    with pytest.raises(StorageError, match="no space left on device"):
        swept(tmp_path, n=64)
    assert computed == [0, 8]
    run = Run(tmp_path)
    assert [record.number for record in run.records()] == [0]
    assert run.manifest["completeness"] == {"complete": False, "prompts_done": 8, "prompts": 64}
    assert events(run, "interrupted")[0]["why"].startswith("StorageError: ")


def test_an_error_in_the_very_last_write_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_write(monkeypatch, 2, OSError(5, "Input/output error"))
    with pytest.raises(StorageError, match="input/output error"):
        swept(tmp_path)
    assert not Run(tmp_path).complete


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError(), RuntimeError("a mistake")], ids=repr)
def test_what_was_computed_is_written_whatever_ends_the_next_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    compute = Sweep.run

    def ending(job: Sweep, rows: slice, *more: Any) -> Any:
        if rows.start == 16:
            raise error
        return compute(job, rows, *more)

    monkeypatch.setattr(Sweep, "run", ending)
    with pytest.raises(type(error)):
        swept(tmp_path)
    run = Run(tmp_path)
    assert len(run.parts()) == 2
    assert run.prompts()["prompt_id"].tolist() == list(range(16))
    assert events(run, "interrupted")[0]["prompts_done"] == 16


def enough(n: int) -> Callable[[Run], bool]:
    return lambda run: run.effects(["prompt_id"])["prompt_id"].nunique() >= n


def test_a_rule_ends_the_run_after_the_shard_that_suffices(tmp_path: Path, computed: list[int]) -> None:
    run = swept(tmp_path, n=40, stop=enough(16))
    assert computed == [0, 8]
    assert run.manifest["completeness"] == {"complete": True, "prompts_done": 16, "prompts": 40}
    assert events(run, "finished")[0]["stopped"] is True
    swept(tmp_path, n=40, stop=enough(16))
    assert computed == [0, 8]
    assert not swept(tmp_path, n=40, stop=enough(100)).manifest["completeness"]["prompts_done"] < 40


def test_a_rule_is_asked_first_when_a_run_is_taken_up(tmp_path: Path, computed: list[int]) -> None:
    swept(tmp_path, n=16)
    swept(tmp_path, n=40, stop=enough(16))
    assert computed == [0, 8]


def test_a_rule_is_not_asked_while_a_shard_is_missing_between_others(tmp_path: Path) -> None:
    run = swept(tmp_path, n=32)
    record = sorted((run.path / "shards").iterdir())[1]
    record.unlink()
    asked: list[int] = []

    def stop(now: Run) -> bool:
        asked.append(len(now.parts()))
        return False

    swept(tmp_path, n=32, stop=stop)
    assert asked == [4]


def test_without_a_rule_a_partial_table_of_prompts_is_swept_as_its_own_run(tmp_path: Path) -> None:
    prompts = tiny_prompts(20, 6)
    run = swept(tmp_path, prompts=replace(prompts, rows=prompts.rows[4:16]))
    assert run.prompts()["prompt_id"].tolist() == list(range(4, 16))
