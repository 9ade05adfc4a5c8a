"""Rows of a Parquet file, its row groups read when they are needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmdata.errors import RecordError, SourceError
from mmdata.parquet import read_groups
from mmdata.sources.raw_file import RawFile

_FEW_ROWS = 1 << 20


class ParquetTable:
    """The rows of all row groups. The latest group is kept, so reading in order reads each group once."""

    def __init__(self, raw: RawFile) -> None:
        """Read the footer. Raises SourceError where the file is damaged or not Parquet."""
        self._raw = raw
        try:
            self._parquet = pq.ParquetFile(raw.file)
            metadata = self._parquet.metadata
            counts = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
            self.columns = tuple(self._parquet.schema_arrow.names)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise SourceError(f"{raw.name}: is no readable Parquet file: {error}") from error
        # Rows that differ take a byte each at least; a footer can promise any number.
        if min(counts, default=0) < 0 or sum(counts) > _FEW_ROWS + raw.size:
            raise SourceError(f"{raw.name}: is no readable Parquet file: {sum(counts)} rows cannot stand in {raw.size} bytes")
        self._bounds = np.cumsum([0, *counts])
        self._latest: tuple[int, list[pa.ChunkedArray]] | None = None

    def __len__(self) -> int:
        return int(self._bounds[-1])

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return one row: numbers, texts, bytes, lists and dicts, None for null. Raises RecordError where it is damaged."""
        number = int(np.searchsorted(self._bounds, index, side="right")) - 1
        try:
            place = index - int(self._bounds[number])
            return {name: column[place].as_py() for name, column in zip(self.columns, self._group(number), strict=True)}
        except UnicodeDecodeError as error:
            raise RecordError("row is not UTF-8", f"row {index} of the manifest: {error.reason}") from error
        except (pa.ArrowException, OSError, ValueError, OverflowError, IndexError) as error:
            raise RecordError("row cannot be read", f"row group {number} of the manifest: {error}") from error

    def _group(self, number: int) -> list[pa.ChunkedArray]:
        if self._latest is None or self._latest[0] != number:
            self._latest = None  # frees the group before, so that two never stand in memory
            self._latest = number, read_groups(self._parquet, [number]).columns
        return self._latest[1]
