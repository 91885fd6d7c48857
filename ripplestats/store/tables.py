"""Parquet tables of a run: written with a checksum of each page, read only where they are whole and ours."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from ripplestats.errors import RunError, first_line
from ripplestats.store.atomic import write_bytes


def make_table(columns: Mapping[str, Any], layout: pa.Schema) -> pa.Table:
    """Put columns into the types of a layout; a number that does not fit its column is an error.

    A nullable column that is not given is null.
    """
    arrays: list[pa.Array] = []
    n_rows = len(next(iter(columns.values())))
    for column in layout:
        if column.nullable and column.name not in columns:
            arrays.append(pa.nulls(n_rows, column.type))
            continue
        array = pa.array(columns[column.name])
        if pa.types.is_dictionary(column.type):
            array = array.cast(pa.string()).dictionary_encode()
        arrays.append(array.cast(column.type))
    return pa.Table.from_arrays(arrays, schema=layout)


def table_bytes(table: pa.Table) -> bytes:
    """Return a table as a parquet file whose pages carry checksums."""
    buffer = io.BytesIO()
    # Outcomes have nearly as many values as rows: a dictionary of them only makes the file larger and slower.
    repeated = [column.name for column in table.schema if column.type != pa.float32()]
    pq.write_table(table, buffer, compression="zstd", use_dictionary=repeated, write_page_checksum=True)
    return buffer.getvalue()


def write_table(path: Path, table: pa.Table) -> None:
    """Write a parquet file atomically."""
    write_bytes(path, table_bytes(table))


def read_part(
    file: Path, layout: pa.Schema, columns: Sequence[str] | None = None, where: ds.Expression | None = None
) -> pa.Table:
    """Read a table of a layout.

    Raises:
        RunError: the file is missing or damaged, or has other columns.
    """
    try:
        if where is None:  # without the machinery for filters, which costs more than a small file
            with pa.OSFile(str(file)) as stream, pq.ParquetFile(stream, page_checksum_verification=True) as opened:
                _check_columns(file, opened.schema_arrow, layout)
                return opened.read(None if columns is None else list(columns), use_threads=False)
        check_layout(file, layout)
        return pq.read_table(
            file, columns=None if columns is None else list(columns), filters=where, page_checksum_verification=True
        )
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise RunError(f"{file} is damaged or missing: {first_line(error)}") from error


def stored_columns(file: Path, columns: Sequence[str]) -> bytes:
    """Return columns as they are stored, compressed: where these bytes are the same in two files, so are the values.

    Raises:
        RunError: the file is missing or damaged, or lacks a column.
    """
    try:
        with pa.OSFile(str(file)) as stream, pq.ParquetFile(stream) as opened:
            metadata = opened.metadata
            places = [metadata.schema.names.index(name) for name in columns]
            chunks = [metadata.row_group(group).column(i) for group in range(metadata.num_row_groups) for i in places]
            return b"".join(_stored_chunk(stream, chunk) for chunk in chunks)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise RunError(f"{file} is damaged or missing: {first_line(error)}") from error


def _stored_chunk(stream: pa.NativeFile, chunk: pq.ColumnChunkMetaData) -> bytes:
    begin = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
    return bytes(stream.read_at(min(chunk.total_compressed_size, stream.size()), begin))


def check_layout(file: Path, layout: pa.Schema) -> None:
    """Refuse a file that is no parquet file or has other columns, by its footer alone.

    Raises:
        RunError: the file is missing or damaged, or has other columns.
    """
    try:
        found = pq.read_schema(file)
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise RunError(f"{file} is damaged or missing: {first_line(error)}") from error
    _check_columns(file, found, layout)


def _check_columns(file: Path, found: pa.Schema, layout: pa.Schema) -> None:
    if found.names != layout.names:
        raise RunError(f"{file} was not written by this program: its columns are {', '.join(found.names)[:200]}")
    for column, wanted in zip(found, layout, strict=True):
        if column.type != wanted.type:
            raise RunError(
                f"{file} was not written by this program: its column {column.name} is {column.type}, not {wanted.type}"
            )
