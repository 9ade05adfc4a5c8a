"""An open dataset folder: what it says of itself, and random access to its records."""

from __future__ import annotations

import hashlib
import json
import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from mmdata.codec import METADATA_MEMBER, Codec
from mmdata.errors import DatasetError
from mmdata.files import digest_of_json
from mmdata.formats import format_of
from mmdata.keys import key_for
from mmdata.record import Record
from mmdata.schema import Schema
from mmdata.shards.index import ShardIndex
from mmdata.shards.reader import ShardReader

FORMAT = 1
DESCRIPTION = "dataset.json"
SPLITS = ("train", "val", "test")


class Shard(NamedTuple):
    """One tar of a dataset, as `dataset.json` describes it; a tuple, because a dataset may have a hundred thousand."""

    split: str
    file: str
    records: int
    bytes: int
    sha256: str

    @property
    def index_file(self) -> str:
        """The path of its index, relative to the dataset folder."""
        return f"index/{Path(self.file).stem}.parquet"


def read_description(out: Path) -> dict[str, Any]:
    """Return the content of `dataset.json`. Raises DatasetError where it is missing, damaged or of another format."""
    path = out / DESCRIPTION
    try:
        content = path.read_bytes()
        description = json.loads(content)
    except FileNotFoundError as error:
        hint = "its build did not finish; run it again" if (out / ".build").is_dir() else "is this a dataset folder?"
        raise DatasetError(f"{out}: there is no {DESCRIPTION}: {hint}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: cannot be read ({error})") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise DatasetError(f"{path}: not a dataset of format {FORMAT}")
    if not _checksum_holds(content, description):
        raise DatasetError(f"{path}: its checksum differs from its content: it was changed after the build")
    return description


def _checksum_holds(content: bytes, description: Mapping[str, Any]) -> bool:
    """Whether the checksum of a description is that of the rest.

    A build writes canonical JSON, whose bytes are hashed as they are; the text of anything else has to be made first.
    """
    checksum = description.get("checksum")
    rest = content.replace(f'"checksum":"{checksum}",'.encode(), b"", 1)
    if hashlib.sha256(rest).hexdigest() == checksum:
        return True
    return checksum == digest_of_json({name: value for name, value in description.items() if name != "checksum"})


class Dataset:
    """A finished dataset, open for reading. Nothing but `dataset.json` is read until a record is asked for."""

    evictable = False
    """Whether files of the folder may be removed while it is in use: then none is held open longer than it is read."""

    def __init__(self, out: str | Path) -> None:
        self.path = Path(out)
        self.description: Mapping[str, Any] = read_description(self.path)
        try:
            self.schema = Schema.from_json(self.description["schema"])
            self.shards = tuple(Shard(split, **shard) for split in SPLITS for shard in self.description["shards"].get(split, []))
            self.members: dict[str, str] = dict(self.description["members"])
        except (KeyError, TypeError, AttributeError) as error:
            raise DatasetError(f"{self.path / DESCRIPTION}: not as a build writes it ({error!r})") from error

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
        return Codec(self.schema, members, tuple(self.description["inputs"]))

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
        return index

    def open_tar(self, shard: Shard) -> int:
        """Open the tar of a shard and return its file descriptor. Raises OSError where that is not possible."""
        return os.open(self.path / shard.file, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))

    def open_shard(self, shard: Shard) -> ShardReader:
        """Open the tar of a shard for random access; close it after use."""
        return ShardReader(self.path / shard.file)

    def rejects(self) -> list[dict[str, Any]]:
        """Return what is in no shard: row, key, kind, stage, reason, detail. Raises DatasetError for a damaged table."""
        path = self.path / "rejects.parquet"
        try:
            rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        except (OSError, pa.ArrowException) as error:
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
        return self.codec.decode(payloads)

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
            index = self.index(shard)
            places = {extension: index.members(extension) for extension in [*self.members, METADATA_MEMBER]}
            with self.open_shard(shard) as reader:
                for place in range(len(index)):
                    yield {extension: reader.read(found[place]) for extension, found in places.items()}

    def __iter__(self) -> Iterator[Record]:
        return (self.codec.decode(payloads) for payloads in self.payloads())
