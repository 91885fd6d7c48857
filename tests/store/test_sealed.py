"""Sealed JSON comes back as it was written, or is refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest

from ripplestats.errors import RunError
from ripplestats.store.sealed import read_sealed, write_sealed

CONTENT: dict[str, Any] = {"name": "café", "list": (1, 2.5, None), "inner": {3: True}, "path": "bad \udc80 name"}


def test_it_comes_back_as_json_gives_it(tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    write_sealed(file, CONTENT)
    assert read_sealed(file) == json.loads(json.dumps(CONTENT))


def test_every_changed_byte_is_found_or_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    write_sealed(file, {"name": "x", "n": 12, "ok": True})
    whole, content = file.read_bytes(), read_sealed(file)
    refused = 0
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])
        try:
            found = read_sealed(file)
        except RunError as error:
            assert str(file) in str(error)
            refused += 1
        else:
            assert found == content  # white space
    assert refused > 0.85 * len(whole)


def test_a_file_without_checksum_is_refused(tmp_path: Path) -> None:
    """A flipped bit in the checksum's name would otherwise let any other one through."""
    (tmp_path / "file.json").write_text('{"n": 1}')
    with pytest.raises(
        RunError, match=r"file\.json was not written by this program, or is damaged: it has no checksum"
    ):
        read_sealed(tmp_path / "file.json")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1, 2]", b"null", b"[" * 100_000, b'{"n": 1'])
def test_what_is_no_json_object_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.json").write_bytes(content)
    with pytest.raises(RunError, match=r"file\.json (is damaged|was not written by this program)"):
        read_sealed(tmp_path / "file.json")


def test_a_folder_in_its_place_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be read"):
        read_sealed(tmp_path)
