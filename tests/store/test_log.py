"""The log: one whole line an event, whatever happened to the last one, and never a reason to fail."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from ripplestats.store.log import last_start, log_event, read_log


def test_an_event_is_one_json_line_with_time_and_name(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    log_event(tmp_path, "warning", text='two\nlines, "quotes", café, \udc80', path=tmp_path)
    log_event(tmp_path, "finished")
    lines = (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    first, last = map(json.loads, lines)
    assert list(first) == ["time", "event", "text", "path"]
    assert first["text"].startswith('two\nlines, "quotes", café, ')
    assert first["path"] == str(tmp_path)
    assert (
        before.timestamp() - 1 <= datetime.fromisoformat(last["time"]).timestamp() <= datetime.now(UTC).timestamp() + 1
    )


def test_a_torn_last_line_is_passed_over_and_the_next_is_whole(tmp_path: Path) -> None:
    log_event(tmp_path, "start")
    with (tmp_path / "log.jsonl").open("a") as stream:
        stream.write('{"time": "2026-01-01T00:00')
    log_event(tmp_path, "resume")
    assert [event["event"] for event in read_log(tmp_path)] == ["start", "resume"]


def test_lines_that_are_no_events_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_bytes(
        b'\xff\xfe\n[1]\n{"event": 3}\nnull\n{"event": "start"}\n' + b"[" * 10**5 + b"\n"
    )
    assert list(read_log(tmp_path)) == [{"event": "start"}]


def test_a_log_that_cannot_be_written_or_read_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").mkdir()
    log_event(tmp_path, "start")
    log_event(tmp_path / "missing", "start")
    assert list(read_log(tmp_path)) == []
    assert last_start(tmp_path) is None


def test_lines_of_several_threads_do_not_mix(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: log_event(tmp_path, "shard", name="x" * 500, number=n), range(200)))
    assert sorted(event["number"] for event in read_log(tmp_path)) == list(range(200))


def test_the_last_start_is_that_of_the_last_process(tmp_path: Path) -> None:
    log_event(tmp_path, "start", process=1, host="a")
    log_event(tmp_path, "resume", process=2, host="a")
    log_event(tmp_path, "finished")
    start = last_start(tmp_path)
    assert start is not None
    assert start["process"] == 2
