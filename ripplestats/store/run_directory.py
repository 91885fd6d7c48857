"""A run on disk: what it was asked to do, what it has done, and its tables."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from ripplestats.config import METRICS, is_address, local_path
from ripplestats.errors import RunError, first_line
from ripplestats.store import schema
from ripplestats.store.lock import manifest_locked
from ripplestats.store.log import log_event, read_log
from ripplestats.store.sealed import read_sealed, write_sealed
from ripplestats.store.shards import (
    EFFECTS,
    PROMPTS,
    EncodedShard,
    ShardRecord,
    check_sizes,
    encode_shard,
    read_record,
    shard_name,
    shard_names,
    write_shard,
)
from ripplestats.store.tables import check_layout, read_part, write_table

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = "manifest.json"
#: The prompts of all shards in one file.
GATHERED = "prompts.parquet"
#: What the first line of a manifest names, so that other people's files are not taken for ours.
FORMAT = "ripplestats run 1"
#: What a manifest must have for a run to be read or taken up.
_ENTRIES: dict[str, dict[str, type]] = {
    "definition": {},
    "completeness": {"complete": bool, "prompts_done": int, "prompts": int},
}


@dataclass(frozen=True)
class Run:
    """A run directory. ``definition`` in its manifest is what fixes every number of the effects.

    Examples:
        With a run of sixteen prompts:

        >>> rs.open_run("runs/example").sql("select count(*) as rows, max(layer) as last from effects")
           rows  last
        0   960     2
    """

    path: Path

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest, read anew each time."""
        return read_manifest(self.path)

    @property
    def complete(self) -> bool:
        """Whether all prompts are done, or as many as the rule that stopped the run asked for."""
        return bool(self.manifest["completeness"]["complete"])

    @property
    def metrics(self) -> tuple[str, ...]:
        """The outcome columns that were recorded (earlier runs recorded all, and do not say so)."""
        names = self.manifest["definition"].get("metrics", METRICS)
        return tuple(METRICS[name] for name in names)

    def effects(self, columns: Sequence[str] | None = None, where: ds.Expression | None = None) -> "pd.DataFrame":
        """Return the effects as a tidy pandas frame.

        Args:
            columns: only these columns.
            where: a pyarrow expression, such as ``ds.field("layer") == 3``.
        """
        files = self.parts()
        if not files:
            raise RunError(f"{self.path} holds no effects yet")
        tables = [read_part(file, schema.EFFECTS, columns, where) for file in files]
        return pa.concat_tables(tables).unify_dictionaries().to_pandas()

    def part(self, number: int, columns: Sequence[str] | None = None) -> "pd.DataFrame":
        """Return the effects of one finished part, by its place in ``parts()``."""
        return read_part(self.parts()[number], schema.EFFECTS, columns).to_pandas()

    def part_table(self, file: Path, columns: Sequence[str]) -> pa.Table:
        """Return columns of one of ``parts()`` as an Arrow table: names stay codes, and nothing is converted."""
        return read_part(file, schema.EFFECTS, columns)

    def prompts(self) -> "pd.DataFrame":
        """Return the prompts that are done, with what the unmodified model predicts for them."""
        file = self.path / GATHERED
        if self._prompt_parts() and not self._gathered(file):
            return self._gather_prompts().to_pandas()
        return read_part(file, schema.PROMPTS).to_pandas()

    def estimates(self) -> "pd.DataFrame":
        """Return the estimates.

        Raises:
            RunError: the run has not been analysed yet.
        """
        import pandas as pd

        file = self.path / "estimates.csv"
        if not file.exists():
            raise RunError(f"{self.path} has no estimates.csv yet; run with --fit-only --out {self.path}")
        try:
            return pd.read_csv(file, dtype={"layer": str, "note": str})
        except ValueError as error:
            raise RunError(f"{file} is damaged: {first_line(error)}; make it anew with --fit-only") from error

    def sql(self, query: str) -> "pd.DataFrame":
        """Return the answer to one SQL query on the tables ``effects``, ``prompts`` and those of the analysis.

        Raises:
            InputError: DuckDB is not installed, or the query is wrong or does more than read.
        """
        from ripplestats.store.sql import query_run

        return query_run(self, query)

    def push_to_hub(self, name: str, *, private: bool = False) -> str:
        """Push the run to the hub as the dataset ``owner/name``, with a data card; return its address.

        Raises:
            InputError: the name is not allowed, or there is no token.
            HubError: the hub cannot be reached, refuses, or fails on the way.
        """
        from ripplestats.store.export import push_to_hub

        return push_to_hub(self, name, private=private)

    def parts(self) -> list[Path]:
        """Return the finished parts of the effects, in prompt order."""
        if (self.path / "shards").is_dir():
            return self._files(EFFECTS)
        return sorted((self.path / EFFECTS).glob("part-*.parquet"))  # a run from before shards had records

    def records(self) -> list[ShardRecord]:
        """Return the records of the finished shards, in prompt order.

        Raises:
            RunError: a record is damaged.
        """
        return [read_record(self.path, name) for name in shard_names(self.path)]

    def write_part(
        self, number: int, effects: Mapping[str, Any], prompts: Mapping[str, Any], *, key: str = ""
    ) -> ShardRecord:
        """Write one part; its record last, whose presence says that all of it is there.

        Args:
            number: its place in the order of the prompts.
            effects: columns of ``schema.EFFECTS``.
            prompts: columns of ``schema.PROMPTS``, one row a prompt.
            key: of what defines its numbers, in hexadecimal.

        Raises:
            StorageError: the disk is full or not writable.
        """
        return self.write_encoded(number, encode_shard(effects, prompts), key=key)

    def write_encoded(self, number: int, shard: EncodedShard, *, key: str = "") -> ShardRecord:
        """Write one part whose tables are encoded already, as ``write_part`` does.

        Raises:
            StorageError: the disk is full or not writable.
        """
        about = {"name": shard_name(number, key), "key": key, "n_prompts": shard.n_prompts, "n_rows": shard.n_rows}
        return write_shard(self.path, about, shard.tables)

    def write_prompts(self) -> None:
        """Gather prompts.parquet from the parts that are done."""
        if self._prompt_parts():
            write_table(self.path / GATHERED, self._gather_prompts())

    def update(self, **entries: Any) -> None:
        """Set entries of the manifest."""
        with manifest_locked(self.path):
            write_sealed(self.path / MANIFEST, {**self.manifest, **entries})

    def keeping_results(self) -> "AbstractContextManager[Run]":
        """Give the run to an analysis, which writes its results into it."""
        return nullcontext(self)

    def log(self, event: str, /, **fields: Any) -> None:
        """Append an event to ``log.jsonl``."""
        log_event(self.path, event, **fields)

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events of ``log.jsonl``, oldest first."""
        return read_log(self.path)

    def _files(self, folder: str) -> list[Path]:
        return [self.path / folder / f"{name}.parquet" for name in shard_names(self.path)]

    def _prompt_parts(self) -> list[Path]:
        return self._files(PROMPTS)

    def _gather_prompts(self) -> pa.Table:
        return pa.concat_tables([read_part(file, schema.PROMPTS) for file in self._prompt_parts()])

    def _gathered(self, file: Path) -> bool:
        """Tell whether prompts.parquet has the prompts of all parts; a killed process leaves it behind them."""
        if not file.exists():
            return False
        check_layout(file, schema.PROMPTS)
        return int(pq.read_metadata(file).num_rows) == sum(record.n_prompts for record in self.records())


def open_run(path: str | Path) -> Run:
    """Open a run directory for reading, or a run in an object store, whose files are fetched into a copy.

    Raises:
        RunError: there is no run, or its manifest or a part of it is damaged.
        StorageError: the store fails.

    Examples:
        With a run of sixteen prompts:

        >>> run = rs.open_run("runs/example")
        >>> run.effects(["arm", "delta_logprob"]).groupby("arm").mean().round(3)
                delta_logprob
        arm
        top             2.514
        random          0.241
    """
    if is_address(path):
        from ripplestats.store.remote.working_copy import open_remote

        run: Run = open_remote(str(path))
    else:
        run = Run(local_path(path))
    read_manifest(run.path)
    for record in run.records():
        check_sizes(run.path, record)
    return run


def check_name(path: Path) -> None:
    """Refuse a folder whose name pyarrow could not open.

    Raises:
        RunError: the name holds bytes that are no UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise RunError(
            f"--out {str(path)!a}: its name is not UTF-8, which parquet files need; choose another folder"
        ) from error


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest of a run directory.

    Raises:
        RunError: there is none, or it is damaged or not ours.
    """
    check_name(path)
    file = path / MANIFEST
    try:
        content = read_sealed(file)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunError(f"{path} is not a run directory: it has no {MANIFEST}") from error
    if content.get("format") != FORMAT:
        raise RunError(f"{file} was not written by this program (its format is not {FORMAT!r})")
    for entry, kinds in _ENTRIES.items():
        if not isinstance(content.get(entry), dict):
            raise RunError(f"{file} is damaged: it has no {entry}")
        for name, kind in kinds.items():
            if type(content[entry].get(name)) is not kind:
                raise RunError(f"{file} is damaged: {name} of its {entry} is not a {kind.__name__}")
    return content
