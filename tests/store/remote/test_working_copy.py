"""A run in an object store: the same rows, taken up on another machine, repaired, and never two at work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest

import ripplestats as rs
from ripplestats import pipeline, status
from ripplestats import run as command_line
from ripplestats.errors import InputError, RunError, StorageError
from ripplestats.run import main
from ripplestats.store.remote.hub_bucket import HubBucket
from ripplestats.store.remote.lease import LEASE
from ripplestats.store.remote.objects import connect
from ripplestats.store.remote.working_copy import working_copy
from ripplestats.store.run_directory import Run
from tests.conftest import a_mistake_from, tiny_model, tiny_prompts
from tests.pictures import leave_out_pictures
from tests.store.remote.conftest import SECRET
from tests.tiny import tiny_text

GoOn = Callable[[str], Path]


def swept(out: str | Path, n: int = 20, **options: Any) -> Run:
    """Sweep a tiny model over prompts in shards of eight."""
    usual: dict[str, Any] = {"rates": "2,10,20,50,90", "layers": "1", "engine": "hooks"}
    return rs.sweep(tiny_model(), tiny_prompts(n, 6), out=out, **{**usual, **options})


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The effects of the same run in a folder."""
    return swept(tmp_path_factory.mktemp("local") / "run").effects()


def told(address: str, capsys: pytest.CaptureFixture[str], *flags: str, code: int = 0) -> str:
    """What the status says."""
    capsys.readouterr()
    assert status.main([address, *flags]) == code
    return capsys.readouterr().out


def shard_object(address: str, number: int, folder: str = "effects") -> str:
    return f"{folder}/{sorted(connect(address).sizes(folder))[number]}"


