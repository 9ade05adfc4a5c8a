"""Payloads by shard and record: the index says where they stand, one read fetches those of a record, crc32 checks each."""

from __future__ import annotations

import errno
import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmdata.crc import crc32
from mmdata.dataset import Dataset, Shard
from mmdata.errors import DatasetError, RecordError
from mmdata.loader.collection import Collection
from mmdata.loader.recent import Recent
from mmdata.loader.scratch import Scratch

OPEN_FILES = 128
"""Shards held open at most; far below the 1024 file descriptors that a process usually may have."""

_GAP = 1 << 16
"""Bytes that are rather read in vain than skipped by a second read."""


@dataclass(frozen=True, eq=False)
class ShardPlaces:
    """What the loader needs of a shard's index: keys, metadata columns, and where the wanted members stand.

    rows: int64 [records, 2 + 3 * members]. Each has where the members begin and end together, and then for every member where it
    begins, where it ends, and its crc32: one row has all that the reading of a record asks for.
    """

    name: str
    keys: pa.Array
    metadata: dict[str, pa.Array]
    rows: NDArray[np.int64]

    @classmethod
    def read(cls, dataset: Dataset, shard: Shard, extensions: Sequence[str]) -> ShardPlaces:
        """Read the index of a shard. Raises DatasetError where it is missing, damaged, or points outside of the shard."""
        parts = [f"{extension}.{part}" for extension in extensions for part in ("offset", "size", "crc32")]
        table = dataset.index(shard, ["key", *parts, *(f"metadata.{name}" for name in dataset.schema.metadata)]).table
        offsets, sizes, checksums = (
            np.array([table.column(f"{extension}.{part}").to_numpy() for extension in extensions], dtype=np.int64)
            .reshape(-1, len(table)).T
            for part in ("offset", "size", "crc32")
        )  # fmt: skip
        if (offsets < 0).any() or (sizes < 0).any() or (sizes > shard.bytes - offsets).any():
            raise DatasetError(f"{shard.index_file}: it points outside of {shard.file}")
        metadata = {name: _whole(table.column(f"metadata.{name}")) for name in dataset.schema.metadata}
        return cls(shard.file, _whole(table.column("key")), metadata, _rows(offsets, sizes, checksums))


