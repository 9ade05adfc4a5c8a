"""Tells tables that cannot be true before they are read."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq


def check_rows(path: Path) -> None:
    """Raise ValueError where a Parquet file says that it has more rows than bytes; pyarrow's errors where it cannot be read.

    A value that repeats takes no room, so a few kilobytes may stand for more rows than any memory holds. But numbers of rows,
    keys and checksums differ from row to row: real tables take more than a byte for each.
    """
    size, rows = path.stat().st_size, pq.read_metadata(path, memory_map=False).num_rows
    if rows > size:
        raise ValueError(f"it says that it holds {rows} rows in {size} bytes; a row takes more than a byte")
