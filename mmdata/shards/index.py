"""The index of a shard: one row a record, with the place of every member in the tar and the record's measures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmdata.errors import DatasetError
from mmdata.schema import ScalarName

_TYPES: dict[str, pa.DataType] = {
    "str": pa.string(),
    "json": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
}
_METADATA_KEY = b"mmdata"


@dataclass(frozen=True)
class ShardInfo:
    """What the index file says of its tar: the task that made it, the build it belongs to, its records, size and sha256."""

    task: str
    fingerprint: str
    records: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Member:
    """Where a payload stands in a tar: byte offset, size in bytes, and zlib's crc32."""

    offset: int
    size: int
    crc32: int


def index_schema(extensions: Sequence[str], measures: Mapping[str, ScalarName], metadata: Mapping[str, ScalarName]) -> pa.Schema:
    """Return the columns of an index whose records have these members, measures (`FIELD.MEASURE`) and metadata."""
    columns = [("key", pa.string()), ("row", pa.int64()), ("split", pa.string()), ("group", pa.string())]
    for extension in extensions:
        columns += [(f"{extension}.offset", pa.int64()), (f"{extension}.size", pa.int64()), (f"{extension}.crc32", pa.uint32())]
    columns += [(name, _TYPES[type_]) for name, type_ in measures.items()]
    columns += [(f"metadata.{name}", _TYPES[type_]) for name, type_ in metadata.items()]
    return pa.schema(columns)


def write_index(rows: Sequence[Mapping[str, Any]], schema: pa.Schema, info: ShardInfo) -> bytes:
    """Return the Parquet file of an index; the same rows give the same bytes."""
    table = pa.Table.from_pylist(list(rows), schema=schema)
    return parquet_bytes(table.replace_schema_metadata({_METADATA_KEY: json.dumps(asdict(info), sort_keys=True)}))


def parquet_bytes(table: pa.Table) -> bytes:
    """Return a table as a Parquet file, with every setting that shapes its bytes written out."""
    sink = BytesIO()
    pq.write_table(table, sink, compression="zstd", compression_level=3, version="2.6", row_group_size=1 << 16)
    return sink.getvalue()


class ShardIndex:
    """The index of one shard, read into memory."""

    def __init__(self, table: pa.Table, info: ShardInfo) -> None:
        self.table = table
        self.info = info

    @classmethod
    def read(cls, path: Path, columns: list[str] | None = None) -> ShardIndex:
        """Read an index file, or only these columns of it. Raises DatasetError where it is missing or damaged, or lacks one."""
        try:
            table = pq.read_table(path, memory_map=False, columns=columns)
            table = table if columns is None else table.select(columns)  # what is not there is left out by the line above
            info = ShardInfo(**json.loads(table.schema.metadata[_METADATA_KEY]))
        except FileNotFoundError as error:
            raise DatasetError(f"{path}: the index of this shard is missing; build the folder again to repair it") from error
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            raise DatasetError(f"{path}: the index of this shard is damaged ({error})") from error
        return cls(table, info)

    @staticmethod
    def read_info(path: Path) -> ShardInfo | None:
        """Return only what an index file says of its tar; None where the file is missing or damaged."""
        try:
            return ShardInfo(**json.loads(pq.read_schema(path).metadata[_METADATA_KEY]))
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
            return None

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str) -> list[Any]:
        """Return one column as a list."""
        values: list[Any] = self.table.column(name).to_pylist()
        return values

    def members(self, extension: str) -> list[Member]:
        """Return where the members of this extension stand, one a record."""
        parts = (self.column(f"{extension}.{part}") for part in ("offset", "size", "crc32"))
        return [Member(offset, size, crc32) for offset, size, crc32 in zip(*parts, strict=True)]
