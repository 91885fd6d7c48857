"""A run on disk: what it was asked to do, what it has done, and its tables."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from ripplestats.errors import RunError
from ripplestats.store import schema
from ripplestats.store.atomic import UNFINISHED, remove_unfinished, storing, write_json, write_table

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = "manifest.json"
#: What the first line of a manifest names, so that other people's files are not taken for ours.
FORMAT = "ripplestats run 1"
_SHOWN = 60


@dataclass(frozen=True)
class Run:
    """A run directory. ``definition`` in its manifest is what fixes every number of the effects."""

    path: Path

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest, read anew each time."""
        return _read_manifest(self.path)

    @property
    def complete(self) -> bool:
        """Whether all prompts are done."""
        return bool(self.manifest["completeness"]["complete"])

    def effects(self, columns: Sequence[str] | None = None, where: ds.Expression | None = None) -> "pd.DataFrame":
        """Return the effects as a tidy pandas frame.

        Args:
            columns: only these columns.
            where: a pyarrow expression, such as ``ds.field("layer") == 3``.
        """
        files = self.parts()
        if not files:
            raise RunError(f"{self.path} holds no effects yet")
        tables = [_read_part(file, schema.EFFECTS, columns, where) for file in files]
        return pa.concat_tables(tables).unify_dictionaries().to_pandas()

    def part(self, number: int, columns: Sequence[str] | None = None) -> "pd.DataFrame":
        """Return the effects of one finished part, by its place in ``parts()``."""
        return _read_part(self.parts()[number], schema.EFFECTS, columns).to_pandas()

    def prompts(self) -> "pd.DataFrame":
        """Return the prompts that are done, with what the unmodified model predicts for them."""
        file = self.path / "prompts.parquet"
        return _read_part(file, schema.PROMPTS).to_pandas()

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
            raise RunError(f"{file} is damaged: {str(error).splitlines()[0]}; make it anew with --fit-only") from error

    def parts(self) -> list[Path]:
        """Return the finished parts of the effects, in prompt order."""
        return sorted((self.path / "effects").glob("part-*.parquet"))

    def part_done(self, number: int, n_rows: int) -> bool:
        """Tell whether a part is there, readable and whole."""
        file = self._part("effects", number)
        if not file.exists() or not self._part("clean", number).exists():
            return False
        _check_part(file, schema.EFFECTS)
        return int(pq.read_metadata(file).num_rows) == n_rows

    def write_part(self, number: int, effects: Mapping[str, np.ndarray], clean: Mapping[str, np.ndarray]) -> None:
        """Write one part; the effects last, so that their presence says that all of it is there."""
        write_table(self._part("clean", number), _table(clean, schema.CLEAN))
        write_table(self._part("effects", number), _table(effects, schema.EFFECTS))

    def write_prompts(self, prompts: "pd.DataFrame") -> None:
        """Write prompts.parquet: the prompts of all parts that are done, with their clean columns."""
        import pandas as pd

        done = [
            _read_part(file, schema.CLEAN).to_pandas() for file in sorted((self.path / "clean").glob("part-*.parquet"))
        ]
        if done:
            merged = prompts.merge(pd.concat(done), on="prompt_id", validate="1:1")
            merged = merged.sort_values("prompt_id")[schema.PROMPTS.names]
            write_table(
                self.path / "prompts.parquet", pa.Table.from_pandas(merged, schema.PROMPTS, preserve_index=False)
            )

    def update(self, **entries: Any) -> None:
        """Set entries of the manifest."""
        write_json(self.path / MANIFEST, {**self.manifest, **entries})

    def _part(self, folder: str, number: int) -> Path:
        return self.path / folder / f"part-{number:06d}.parquet"


def open_run(path: str | Path) -> Run:
    """Open a run directory for reading.

    Raises:
        RunError: there is no run, or its manifest is damaged.
    """
    run = Run(Path(path))
    _read_manifest(run.path)
    return run


def start_run(
    path: str | Path, definition: Mapping[str, Any], manifest: Mapping[str, Any], say: Callable[[str], None]
) -> Run:
    """Make a run directory, or take up an interrupted one whose definition is the same.

    Args:
        path: the directory; made if it is not there.
        definition: all that fixes the effects. A run with another definition is refused.
        manifest: the other entries.
        say: is told when an earlier run is taken up.

    Raises:
        RunError: the directory holds something else, or a run with another definition.
        StorageError: it cannot be written.
    """
    run = Run(Path(path))
    plain = json.loads(json.dumps(definition))
    with storing(run.path):
        entries = list(run.path.iterdir()) if run.path.is_dir() else []
        if entries and all(entry.name.startswith(UNFINISHED) for entry in entries):
            remove_unfinished(run.path)  # a start that was killed before its manifest was whole
        occupied = run.path.exists() and (not run.path.is_dir() or any(run.path.iterdir()))
    if occupied and not (run.path / MANIFEST).exists():
        raise RunError(f"--out {run.path} is not empty and holds no run; choose another folder")
    spent = {}
    if occupied:
        _check_same(run, plain)
        remove_unfinished(run.path)
        spent = run.manifest.get("timings", {})
        say(f"taking up the run in {run.path}: {len(run.parts())} parts are there")
    write_json(run.path / MANIFEST, {"format": FORMAT, "definition": plain, **manifest, "timings": spent})
    return run


def _check_same(run: Run, definition: Mapping[str, Any]) -> None:
    before = run.manifest["definition"]
    for name in {**definition, **before}:
        was, now = before.get(name), definition.get(name)
        if was != now:
            if isinstance(was, list) and isinstance(now, list) and len(str(was)) > _SHOWN:
                was, now = ([one for one in mine if one not in other] for mine, other in ((was, now), (now, was)))
            raise RunError(
                f"--out {run.path} holds a run with another {name.replace('_', ' ')} ({_shown(was)}, now {_shown(now)}); "
                "choose another --out, or remove that folder"
            )


def _shown(value: Any) -> str:
    text = (", ".join(map(str, value)) or "none more") if isinstance(value, list) else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}…"


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST
    if not file.is_file():
        raise RunError(f"{path} is not a run directory: it has no {MANIFEST}")
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise RunError(f"{file} is damaged: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT or "definition" not in content:
        raise RunError(f"{file} was not written by this program (its format is not {FORMAT!r})")
    return content


def _table(columns: Mapping[str, np.ndarray], layout: pa.Schema) -> pa.Table:
    arrays = []
    for column in layout:
        array = pa.array(columns[column.name])
        if pa.types.is_dictionary(column.type):
            array = array.cast(pa.string()).dictionary_encode()
        arrays.append(array.cast(column.type))
    return pa.Table.from_arrays(arrays, schema=layout)


def _read_part(
    file: Path, layout: pa.Schema, columns: Sequence[str] | None = None, where: ds.Expression | None = None
) -> pa.Table:
    _check_part(file, layout)
    try:
        return pq.read_table(file, columns=None if columns is None else list(columns), filters=where)
    except (pa.ArrowException, OSError) as error:
        raise RunError(f"{file} is damaged: {str(error).splitlines()[0]}") from error


def _check_part(file: Path, layout: pa.Schema) -> None:
    try:
        found = pq.read_schema(file)
    except (pa.ArrowException, OSError) as error:
        raise RunError(f"{file} is damaged or missing: {str(error).splitlines()[0]}") from error
    if found.names != layout.names:
        raise RunError(f"{file} was not written by this program: its columns are {', '.join(found.names)[:200]}")