def test_a_run_in_a_store_has_the_rows_of_one_in_a_folder_and_opens_anywhere(
    address: str, on_machine: GoOn, expected: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    run = swept(address)
    assert run.complete
    pd.testing.assert_frame_equal(run.effects(), expected)
    assert LEASE not in connect(address).entries()
    on_machine("b")
    there = rs.open_run(address)
    pd.testing.assert_frame_equal(there.effects(), expected)
    assert there.manifest == run.manifest
    assert f"{address}: complete" in told(address, capsys, "--verify")


@pytest.mark.usefixtures("nobody_renews")
def test_an_interrupted_run_goes_on_from_the_store_on_another_machine(
    served: str, on_machine: GoOn, expected: pd.DataFrame, computed: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    with a_mistake_from(8):
        swept(served)
    computed.clear()
    assert "8 of 20 (40 %)" in told(served, capsys)
    # A kill gives no lease back.
    connect(served).put(LEASE, b'{"owner": "dead", "process": 7, "host": "there", "time": "then"}')
    assert "process 7 on there (renewed then)" in told(served, capsys)
    on_machine("b")
    said: list[str] = []
    run = swept(served, say=said.append)
    assert "the lease of process 7 on there (renewed then) is stale, and taken over" in said
    assert computed == [8, 16]
    pd.testing.assert_frame_equal(run.effects(), expected)
    kinds = [event["event"] for event in rs.open_run(served).events()]
    assert kinds.count("start") == kinds.count("resume") == kinds.count("interrupted") == 1


def test_a_damaged_object_is_found_said_and_done_anew(
    s3: str, on_machine: GoOn, expected: pd.DataFrame, computed: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    swept(s3)
    computed.clear()
    objects, name = connect(s3), shard_object(s3, 1)
    content = bytearray(objects.get(name) or b"")
    content[len(content) // 3] ^= 1
    objects.put(name, bytes(content))
    line = f"{s3}/{name} is missing or damaged; the command that made the run does this part anew"
    assert line not in told(s3, capsys)
    assert line in told(s3, capsys, "--verify", code=2)
    on_machine("b")
    said: list[str] = []
    run = swept(s3, say=said.append)
    assert f"done anew: {line}" in said
    assert computed == [8]
    pd.testing.assert_frame_equal(run.effects(), expected)
    assert "verified" in told(s3, capsys, "--verify")
    assert "damaged" in {event["event"] for event in run.events()}


@pytest.mark.parametrize("folder", ["effects", "prompts", "shards"])
def test_an_object_that_is_lost_is_sent_again_where_its_shard_is_whole(
    memory: str, on_machine: GoOn, expected: pd.DataFrame, capsys: pytest.CaptureFixture[str], folder: str
) -> None:
    swept(memory)
    connect(memory).remove(shard_object(memory, 0, folder))
    if folder != "shards":
        assert "is missing or damaged" in told(memory, capsys, code=2)
    swept(memory)
    assert "verified" in told(memory, capsys, "--verify")
    on_machine("b")
    pd.testing.assert_frame_equal(rs.open_run(memory).effects(), expected)


def test_two_processes_never_work_on_one_run(s3: str, on_machine: GoOn) -> None:
    with working_copy(s3):
        with pytest.raises(StorageError, match=f"^--out {s3} is being worked on by another process"):
            swept(s3)
        on_machine("b")
        with pytest.raises(StorageError, match=rf"^--out {s3} is being worked on by process \d+ on"):
            swept(s3)


def test_who_lost_the_run_writes_nothing_more(memory: str, on_machine: GoOn) -> None:
    with pytest.raises(StorageError, match="taken over"), working_copy(memory) as mirror:
        connect(memory).put(LEASE, b'{"owner": "other", "process": 7, "host": "there", "time": "now"}')
        assert mirror.lease is not None
        while not mirror.lease.lost:
            pass
        mirror.send("manifest.json")
    assert set(connect(memory).entries()) == {LEASE}


def failing_after_one(store: str) -> tuple[type, str, Callable[..., Any]]:
    """A class of a store's client, the method by which it writes, and one that writes the effects of one shard only."""
    sent = 0

    def check(path: str) -> None:
        nonlocal sent
        sent += "/effects/" in path
        if sent > 1:
            raise ConnectionError("the network is gone")

    if store == "hf":
        written = HubBucket.pipe_file

        def failing(self: Any, path: str, *more: Any, **options: Any) -> None:
            check(path)
            written(self, path, *more, **options)

        return HubBucket, "pipe_file", failing
    s3 = fsspec.get_filesystem_class("s3")
    whole = s3._pipe_file

    async def failing_s3(self: Any, path: str, *more: Any, **options: Any) -> Any:
        check(path)
        return await whole(self, path, *more, **options)

    s3.clear_instance_cache()  # an instance keeps the method that it began with
    return s3, "_pipe_file", failing_s3


def test_a_store_that_fails_midway_ends_the_run_in_one_line_and_it_goes_on(
    served: str, on_machine: GoOn, tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(command_line, "_finish", lambda *_: None)
    texts = tmp_path / "texts.txt"
    texts.write_text("\n\n".join(tiny_text(80, 30)))
    command = [
        "--dataset", str(texts), "--model", str(tiny_folder), "--prompts", "24", "--context", "6", "--arms", "top",
        "--rates", "5,10,40,90", "--layers", "1", "--device", "cpu", "--engine", "hooks", "--out",
    ]  # fmt: skip
    assert main([*command, str(tmp_path / "local")]) == 0
    client, method, failing = failing_after_one(served.partition(":")[0])
    with monkeypatch.context() as patch:
        patch.setattr(client, method, failing)
        capsys.readouterr()
        assert main([*command, served]) == 3
        printed = capsys.readouterr().err
    getattr(client, "clear_instance_cache", lambda: None)()
    assert "Traceback" not in printed
    last = printed.splitlines()[-1]
    assert last.startswith(f"ripplestats: {served} cannot be ")
    assert "the network is gone" in last
    on_machine("b")
    assert len(rs.open_run(served).parts()) == 1
    assert main([*command, served]) == 0
    run = rs.open_run(served)
    pd.testing.assert_frame_equal(run.effects(), Run(tmp_path / "local").effects())
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert run.path / "manifest.json" in written
    assert not [file for file in written if SECRET.encode() in file.read_bytes()]


def test_an_analysis_sends_its_results(
    served: str, on_machine: GoOn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    leave_out_pictures(monkeypatch.setattr)
    monkeypatch.setattr(pipeline, "_moderators", lambda *_: "not asked for")
    swept(served)
    on_machine("b")
    assert main(["--fit-only", "--out", served, "--bootstrap", "100"]) == 0
    assert "Plateau" in capsys.readouterr().out
    objects = connect(served)
    assert {"estimates.csv", "claims.csv", "specifications.csv", "summary.txt", "prompts.parquet"} <= set(
        objects.sizes()
    )
    assert objects.sizes("tables")
    on_machine("c")
    run = rs.open_run(served)
    assert len(run.estimates())
    assert run.manifest["analysis"]["n_boot"] == 100
    assert LEASE not in objects.entries()


def test_another_definition_or_other_files_are_refused_by_address(memory: str, on_machine: GoOn) -> None:
    swept(memory)
    with pytest.raises(RunError, match=f"^--out {memory} holds a run with another rates"):
        swept(memory, rates="10,50")
    connect(f"{memory}-2").put("thesis.tex", b"")
    with pytest.raises(RunError, match=f"^--out {memory}-2 is not empty and holds no run"):
        swept(f"{memory}-2")
    with pytest.raises(RunError, match=f"^{memory}-3 is not a run directory"):
        rs.open_run(f"{memory}-3")


def test_a_copy_of_a_run_that_was_removed_from_the_store_is_no_part_of_the_next(
    memory: str, on_machine: GoOn, computed: list[int]
) -> None:
    swept(memory)
    computed.clear()
    objects = connect(memory)
    objects.filesystem.rm(objects.root, recursive=True)
    assert len(swept(memory, rates="10,50").effects()) == 20 * 2 * 2
    assert computed == [0, 8, 16]


@pytest.mark.parametrize("name", ["part-000000-0123456789ab/../../x", "..", "part-1", "x"])
def test_a_name_in_the_store_never_leads_out_of_the_copy(memory: str, on_machine: GoOn, name: str) -> None:
    run = swept(memory)
    connect(memory).put(f"shards/{name}.json", b"{}")
    root = on_machine("b")
    rs.open_run(memory)
    assert {file.name for file in root.rglob("*.json")} == {
        "manifest.json", *(f"{record.name}.json" for record in run.records())
    }  # fmt: skip


def test_runs_of_stores_are_merged_into_a_folder_only(memory: str, on_machine: GoOn, tmp_path: Path) -> None:
    swept(memory)
    other = rs.sweep(
        tiny_model(), tiny_prompts(8, 6, seed=1), out=f"{memory}-2", rates="2,10,20,50,90", layers="1", engine="hooks"
    )
    merged = rs.merge([memory, other], out=tmp_path / "merged")
    assert len(merged.prompts()) == 28
    with pytest.raises(InputError, match=f"^out={memory}-3: runs are merged into a folder on this machine"):
        rs.merge([memory, other], out=f"{memory}-3")


def test_the_address_of_a_folder_is_that_folder(tmp_path: Path, expected: pd.DataFrame) -> None:
    swept(f"file://{tmp_path}/run")
    pd.testing.assert_frame_equal(Run(tmp_path / "run").effects(), expected)
    assert rs.open_run(f"file://{tmp_path}/run").path == tmp_path / "run"
