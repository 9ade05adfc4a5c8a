"""Parquet files that nobody vouches for: opened only where they are plain files, and unfolded only as far as memory allows.

A value that repeats takes no room in such a file, so a few kilobytes may unfold to more than any machine has.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

MOST_BYTES = 1 << 32
"""Bytes of memory that the rows read at once may take."""

_ROWS_AT_ONCE = 1 << 10


def check_plain_file(path: Path) -> None:
    """Raise OSError for what is no plain file: opening a pipe would wait for ever, and a device may have no end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(0, "it is no plain file", os.fspath(path))


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a Parquet file, or some of its columns.

    Raises OSError or pa.ArrowException where it cannot be read, ValueError where it unfolds to more than `MOST_BYTES`.
    """
    check_plain_file(path)
    with pq.ParquetFile(path, memory_map=False) as parquet:
        return read_groups(parquet, range(parquet.num_row_groups), columns)


def read_groups(parquet: pq.ParquetFile, groups: Sequence[int], columns: Sequence[str] | None = None) -> pa.Table:
    """Return some row groups, unfolded step by step. Raises ValueError where they hold more than `MOST_BYTES`."""
    batches, size = [], 0
    names = None if columns is None else list(columns)
    for batch in parquet.iter_batches(_ROWS_AT_ONCE, row_groups=list(groups), columns=names, use_threads=False):
        size += batch.nbytes
        if size > MOST_BYTES:
            raise ValueError(f"it unfolds to more than {MOST_BYTES} bytes")
        batches.append(batch)
    schema = parquet.schema_arrow
    if names is not None:
        schema = pa.schema([schema.field(name) for name in names], schema.metadata)
    return pa.Table.from_batches([batch.cast(schema) if batch.schema != schema else batch for batch in batches], schema)
