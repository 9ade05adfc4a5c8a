"""Reads the Parquet tables of a dataset folder: indexes and rejects.

A few kilobytes of Parquet can stand for terabytes: a value is stored once however often it comes, and pages are compressed.
So what a table will take in memory is found out before it is made.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_TYPES = frozenset([pa.string(), pa.int64(), pa.uint32(), pa.float64(), pa.bool_()])
_MOST_ROWS = 4
"""Rows a byte of the file. No build comes near: numbers of rows that all differ take more than a byte each."""
_MOST_GROWTH = 1000
_ALWAYS_ALLOWED = 1 << 26


def read_table(path: Path) -> pa.Table:
    """Return the table in a file.

    Raises ValueError for columns of types that no table of a dataset has, and for a table that would take so much more memory
    than its file that no build has written it; OSError and pyarrow's errors for a file that cannot be read.
    """
    size = path.stat().st_size
    most = max(_ALWAYS_ALLOWED, _MOST_GROWTH * size)
    metadata = pq.read_metadata(path, memory_map=False)
    schema = metadata.schema.to_arrow_schema()
    if odd := [field for field in schema if field.type not in _TYPES]:
        raise ValueError(f"the column {odd[0].name!r} is of type {odd[0].type}, which no table of a dataset has")
    unpacked = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    if metadata.num_rows > _MOST_ROWS * size or unpacked > most:
        raise ValueError(f"{metadata.num_rows} rows and {unpacked} bytes are said to be packed in {size} bytes; that cannot be")
    strings = [field.name for field in schema if field.type == pa.string()]
    with pq.ParquetFile(path, metadata=metadata, memory_map=False, read_dictionary=strings) as file:
        packed = file.read()
    if (wanted := sum(_characters(packed.column(name)) for name in strings)) > most:
        raise ValueError(f"its texts would take {wanted} bytes, though the file has {size}; that cannot be")
    return packed.cast(schema.with_metadata(packed.schema.metadata))


def _characters(column: pa.ChunkedArray) -> int:
    """Return how many bytes the texts of a column take, each counted as often as it comes."""
    lengths = (pc.sum(pc.binary_length(chunk.dictionary).take(chunk.indices)).as_py() or 0 for chunk in column.chunks)
    return sum(lengths)
