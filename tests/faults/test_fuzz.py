"""Inputs of any kind: refused in one line by name, or read as what they are; never a traceback, never a hang.

``RIPPLESTATS_FUZZ=1000`` (``make faults``) tries so many of each; the usual tests, fewer.
"""

import functools
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ripplestats import status
from ripplestats.arguments import parse_arguments
from ripplestats.errors import InputError, RunError
from ripplestats.store.progress import run_progress
from ripplestats.store.run_directory import Run, open_run
from ripplestats.store.sealed import write_sealed
from ripplestats.store.shards import read_record
from ripplestats.sweeps.grid import parse_layers, parse_rates
from tests.store.synthetic_run import make_run

#: Processor seconds that one input may take: on a busy machine the clock says nothing.
HANG = 5.0
usual = settings(
    max_examples=int(os.environ.get("RIPPLESTATS_FUZZ", "60")), deadline=None,
    # The same examples in every usual run, new ones on demand.
    derandomize="RIPPLESTATS_FUZZ" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip


class HangError(BaseException):
    """One input takes too long; nothing in the package may take this for a failure of its own."""


def fuzzed(test: Callable[..., None]) -> Callable[..., None]:
    """Try many inputs, and end the work on one that takes too long."""
    hypothesis_test = test.hypothesis  # type: ignore[attr-defined]
    tried = hypothesis_test.inner_test

    @functools.wraps(tried)
    def ended_in_time(*given_by_hypothesis: Any, **inputs: Any) -> None:
        signal.setitimer(signal.ITIMER_PROF, HANG)
        try:
            tried(*given_by_hypothesis, **inputs)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    hypothesis_test.inner_test = ended_in_time
    return usual(test)


@pytest.fixture(autouse=True, scope="module")
def a_hang_is_an_error() -> Iterator[None]:
    """End what takes longer than ``HANG``, even where it would never end by itself."""

    def hung(*_: object) -> None:
        raise HangError(f"one input took more than {HANG} s")

    before = signal.signal(signal.SIGPROF, hung)
    yield
    signal.signal(signal.SIGPROF, before)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)
WORDS = st.text(max_size=12) | st.sampled_from(
    ["--rates", "--arms", "top", "1e999999999", "-1", "nan", "٣", "--out", "--"]
)


@pytest.fixture(autouse=True, scope="module")
def without_waiting_for_the_disk() -> Iterator[None]:
    """Nothing here is about power cuts, and thousands of files are written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("fuzz") / "run", prompts=12, layers=(0, 1), rates=(0.01, 0.1, 0.9))


@pytest.fixture(scope="module")
def expected(run: Run) -> pd.DataFrame:
    return run.effects()


@pytest.fixture(scope="module")
def copy(run: Run) -> Path:
    """A copy whose files are damaged and mended again."""
    return Path(shutil.copytree(run.path, run.path.with_name("copy")))


@st.composite
def damage(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A way to damage a file: cut it, change a few bits, insert something, or put something else in its place."""
    kind = draw(st.sampled_from(["cut", "bits", "insert", "other"]))
    if kind == "other":
        other = draw(st.binary(max_size=200))
        return lambda _: other
    places = draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=3))
    bit, inserted = draw(st.integers(0, 7)), draw(st.binary(min_size=1, max_size=9))

    def change(content: bytes) -> bytes:
        if kind == "cut":
            return content[: int(places[0] * len(content))]
        if kind == "insert":
            middle = int(places[0] * len(content))
            return content[:middle] + inserted + content[middle:]
        changed = bytearray(content)
        for place in places:
            changed[int(place * len(content))] ^= 1 << bit
        return bytes(changed)

    return change


def refused_or_the_same(
    file: Path, whole: bytes, content: bytes, read: Callable[[], Any], same: Callable[[Any], bool]
) -> None:
    """Read with another content of one file: refused by its name, or nothing that is read has changed."""
    file.write_bytes(content)
    try:
        found = read()
    except RunError as error:
        assert str(file) in str(error)
        assert "\n" not in str(error)
    else:
        assert same(found)
    finally:
        file.write_bytes(whole)


@fuzzed
@given(change=damage(), folder=st.sampled_from(["effects", "prompts"]), checked=st.booleans())
def test_damaged_parts_are_refused_by_name_or_read_as_they_were(
    run: Run, copy: Path, expected: pd.DataFrame, change: Callable[[bytes], bytes], folder: str, checked: bool
) -> None:
    file = copy / folder / f"{run.parts()[1].stem}.parquet"
    whole = file.read_bytes()

    def read() -> pd.DataFrame:
        now = open_run(copy) if checked else Run(copy)
        return now.effects() if folder == "effects" else now._gather_prompts().to_pandas()

    right = expected if folder == "effects" else run.prompts()
    refused_or_the_same(file, whole, change(whole), read, right.equals)


@fuzzed
@given(change=damage())
def test_a_damaged_manifest_is_refused_by_name_or_read_as_it_was(
    run: Run, copy: Path, change: Callable[[bytes], bytes]
) -> None:
    file = copy / "manifest.json"
    whole, content = file.read_bytes(), run.manifest
    refused_or_the_same(
        file, whole, change(whole), lambda: open_run(copy).manifest,
        lambda found: {name: found.get(name) for name in content} == content,
    )  # fmt: skip


@fuzzed
@given(change=damage())
def test_a_damaged_record_is_refused_by_name_or_read_as_it_was(
    run: Run, copy: Path, change: Callable[[bytes], bytes]
) -> None:
    record = run.records()[1]
    file = copy / "shards" / f"{record.name}.json"
    whole = file.read_bytes()
    refused_or_the_same(
        file, whole, change(whole), lambda: read_record(copy, record.name), lambda found: found == record
    )


