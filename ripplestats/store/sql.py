"""SQL on the tables of a run, by DuckDB: reading only, and of nothing but the run.

The parquet files reach DuckDB as Arrow datasets, which it reads piece by piece, with only the columns and rows that a
query needs. They are not opened by DuckDB, so that its own access to files and to the network can be shut off in whole:
no query can read, write, attach or load anything else, whatever its text.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds

from ripplestats.errors import InputError, RunError, first_line
from ripplestats.store import schema
from ripplestats.store.tables import check_layout

if TYPE_CHECKING:
    import pandas as pd

    from ripplestats.store.run_directory import Run

#: Tables that a run has once it has been analysed.
_CSV = ("estimates", "claims", "specifications", "moderators")


def query_run(run: "Run", query: str) -> "pd.DataFrame":
    """Run one SELECT on the tables ``effects`` and ``prompts`` and, where there, those of the analysis.

    Args:
        run: a run with effects.
        query: one statement in DuckDB's dialect.

    Raises:
        InputError: DuckDB is not installed, or the query is none, is not one SELECT, or is wrong.
        RunError: a file of the run is damaged.
    """
    try:
        import duckdb
    except ImportError as error:
        raise InputError("run.sql needs DuckDB: pip install 'ripplestats[sql]'") from error
    tables = _tables(run)
    try:
        with _connection(tables) as connection:
            statements = connection.extract_statements(query)
            if [one.type for one in statements] != [duckdb.StatementType.SELECT]:
                raise InputError(f"sql: exactly one SELECT is allowed, on the tables {', '.join(tables)}")
            frame: pd.DataFrame = connection.execute(statements[0]).df()
            return frame
    except (duckdb.Error, TypeError) as error:  # a text that is no UTF-8 is a wrong type
        raise InputError(f"sql: {first_line(error).rstrip('.')}; the tables are {', '.join(tables)}") from error
    except (pa.ArrowException, OSError) as error:
        raise RunError(f"{run.path} is damaged: {first_line(error)}") from error


def _tables(run: "Run") -> dict[str, Any]:
    """Return what a query may name: datasets, and frames of what the analysis wrote."""
    import pandas as pd

    parts = run.parts()
    if not parts:
        raise RunError(f"{run.path} holds no effects yet")
    prompts = [run.path / "prompts" / part.name for part in parts]
    if not prompts[0].exists():
        prompts = [run.path / "prompts.parquet"]
    tables: dict[str, Any] = {
        "effects": _dataset(parts, schema.EFFECTS),
        "prompts": _dataset(prompts, schema.PROMPTS),
    }
    for name in _CSV:
        file = run.path / f"{name}.csv"
        if file.exists():
            try:
                tables[name] = pd.read_csv(file, dtype={"layer": str, "note": str})
            except ValueError as error:
                raise RunError(f"{file} is damaged: {first_line(error)}; make it anew with --fit-only") from error
    return tables


def _dataset(files: Sequence[Path], layout: pa.Schema) -> ds.Dataset:
    for file in files:
        check_layout(file, layout)
    # DuckDB would make of codes a type of its own, which differs between parts.
    plain = pa.schema(
        [one.with_type(pa.string()) if pa.types.is_dictionary(one.type) else one for one in layout]
    ).remove_metadata()
    return ds.dataset([str(file) for file in files], schema=plain, format="parquet")


@contextmanager
def _connection(tables: dict[str, Any]) -> Iterator[Any]:
    """Open a database in memory that can reach nothing but the tables; large sorts go to a scratch folder."""
    import duckdb

    with tempfile.TemporaryDirectory(prefix="ripplestats-sql-") as scratch, duckdb.connect(":memory:") as connection:
        connection.execute("SET temp_directory = ?", [scratch])
        for name, table in tables.items():
            connection.register(name, table)
        for setting in (
            "python_enable_replacements = false",
            "autoinstall_known_extensions = false",
            "autoload_known_extensions = false",
            "enable_external_access = false",
            "lock_configuration = true",
        ):
            connection.execute(f"SET {setting}")
        yield connection
