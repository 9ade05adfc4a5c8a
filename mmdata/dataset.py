"""An open dataset folder: what it says of itself, and random access to its records."""

from __future__ import annotations

import hashlib
import json
import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pyarrow as pa
from pydantic import Field, TypeAdapter, ValidationError

from mmdata.codec import METADATA_MEMBER, Codec
from mmdata.errors import DatasetError
from mmdata.files import digest_of_json
from mmdata.formats import FORMATS, format_of, holds
from mmdata.keys import key_for
from mmdata.parquet import check_plain_file, read_table
from mmdata.record import Record
from mmdata.schema import Schema
from mmdata.shards.index import ShardIndex, index_schema
from mmdata.shards.reader import ShardReader

FORMAT = 1
DESCRIPTION = "dataset.json"
SPLITS = ("train", "val", "test")
SHARD_NAME = re.compile(r"(train|val|test)-([0-9]{6})\.tar")

_Count = Annotated[int, Field(ge=0, le=1 << 44)]
"""So few that their sums over all shards stay far from 64 bits."""
_Split = Annotated[str, Field(pattern=r"^(train|val|test)$")]


class Shard(NamedTuple):
    """One tar of a dataset, as `dataset.json` describes it; a tuple, because a dataset may have a hundred thousand."""

    split: _Split
    file: Annotated[str, Field(pattern=rf"^{SHARD_NAME.pattern}$")]
    records: _Count
    bytes: Annotated[int, Field(ge=0, le=1 << 62)]
    sha256: str

    @property
    def index_file(self) -> str:
        """The path of its index, relative to the dataset folder."""
        return f"index/{Path(self.file).stem}.parquet"


def read_description(out: Path) -> dict[str, Any]:
    """Return the content of `dataset.json`. Raises DatasetError where it is missing, damaged or of another format."""
    path = out / DESCRIPTION
    try:
        check_plain_file(path)
        content = path.read_bytes()
        description = json.loads(content)
    except FileNotFoundError as error:
        hint = "its build did not finish; run it again" if (out / ".build").is_dir() else "is this a dataset folder?"
        raise DatasetError(f"{out}: there is no {DESCRIPTION}: {hint}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: cannot be read ({error})") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise DatasetError(f"{path}: not a dataset of format {FORMAT}")
    if not _checksum_holds(path, content, description):
        raise DatasetError(f"{path}: its checksum differs from its content: it was changed after the build")
    return description


def _checksum_holds(path: Path, content: bytes, description: Mapping[str, Any]) -> bool:
    """Whether the checksum of a description is that of the rest. Raises DatasetError where JSON has no form for it.

    A build writes canonical JSON, whose bytes are hashed as they are; the text of anything else has to be made first.
    """
    checksum = description.get("checksum")
    rest = content.replace(f'"checksum":"{checksum}",'.encode(), b"", 1)
    if hashlib.sha256(rest).hexdigest() == checksum:
        return True
    try:
        return checksum == digest_of_json({name: value for name, value in description.items() if name != "checksum"})
    except ValueError as error:
        raise DatasetError(f"{path}: cannot be read ({error})") from error


@dataclass(frozen=True)
class _Layout:
    """What of `dataset.json` decides which files are read, and how; its checksum proves nothing of who wrote it."""

    schema: Schema
    members: dict[Annotated[str, Field(pattern=r"^([A-Za-z][A-Za-z0-9_]*\.)?[a-z0-9]+$")], str]
    inputs: tuple[str, ...]
    shards: dict[_Split, list[dict[str, Any]]]

    def listed(self) -> Iterator[Shard]:
        """Yield the shards by split. Raises ValidationError where one is not named and counted as a build does it."""
        return (_SHARD.validate_python({"split": split, **one}) for split in SPLITS for one in self.shards.get(split, []))


_LAYOUT, _SHARD = TypeAdapter(_Layout), TypeAdapter(Shard)


def fingerprint_of(identity: Mapping[str, Any], artifacts: Mapping[str, str]) -> str:
    """Return the sha256 of all that decides over the bytes of a dataset: its recipe and rows, and what was learned (by file)."""
    return digest_of_json({"identity": identity, "artifacts": artifacts})