@fuzzed
@given(content=JSON, entries=st.dictionaries(st.sampled_from(["definition", "completeness", "model"]), JSON))
def test_a_manifest_of_any_json_is_refused_or_tells_where_the_run_is(
    copy: Path, content: Any, entries: dict[str, Any]
) -> None:
    file = copy / "manifest.json"
    whole = file.read_bytes()
    for other in (content, {"format": "ripplestats run 1", **entries}):
        if isinstance(other, dict):
            other.pop("sha256", None)
            write_sealed(file, other)
        else:
            file.write_text(json.dumps(other))
        try:
            now = run_progress(Run(copy))
            assert now.prompts_done == 12
        except RunError as error:
            assert str(file) in str(error)
        finally:
            file.write_bytes(whole)


@fuzzed
@given(content=JSON, entries=st.dictionaries(st.sampled_from(["name", "key", "n_prompts", "n_rows", "files"]), JSON))
def test_a_record_of_any_json_is_refused_by_name(run: Run, copy: Path, content: Any, entries: dict[str, Any]) -> None:
    name = run.parts()[0].stem
    file = copy / "shards" / f"{name}.json"
    whole = file.read_bytes()
    usual = json.loads(whole)
    for other in (content, {"format": "ripplestats shard 1", **entries}, {**usual, **entries}):
        if isinstance(other, dict):
            other.pop("sha256", None)
            write_sealed(file, other)
        else:
            file.write_text(json.dumps(other))
        try:
            assert read_record(copy, name).name == name
        except RunError as error:
            assert str(file) in str(error)
        finally:
            file.write_bytes(whole)


@fuzzed
@given(content=st.lists(JSON.map(json.dumps) | st.text(max_size=20), max_size=6))
def test_a_log_of_any_lines_can_be_told(copy: Path, content: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "log.jsonl").write_text("\n".join(content), encoding="utf-8", errors="replace")
    assert status.main([str(copy)]) == 0
    (copy / "log.jsonl").unlink()
    capsys.readouterr()


@fuzzed
@given(
    names=st.lists(st.sampled_from(["kind", "event", "time", "prompts", "name", "why"]), max_size=4),
    values=st.lists(JSON, min_size=4, max_size=4),
    event=st.sampled_from(["start", "shard", "interrupted", "damaged", "finished"]),
)
def test_a_log_of_events_with_any_values_can_be_told(
    copy: Path, names: list[str], values: list[Any], event: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        {**dict(zip(names, values, strict=False)), "event": event},
        {"event": "shard", **dict(zip(names, values, strict=False))},
    ]
    (copy / "log.jsonl").write_text("\n".join(map(json.dumps, [{"event": "start"}, *lines])))
    assert status.main([str(copy)]) == 0
    (copy / "log.jsonl").unlink()
    capsys.readouterr()


@fuzzed
@given(data=st.data())
def test_a_table_of_other_columns_is_refused_by_name(run: Run, copy: Path, data: st.DataObject) -> None:
    table = pq.read_table(run.parts()[0])
    names = data.draw(st.permutations(table.column_names))[: data.draw(st.integers(0, len(table.column_names) - 1))]
    other = table.select(names).append_column(data.draw(st.text(max_size=5)), pa.array(np.zeros(len(table))))
    file = copy / "effects" / run.parts()[0].name
    whole = file.read_bytes()
    try:
        pq.write_table(other, file)
        with pytest.raises(RunError, match="was not written by this program") as caught:
            Run(copy).effects()
        assert str(file) in str(caught.value)
    finally:
        file.write_bytes(whole)


def test_a_column_of_another_type_is_refused_by_name(run: Run, copy: Path) -> None:
    table = pq.read_table(run.parts()[0])
    file = copy / "effects" / run.parts()[0].name
    whole = file.read_bytes()
    try:
        pq.write_table(table.set_column(9, "delta_logit", pa.array(["a"] * len(table))), file)
        with pytest.raises(RunError, match="its column delta_logit is string, not float"):
            Run(copy).effects()
    finally:
        file.write_bytes(whole)


@fuzzed
@given(text=st.text(max_size=30) | st.lists(st.floats().map(str) | st.integers().map(str)).map(",".join))
@example("1e999999999")
@example("1e-999999999,5")
@example("0e-999999999")
@example("9" * 5000)
@example("sNaN,Infinity,_1")
def test_any_rates_are_shares_or_refused(text: str) -> None:
    try:
        rates = parse_rates(text)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert rates == tuple(sorted(set(rates)))
        assert all(0 <= rate <= 1 for rate in rates)


@fuzzed
@given(text=st.text(max_size=20) | st.from_regex(r"[0-9,\- ]{0,20}", fullmatch=True), n=st.integers(1, 40))
@example("0-999999999999", 30)
@example("9" * 5000, 30)
@example("0-" + "9" * 5000, 30)
@example("٣", 30)
def test_any_layers_are_blocks_or_refused(text: str, n: int) -> None:
    try:
        layers = parse_layers(text, n)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert layers == tuple(sorted(set(layers)))
        assert set(layers) <= set(range(n))


@fuzzed
@given(words=st.lists(WORDS, max_size=5))
@example(["--prompts", "9" * 5000])
@example(["--until-width", "nan"])
def test_any_command_line_is_read_or_refused(words: list[str]) -> None:
    if {"-h", "--help"} & set(words):
        return
    try:
        parse_arguments(words)
    except InputError as error:
        assert "\n" not in str(error)
