"""The record of a shard: one small file that is written last, says that the shard is whole, and holds its checksums.

A shard is ``effects/NAME.parquet``, ``prompts/NAME.parquet`` and ``shards/NAME.json``. Without the record it is rubbish of
a process that was killed. One record a shard, and not one index, because records need no process to wait for another.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ripplestats.errors import RunError
from ripplestats.store import schema
from ripplestats.store.atomic import write_bytes
from ripplestats.store.sealed import read_sealed, write_sealed
from ripplestats.store.tables import make_table, table_bytes

FORMAT = "ripplestats shard 1"
#: Folders of a shard's two tables.
EFFECTS, PROMPTS = "effects", "prompts"
TABLES = (EFFECTS, PROMPTS)
#: And of its record.
RECORDS = "shards"
_FOOTER_LENGTH = 8
_NAME = re.compile(r"part-\d{6,}(-[0-9a-f]{12})?")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def shard_name(number: int, key: str = "") -> str:
    """Return the name of a shard's files: its place in the order of the prompts, and the first letters of its key."""
    return f"part-{number:06d}-{key[:12]}" if key else f"part-{number:06d}"


@dataclass(frozen=True)
class Checksum:
    """What a file was when it was written; ``footer`` is the SHA-256 of a parquet file's own directory."""

    size: int
    sha256: str
    footer: str


@dataclass(frozen=True)
class ShardRecord:
    """A finished shard: how much is in it, the key of what defines it, and the checksums of its tables."""

    name: str
    key: str
    n_prompts: int
    n_rows: int
    files: Mapping[str, Checksum]

    @property
    def number(self) -> int:
        """Its place in the order of the prompts."""
        return int(self.name.split("-")[1])


@dataclass(frozen=True)
class EncodedShard:
    """The two tables of a shard as parquet files, by folder, and how much is in them."""

    n_prompts: int
    n_rows: int
    tables: Mapping[str, bytes]


def encode_shard(effects: Mapping[str, Any], prompts: Mapping[str, Any]) -> EncodedShard:
    """Encode columns of ``schema.EFFECTS`` and ``schema.PROMPTS`` as they lie on disk."""
    tables = {PROMPTS: make_table(prompts, schema.PROMPTS), EFFECTS: make_table(effects, schema.EFFECTS)}
    return EncodedShard(
        tables[PROMPTS].num_rows,
        tables[EFFECTS].num_rows,
        {folder: table_bytes(table) for folder, table in tables.items()},
    )


def write_shard(path: Path, record_of: Mapping[str, Any], tables: Mapping[str, bytes]) -> ShardRecord:
    """Write the tables of a shard and then its record.

    Args:
        path: the run directory.
        record_of: ``name``, ``key``, ``n_prompts`` and ``n_rows`` of the record.
        tables: the parquet files by folder.

    Raises:
        StorageError: the disk is full or not writable.
    """
    record = ShardRecord(**record_of, files={folder: checksum(content) for folder, content in tables.items()})
    for folder, content in tables.items():
        write_bytes(path / folder / f"{record.name}.parquet", content)
    write_sealed(_record_file(path, record.name), {"format": FORMAT, **asdict(record)})
    return record


def shard_names(path: Path) -> list[str]:
    """Return the names of all shards with a record, in prompt order."""
    return sorted(file.stem for file in (path / RECORDS).glob("part-*.json"))


def is_shard_name(name: str) -> bool:
    """Tell whether a name is one that shards have; no other may become a path."""
    return _NAME.fullmatch(name) is not None


def read_record(path: Path, name: str) -> ShardRecord:
    """Read the record of a shard.

    Raises:
        RunError: it is missing, damaged or not ours.
    """
    file = _record_file(path, name)
    try:
        return _parsed(name, read_sealed(file))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{file} is damaged: {error}") from error


def check_sizes(path: Path, record: ShardRecord) -> None:
    """Refuse a shard whose files have another size or another directory than when they were written.

    Raises:
        RunError: the first file that differs.
    """
    for folder, then in record.files.items():
        file = path / folder / f"{record.name}.parquet"
        try:
            size = file.stat().st_size
            footer = _footer_of(file, size) if size == then.size else ""
        except OSError as error:
            raise RunError(f"{file} is missing or cannot be read: {error.strerror}; {REMEDY}") from error
        if size != then.size:
            raise RunError(f"{file} is damaged: it has {size} bytes, not {then.size}; {REMEDY}")
        if footer != then.footer:
            raise RunError(f"{file} is damaged: its directory is not the one that was written; {REMEDY}")


def check_content(path: Path, record: ShardRecord) -> None:
    """Refuse a shard of whose files any bit differs from what was written.

    Raises:
        RunError: the first file that differs.
    """
    check_sizes(path, record)
    for folder, then in record.files.items():
        file = path / folder / f"{record.name}.parquet"
        try:
            with file.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise RunError(f"{file} is missing or cannot be read: {error.strerror}; {REMEDY}") from error
        if found != then.sha256:
            raise RunError(f"{file} is damaged: its SHA-256 is not the one that was written; {REMEDY}")


def remove_shard(path: Path, name: str) -> None:
    """Remove a shard, its record first."""
    _record_file(path, name).unlink(missing_ok=True)
    for folder in TABLES:
        (path / folder / f"{name}.parquet").unlink(missing_ok=True)


def remove_unrecorded(path: Path) -> None:
    """Remove tables that a killed process wrote without coming to their record."""
    known = set(shard_names(path))
    for folder in TABLES:
        for file in (path / folder).glob("part-*.parquet"):
            if file.stem not in known:
                file.unlink(missing_ok=True)


def checksum(content: bytes) -> Checksum:
    """Return the checksums of a parquet file's content."""
    footer = content[-_footer_bytes(content[-_FOOTER_LENGTH:]) :]
    return Checksum(len(content), hashlib.sha256(content).hexdigest(), hashlib.sha256(footer).hexdigest())


REMEDY = "the command that made the run does this part anew"


def _record_file(path: Path, name: str) -> Path:
    return path / RECORDS / f"{name}.json"


def _footer_bytes(tail: bytes) -> int:
    """Return how many bytes at the end of a parquet file are its directory, from the last eight."""
    return int.from_bytes(tail[:4], "little") + _FOOTER_LENGTH


def _footer_of(file: Path, size: int) -> str:
    with file.open("rb") as stream:
        stream.seek(max(size - _FOOTER_LENGTH, 0))
        stream.seek(max(size - _footer_bytes(stream.read()), 0))
        return hashlib.sha256(stream.read()).hexdigest()


def _parsed(name: str, content: dict[str, Any]) -> ShardRecord:
    if content.get("format") != FORMAT:
        raise ValueError(f"its format is not {FORMAT!r}")
    if content["name"] != name or not is_shard_name(name):
        raise ValueError("it is the record of another shard")
    written = content["files"]
    if not isinstance(written, dict) or set(written) != set(TABLES):
        raise ValueError("its files are not those of a shard")
    numbers = [content["n_prompts"], content["n_rows"], *(one["size"] for one in written.values())]
    digests = [text for one in written.values() for text in (one["sha256"], one["footer"])]
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError("its figures are not those of a shard")
    if not all(isinstance(text, str) and _DIGEST.fullmatch(text) for text in digests):
        raise ValueError("a checksum is not one")
    files = {folder: Checksum(**one) for folder, one in written.items()}
    return ShardRecord(name, str(content["key"]), content["n_prompts"], content["n_rows"], files)