class Dataset:
    """A finished dataset, open for reading. Nothing but `dataset.json` is read until a record is asked for."""

    evictable = False
    """Whether files of the folder may be removed while it is in use: then none is held open longer than it is read."""

    def __init__(self, out: str | Path) -> None:
        self.path = Path(out)
        self.description: Mapping[str, Any] = read_description(self.path)
        try:
            layout = _LAYOUT.validate_python(
                {name: self.description.get(name) for name in ("schema", "members", "inputs", "shards")}
            )
            self.shards = tuple(layout.listed())
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise DatasetError(f"{self.path / DESCRIPTION}: not as a build writes it ({place}: {first['msg']})") from error
        self.schema, self.members, self._inputs = layout.schema, layout.members, layout.inputs
        for extension, name in self.members.items():
            field = self.schema.fields.get(name)
            if field is None or extension.rpartition(".")[2] not in FORMATS or not holds(format_of(extension), field.kind):
                raise DatasetError(f"{self.path / DESCRIPTION}: the member {extension!r} cannot hold the field {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Open the folder anew in another process, rather than send the whole description there."""
        return type(self), (self.path,)

    @property
    def checksum(self) -> str:
        """The sha256 that stands for the whole dataset: it covers the sha256 of every file."""
        return str(self.description["checksum"])

    @cached_property
    def codec(self) -> Codec:
        """The codec that decodes the members of this dataset."""
        members = {extension: (name, format_of(extension)) for extension, name in self.members.items()}
        return Codec(self.schema, members, self._inputs)

    def shards_of(self, split: str) -> tuple[Shard, ...]:
        """The shards of one split, in order. Raises DatasetError for a split that the dataset does not have."""
        found = tuple(shard for shard in self.shards if shard.split == split)
        if not found:
            has = ", ".join(dict.fromkeys(shard.split for shard in self.shards))
            raise DatasetError(f"{self.path}: there is no split {split!r}; it has {has}")
        return found

    def index(self, shard: Shard, columns: list[str] | None = None) -> ShardIndex:
        """Read the index of a shard, or only these columns of it."""
        index = ShardIndex.read(self.path / shard.index_file, columns)
        if len(index) != shard.records:
            raise DatasetError(f"{shard.index_file}: {len(index)} rows, but the dataset has {shard.records} records there")
        wanted = index_schema(self.codec.extensions, self.codec.inputs, self.codec.measures, self.schema.metadata)
        wanted = wanted if columns is None else pa.schema([wanted.field(name) for name in columns])
        if not index.table.schema.equals(wanted) or any(column.null_count for column in index.table.columns):
            raise DatasetError(
                f"{shard.index_file}: its columns are not those of the dataset; run `mmdata validate` on the folder"
            )
        return index

    def open_tar(self, shard: Shard) -> int:
        """Open the tar of a shard and return its file descriptor. Raises OSError where that is not possible."""
        path = self.path / shard.file
        check_plain_file(path)
        return os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))

    def open_shard(self, shard: Shard) -> ShardReader:
        """Open the tar of a shard for random access; close it after use."""
        return ShardReader(self.path / shard.file)

    def rejects(self) -> list[dict[str, Any]]:
        """Return what is in no shard: row, key, kind, stage, reason, detail. Raises DatasetError for a damaged table."""
        path = self.path / "rejects.parquet"
        try:
            rows: list[dict[str, Any]] = read_table(path).to_pylist()
        except (OSError, ValueError, pa.ArrowException) as error:
            raise DatasetError(f"{path}: cannot be read ({error})") from error
        return rows

    def __len__(self) -> int:
        return sum(shard.records for shard in self.shards)

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(shard.records for shard in self.shards))

    def __getitem__(self, position: int) -> Record:
        """Return a record, decoded and with its annotations; positions go through the splits in order."""
        if not 0 <= position < len(self):
            raise IndexError(f"position {position} of a dataset with {len(self)} records")
        number = bisect_right(self._ends, position)
        shard = self.shards[number]
        return self._record(shard, self.index(shard), position - self._ends[number] + shard.records)

    def _record(self, shard: Shard, index: ShardIndex, place: int) -> Record:
        with self.open_shard(shard) as reader:
            payloads = {extension: reader.read(index.members(extension)[place]) for extension in [*self.members, METADATA_MEMBER]}
        return self.codec.decode(payloads, index.column("row")[place])

    def find(self, key: str) -> Record:
        """Return the record with this key, or with this key in the source. Raises DatasetError where there is none."""
        wanted = {key, key_for(key)}
        for shard in self.shards:
            index = self.index(shard)
            for place, found in enumerate(index.column("key")):
                if found in wanted:
                    return self._record(shard, index, place)
        raise DatasetError(f"{self.path}: there is no record with the key {key!r}")

    def payloads(self, split: str | None = None) -> Iterator[dict[str, bytes]]:
        """Yield the payloads of every record by extension, in the order of the shards, undecoded."""
        for shard in self.shards if split is None else self.shards_of(split):
            for _, payloads in self._read(shard):
                yield payloads

    def _read(self, shard: Shard) -> Iterator[tuple[int, dict[str, bytes]]]:
        """Yield the input row and the payloads of every record of a shard."""
        index = self.index(shard)
        places = {extension: index.members(extension) for extension in [*self.members, METADATA_MEMBER]}
        with self.open_shard(shard) as reader:
            for place, row in enumerate(index.column("row")):
                yield row, {extension: reader.read(found[place]) for extension, found in places.items()}

    def __iter__(self) -> Iterator[Record]:
        return (self.codec.decode(payloads, row) for shard in self.shards for row, payloads in self._read(shard))
