"""What lies in an object store and what in the copy on this machine: brought together by sizes and checksums.

The store is what counts. A shard's tables go there before its record, and the manifest before the first shard and again
at the end, so that what is there is whole at every moment.
"""

import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ripplestats.errors import RunError
from ripplestats.store.atomic import UNFINISHED, remove_unfinished, storing, write_bytes
from ripplestats.store.lock import LOCK, MANIFEST_LOCK
from ripplestats.store.log import LOG, log_event
from ripplestats.store.remote.lease import LEASE, Lease
from ripplestats.store.remote.objects import Objects
from ripplestats.store.run_directory import MANIFEST, read_manifest
from ripplestats.store.shards import (
    RECORDS,
    REMEDY,
    TABLES,
    ShardRecord,
    check_sizes,
    checksum,
    is_shard_name,
    read_record,
    remove_shard,
    shard_names,
)

#: Files of the top folder that are brought here by ways of their own, or are this machine's.
_OWN = (LOCK, MANIFEST_LOCK, MANIFEST, LOG, LEASE)
#: Shards fetched at once: a store answers late rather than slowly.
_AT_ONCE = 8
#: Bytes of each object by the name of its shard, for each folder.
Sizes = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Mirror:
    """A run directory on this machine and the objects that are to be the same; written to only under a lease."""

    objects: Objects
    path: Path
    lease: Lease | None = field(default=None, compare=False)

    def send(self, *names: str) -> None:
        """Send files of the run directory, in this order; one that is not there is passed over.

        Raises:
            StorageError: another process has taken over the run, or the store fails.
        """
        if self.lease is not None:
            self.lease.check()
        for name in names:
            with suppress(FileNotFoundError):
                self.objects.put(name, (self.path / name).read_bytes())

    def send_shard(self, record: ShardRecord) -> None:
        """Send a shard that is whole here, its record last."""
        self.send(*(f"{folder}/{record.name}.parquet" for folder in record.files), f"{RECORDS}/{record.name}.json")

    def send_results(self) -> None:
        """Send all that is not of a shard, the manifest last."""
        files = sorted(file.relative_to(self.path) for file in self.path.rglob("*") if file.is_file())
        results = [
            file.as_posix()
            for file in files
            if file.parts[0] not in (*TABLES, RECORDS, *_OWN) and not file.name.startswith(UNFINISHED)
        ]
        self.send(*results, LOG, MANIFEST)

    def fetch(self, *, tables: bool = True) -> None:
        """Make the run directory what the store has: what is missing or differs is fetched, what is not there removed.

        A shard that is damaged there is said, and sent again where it is whole here; otherwise it is to be computed anew.

        Args:
            tables: whether the shards' tables are fetched, too, or only what tells how far the run is.

        Raises:
            RunError: there is no run but something else, or its manifest is damaged.
            StorageError: the store fails, or the directory cannot be written.
        """
        there = self.objects.entries()
        if MANIFEST not in there:
            if set(there) - {LEASE, LOG}:
                raise RunError(f"--out {self.objects.address} is not empty and holds no run; choose another address")
            with storing(self.path):
                shutil.rmtree(self.path, ignore_errors=True)
            return
        write_bytes(self.path / MANIFEST, self.objects.get(MANIFEST) or b"")
        read_manifest(self.path)
        self._fetch_log()
        sizes = self._sizes()
        with storing(self.path):
            remove_unfinished(self.path)
            for name in set(shard_names(self.path)) - set(sizes[RECORDS]):
                remove_shard(self.path, name)
        if not tables:
            for name in sizes[RECORDS]:
                write_bytes(self.path / RECORDS / f"{name}.json", self.objects.get(f"{RECORDS}/{name}.json") or b"")
            return
        for name in sorted(name for name, size in there.items() if size is not None and name not in _OWN):
            self._fetch_result(name, there[name])
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(lambda name: self._fetch_shard(name, sizes), sorted(sizes[RECORDS])):
                pass

    def damaged(self, *, verify: bool) -> Iterator[str]:
        """Yield a line for each object of a shard that is not what its record says: by size, or by content (``verify``)."""
        sizes = self._sizes()
        for name in shard_names(self.path):
            try:
                record = read_record(self.path, name)
            except RunError:
                yield self._damage(RECORDS, name)
                continue
            for folder, then in record.files.items():
                whole = sizes[folder].get(name) == then.size
                if whole and verify:
                    whole = checksum(self.objects.get(f"{folder}/{name}.parquet") or b"") == then
                if not whole:
                    yield self._damage(folder, name)

    def _damage(self, folder: str, name: str) -> str:
        ending = "json" if folder == RECORDS else "parquet"
        return f"{self.objects.address}/{folder}/{name}.{ending} is missing or damaged; {REMEDY}"

    def _sizes(self) -> Sizes:
        return {
            folder: {
                name.rpartition(".")[0]: size
                for name, size in self.objects.sizes(folder).items()
                if name.endswith(".json" if folder == RECORDS else ".parquet")
                and is_shard_name(name.rpartition(".")[0])
            }
            for folder in (RECORDS, *TABLES)
        }

    def _fetch_log(self) -> None:
        """Take the log that is there, if the one here does not go on from it."""
        there, here = self.objects.get(LOG) or b"", b""
        with suppress(FileNotFoundError):
            here = (self.path / LOG).read_bytes()
        if not here.startswith(there):
            write_bytes(self.path / LOG, there)

    def _fetch_result(self, name: str, size: int | None) -> None:
        """Fetch a file of the analysis; its name, which anybody may have given, is that of a file in the run directory."""
        file = self.path / Path(name).name
        if not file.exists() or file.stat().st_size != size:
            write_bytes(file, self.objects.get(name) or b"")

    def _fetch_shard(self, name: str, sizes: Sizes) -> None:
        """Fetch a shard that is not whole here, and check it against its record."""
        here = self._whole_here(name)
        if here is not None:
            if any(sizes[folder].get(name) != then.size for folder, then in here.files.items()):
                self.objects.say(f"{self.objects.address}: {name} is missing or damaged there")
                if self.lease is not None:
                    self.send_shard(here)
            return
        write_bytes(self.path / RECORDS / f"{name}.json", self.objects.get(f"{RECORDS}/{name}.json") or b"")
        folder = RECORDS
        try:
            for folder, then in read_record(self.path, name).files.items():
                content = self.objects.get(f"{folder}/{name}.parquet") or b""
                if checksum(content) != then:
                    raise RunError(f"{folder}/{name}.parquet is not what its record says")
                write_bytes(self.path / folder / f"{name}.parquet", content)
        except RunError as error:
            line = self._damage(folder, name)
            self.objects.say(f"done anew: {line}")
            log_event(self.path, "damaged", name=name, why=f"{line} ({error})")
            remove_shard(self.path, name)

    def _whole_here(self, name: str) -> ShardRecord | None:
        try:
            record = read_record(self.path, name)
            check_sizes(self.path, record)
        except RunError:
            return None
        return record