def _rows(offsets: NDArray[np.int64], sizes: NDArray[np.int64], checksums: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows of `ShardPlaces`, of arrays int64 [records, members]."""
    records, members = offsets.shape
    if not members:
        return np.zeros((records, 2), dtype=np.int64)  # a dataset of a mixture that has none of the wanted fields
    ends = offsets + sizes
    each = np.stack([offsets, ends, checksums], axis=2).reshape(records, 3 * members)
    return np.concatenate([offsets.min(axis=1, keepdims=True), ends.max(axis=1, keepdims=True), each], axis=1)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks)


class Raw(NamedTuple):
    """A record, undecoded: its payloads by extension (that of an absent field is empty) and its metadata.

    Their memory is used again once no view of it is left.
    """

    key: str
    payloads: dict[str, memoryview]
    metadata: dict[str, Any]


class _OpenFile:
    """A file that is closed when the last thread has let go of it."""

    def __init__(self, dataset: Dataset, shard: Shard) -> None:
        self.descriptor = dataset.open_tar(shard)
        self.size = os.fstat(self.descriptor).st_size

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


class ShardFiles:
    """The payloads of the members of a collection's shards of one split; threads may share it, and it can be pickled.

    Shards are counted through the datasets in turn. What a dataset does not have is empty, or None, in its records.
    It holds the indexes of the `capacity` shards and the files of the `OPEN_FILES` shards used last.
    """

    def __init__(self, collection: Collection, split: str, capacity: int) -> None:
        self._arguments = (collection, split, capacity)
        shards = collection.shards_of(split)
        self._shards = tuple(chain.from_iterable(shards))
        self._ends = list(accumulate(len(part) for part in shards))
        self._datasets = collection.datasets
        self._extensions = [
            tuple(extension for extension in collection.members if extension in dataset.members) for dataset in self._datasets
        ]
        self._no_payloads: dict[str, memoryview] = dict.fromkeys(collection.members, memoryview(b""))
        self._no_metadata = dict.fromkeys(collection.metadata)
        self._places = Recent(self._read_places, capacity)
        self._files = Recent(self._open, OPEN_FILES)
        self._scratch = Scratch()

    def __reduce__(self) -> tuple[Any, ...]:
        """Open the files anew in the other process: file descriptors and locks stay behind."""
        return type(self), self._arguments

    @property
    def counts(self) -> NDArray[np.int64]:
        """The record counts of the shards, int64 [shards]."""
        return np.array([shard.records for shard in self._shards], dtype=np.int64)

    def name(self, shard: int, record: int) -> str:
        """Return the key of a record; where the index cannot be read, its shard and its number there."""
        try:
            return str(self._places[shard].keys[record].as_py())
        except (DatasetError, IndexError):
            return f"{self._shards[shard].file}[{record}]"

    def read(self, shard: int, record: int) -> Raw:
        """Return a record, undecoded.

        Raises RecordError where the index or the shard cannot be read, or a payload is not what the build wrote.
        """
        places = self._indexed(shard)
        first, last, *members = places.rows[record].tolist()
        starts, ends, checksums = members[::3], members[1::3], members[2::3]
        key = places.keys[record].as_py()
        found = self._fetch(shard, first, last, starts, ends)
        payloads = self._no_payloads.copy()
        for extension, payload, checksum in zip(self._extensions[self._source(shard)], found, checksums, strict=True):
            if crc32(payload) != checksum:
                raise RecordError("payload is damaged", f"{places.name}: the crc32 of {key}.{extension} differs")
            payloads[extension] = payload
        metadata = self._no_metadata.copy()
        for name, column in places.metadata.items():
            metadata[name] = column[record].as_py()
        return Raw(key, payloads, metadata)

    def _source(self, shard: int) -> int:
        return bisect_right(self._ends, shard)

    def _fetch(self, shard: int, first: int, last: int, starts: list[int], ends: list[int]) -> list[memoryview]:
        """Read members that stand together at once: the members of a record follow each other in the tar."""
        if not starts:
            return []
        file = self._opened(shard)
        if last - first <= sum(ends) - sum(starts) + _GAP:
            block = self._read_block(file, shard, first, last)
            return [block[start - first : end - first] for start, end in zip(starts, ends, strict=True)]
        found: dict[int, memoryview] = {}
        for run in _runs(starts, ends):
            first = starts[run[0]]
            block = self._read_block(file, shard, first, max(ends[member] for member in run))
            found |= {member: block[starts[member] - first : ends[member] - first] for member in run}
        return [found[member] for member in range(len(starts))]

    def _read_block(self, file: _OpenFile, shard: int, start: int, end: int) -> memoryview:
        if end > file.size:
            raise RecordError("shard ends early", f"{self._shards[shard].file}: nothing from byte {file.size} on")
        block = self._scratch.take(end - start)
        try:
            found = os.preadv(file.descriptor, [block], start)
        except OSError as error:
            raise RecordError("shard cannot be read", f"{self._shards[shard].file}: {error.strerror}") from error
        if found != end - start:
            raise RecordError("shard ends early", f"{self._shards[shard].file}: nothing from byte {start + found} on")
        return block

    def _indexed(self, shard: int) -> ShardPlaces:
        try:
            return self._places[shard]
        except DatasetError as error:
            raise RecordError("index cannot be read", str(error)) from error

    def _opened(self, shard: int) -> _OpenFile:
        try:
            return self._open(shard) if self._datasets[self._source(shard)].evictable else self._files[shard]
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                # Nothing is wrong with the record: replacing it would hide a limit of the machine.
                raise DatasetError(f"{self._shards[shard].file}: too many open files; raise the limit (ulimit -n)") from error
            raise RecordError("shard cannot be opened", f"{self._shards[shard].file}: {error.strerror}") from error

    def _read_places(self, shard: int) -> ShardPlaces:
        source = self._source(shard)
        return ShardPlaces.read(self._datasets[source], self._shards[shard], self._extensions[source])

    def _open(self, shard: int) -> _OpenFile:
        return _OpenFile(self._datasets[self._source(shard)], self._shards[shard])


def _runs(starts: list[int], ends: list[int]) -> list[list[int]]:
    """Group members by place: those with only a small gap between them come into one run."""
    runs: list[list[int]] = []
    reached = 0
    for member in sorted(range(len(starts)), key=starts.__getitem__):
        if runs and starts[member] - reached <= _GAP:
            runs[-1].append(member)
        else:
            runs.append([member])
        reached = max(reached, ends[member])
    return runs
