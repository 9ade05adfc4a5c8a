"""The index of a shard: one row a record, with the place of every member in the tar and the record's measures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, TypeAdapter

from mmdata.errors import DatasetError, OpenFilesError, says_too_many_files
from mmdata.parquet import check_plain_file, read_table
from mmdata.record import RejectKind
from mmdata.schema import ScalarName

_TYPES: dict[str, pa.DataType] = {
    "str": pa.string(),
    "json": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
}
_INFO_KEY = b"mmdata"
_REJECTS_KEY = b"mmdata.rejects"
_DAMAGE = (pa.ArrowException, OSError, KeyError, TypeError, ValueError, OverflowError, RecursionError)


_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A sha256 in hexadecimal. Files are named after some, so what an index says is held to this form."""


@dataclass(frozen=True)
class ShardInfo:
    """What an index says of its shard.

    `task` is the digest of what it is made of: rows, recipe, and what was learned; `recipe` and `artifacts` (file to sha256) name
    the latter two by themselves. Then records, size and sha256 of the tar, and the digest of what the index itself holds.
    """

    task: _Digest
    recipe: str
    artifacts: Mapping[str, str]
    records: int
    bytes: int
    sha256: str
    content: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""


@dataclass(frozen=True)
class ShardReject:
    """A row of the task, or a record of it, that is not in the shard: why, and what the row was made of.

    `source_key` names the row, `key` what was turned away. `digest` and `files` are empty where no digest may be kept.
    """

    source_key: str
    digest: str
    files: Mapping[str, str]
    key: str
    kind: RejectKind
    stage: str
    reason: str
    detail: str


_INFO, _REJECTED = TypeAdapter(ShardInfo), TypeAdapter(list[ShardReject])


@dataclass(frozen=True)
class Member:
    """Where a payload stands in a tar: byte offset, size in bytes, and zlib's crc32."""

    offset: int
    size: int
    crc32: int


def index_schema(
    extensions: Sequence[str], inputs: Sequence[str], measures: Mapping[str, ScalarName], metadata: Mapping[str, ScalarName]
) -> pa.Schema:
    """Return the columns of an index whose records have these members, raw inputs, measures (`FIELD.MEASURE`) and metadata."""
    columns = [("key", pa.string()), ("row", pa.int64()), ("source_key", pa.string())]
    columns += [(name, pa.string()) for name in ("split", "group", "input.digest")]
    columns += [(f"input.{name}.sha256", pa.string()) for name in inputs]
    for extension in extensions:
        columns += [(f"{extension}.offset", pa.int64()), (f"{extension}.size", pa.int64()), (f"{extension}.crc32", pa.uint32())]
    columns += [(name, _TYPES[type_]) for name, type_ in measures.items()]
    columns += [(f"metadata.{name}", _TYPES[type_]) for name, type_ in metadata.items()]
    return pa.schema(columns)


def write_index(table: pa.Table, info: ShardInfo, rejects: Sequence[ShardReject] = ()) -> bytes:
    """Return the Parquet file of an index; the same rows give the same bytes."""
    said = {
        _INFO_KEY: asdict(replace(info, content=_content_digest(table, rejects))),
        _REJECTS_KEY: [asdict(one) for one in rejects],
    }
    return parquet_bytes(table.replace_schema_metadata({key: json.dumps(value, sort_keys=True) for key, value in said.items()}))


def _content_digest(table: pa.Table, rejects: Sequence[ShardReject]) -> str:
    """Return the sha256 of all but the numbers of the rows in the source, which change with the rows before."""
    digest = hashlib.sha256(json.dumps([asdict(one) for one in rejects], sort_keys=True).encode())
    for name in table.column_names:
        if name != "row":
            digest.update(json.dumps([name, table.column(name).to_pylist()]).encode())
    return digest.hexdigest()


def parquet_bytes(table: pa.Table) -> bytes:
    """Return a table as a Parquet file, with every setting that shapes its bytes written out."""
    sink = BytesIO()
    pq.write_table(table, sink, compression="zstd", compression_level=3, version="2.6", row_group_size=1 << 16)
    return sink.getvalue()


def _info(schema: pa.Schema) -> ShardInfo:
    """Return what an index says of its shard. Raises one of `_DAMAGE` where it does not."""
    return _INFO.validate_json(schema.metadata[_INFO_KEY], strict=True)


class ShardIndex:
    """The index of one shard, read into memory."""

    def __init__(self, table: pa.Table, info: ShardInfo, rejects: Sequence[ShardReject]) -> None:
        self.table = table
        self.info = info
        self.rejects = rejects

    @classmethod
    def read(cls, path: Path, columns: list[str] | None = None) -> ShardIndex:
        """Read an index file, or only these columns of it, without its rejects.

        Raises DatasetError where it is missing or damaged, or lacks a column, OpenFilesError where no file can be opened.
        """
        try:
            table = read_table(path, columns)
            table.validate(full=True)  # else a text that is no UTF-8 is found where it is used
            info = _info(table.schema)
            rejects = [] if columns else _REJECTED.validate_json(table.schema.metadata[_REJECTS_KEY])
        except FileNotFoundError as error:
            raise DatasetError(f"{path}: the index of this shard is missing; build the folder again to repair it") from error
        except _DAMAGE as error:
            if says_too_many_files(error):
                raise OpenFilesError(path) from error
            raise DatasetError(f"{path}: the index of this shard is damaged ({error})") from error
        return cls(table, info, rejects)

    @staticmethod
    def read_info(path: Path) -> ShardInfo | None:
        """Return only what an index file says of its tar; None where the file is missing or damaged."""
        try:
            check_plain_file(path)
            return _info(pq.read_schema(path))
        except _DAMAGE:
            return None

    @property
    def is_whole(self) -> bool:
        """Whether the index still holds what was written to it."""
        return self.info.content == _content_digest(self.table, self.rejects)

    def numbered(self, rows: Mapping[str, int]) -> ShardIndex:
        """Return the index with the numbers that rows, by their keys in the source, have now; itself where it has them."""
        numbers = [rows[key] for key in self.column("source_key")]
        if numbers == self.column("row"):
            return self
        place = self.table.column_names.index("row")
        return ShardIndex(self.table.set_column(place, "row", pa.array(numbers, pa.int64())), self.info, self.rejects)

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
