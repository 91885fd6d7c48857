"""Files are whole or not there, and a failing disk is one clear line."""

import errno
import os
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ripplestats.errors import ExternalError, StorageError
from ripplestats.store.atomic import (
    remove_unfinished,
    storing,
    write_atomically,
    write_json,
    write_text,
)
from ripplestats.store.tables import write_table


def fail_halfway(error: BaseException) -> Any:
    def write(stream: IO[bytes]) -> None:
        stream.write(b"half of it")
        raise error

    return write


def disk_full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_is_written_with_the_folders_above_it(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.bin"
    write_atomically(path, lambda stream: stream.write(b"whole"))
    assert path.read_bytes() == b"whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old, and longer than the new one")
    write_text(path, "new")
    assert path.read_text() == "new"


@pytest.mark.parametrize(
    "error", [ValueError("a bug"), KeyboardInterrupt(), disk_full()], ids=lambda e: type(e).__name__
)
@pytest.mark.parametrize("before", ["old", None])
def test_a_writer_that_fails_leaves_the_old_file_or_none(
    tmp_path: Path, error: BaseException, before: str | None
) -> None:
    path = tmp_path / "file.txt"
    if before:
        path.write_text(before)
    with pytest.raises((type(error), StorageError)):
        write_atomically(path, fail_halfway(error))
    assert [one.read_text() for one in tmp_path.iterdir()] == ([before] if before else [])


def test_a_crash_before_the_rename_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def killed(*_: object, **__: object) -> None:
        raise SystemExit(137)

    monkeypatch.setattr(Path, "replace", killed)
    monkeypatch.setattr(Path, "unlink", killed)  # a killed process does not tidy up either
    with pytest.raises(SystemExit):
        write_text(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    remove_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_the_content_reaches_the_disk_before_the_name_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.txt"
    steps = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: (steps.append(("fsync", path.exists())), fsync(number)))
    monkeypatch.setattr(Path, "replace", lambda self, to: (steps.append(("replace", None)), replace(self, to))[1])
    write_text(path, "new")
    # File, then rename, then folder.
    assert steps == [("fsync", False), ("replace", None), ("fsync", True)]


def test_an_operating_system_error_is_one_line_with_exit_code_3(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    with pytest.raises(StorageError) as caught:
        write_atomically(path, fail_halfway(disk_full()))
    assert str(caught.value) == f"{path} cannot be written: no space left on device; what was finished before is kept"
    assert caught.value.exit_code == 3
    assert isinstance(caught.value, ExternalError)
    assert isinstance(caught.value.__cause__, OSError)


def test_a_file_where_a_folder_should_be_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        write_text(tmp_path / "plain" / "file.txt", "text")


def test_a_folder_where_the_file_should_be_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(StorageError, match="cannot be written"):
        write_text(tmp_path / "taken", "text")
    assert [one.name for one in tmp_path.iterdir()] == ["taken"]


def test_an_error_without_a_text_of_the_system_is_said_too() -> None:
    with pytest.raises(StorageError, match="place cannot be written: odd failure"), storing(Path("place")):
        raise OSError("Odd failure")


def test_other_errors_pass_through() -> None:
    with pytest.raises(ValueError, match="a bug"), storing(Path("place")):
        raise ValueError("a bug")


def test_text_is_utf_8_and_json_is_readable(tmp_path: Path) -> None:
    write_json(tmp_path / "file.json", {"name": "café", "list": [1, 2.5, None, True]})
    text = (tmp_path / "file.json").read_bytes().decode("utf-8")
    assert text == '{\n  "name": "café",\n  "list": [\n    1,\n    2.5,\n    null,\n    true\n  ]\n}\n'


def test_tables_come_back_as_they_were(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2, 3], "b": ["x", "é", ""]})
    write_table(tmp_path / "table.parquet", table)
    assert pq.read_table(tmp_path / "table.parquet").equals(table)


def test_only_unfinished_files_are_removed_at_any_depth(tmp_path: Path) -> None:
    kept = [tmp_path / "part-000000.parquet", tmp_path / "effects" / "unfinished-thoughts.txt"]
    gone = [tmp_path / ".unfinished-17-manifest.json", tmp_path / "effects" / ".unfinished-9-part-000001.parquet"]
    for path in [*kept, *gone]:
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    remove_unfinished(tmp_path)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)
