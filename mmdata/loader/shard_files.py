"""Payloads by shard and record: the index says where they stand, one read fetches those of a record, crc32 checks each.

What the index says is looked up for all records of a batch together, and their payloads are fetched by several threads.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmdata.dataset import Dataset, Shard
from mmdata.errors import DatasetError, OpenFilesError, RecordError, says_too_many_files
from mmdata.loader.access import Access
from mmdata.loader.collection import Collection
from mmdata.loader.recent import Recent
from mmdata.loader.scratch import Scratch
from mmdata.payload_heads import MOST_VALUES

OPEN_FILES = 128
"""Shards held open at most; far below the 1024 file descriptors that a process usually may have."""

_GAP = 1 << 16
"""Bytes that are rather read in vain than skipped by a second read."""

_SHARED = 1 << 19
"""Bytes of payloads that share a block of memory at most."""

_APART = -1
"""The extent of members that stand too far from each other to be read at once."""

_EMPTY = memoryview(b"")

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ShardPlaces:
    """What the loader needs of a shard's index: keys, metadata columns, and where the wanted members stand.

    rows: int64 [records, 2 + 3 * members]. Each has where the first member begins and over how many bytes all extend; and then
        for every member where it begins, counted from the first, where it ends, and its crc32. Where they extend too far to be
        read at once, -1 stands for the bytes, and all places are counted in the file.
    sizes: height and width of the pictures of some fields, int64 [records, 2]; 0 of those that are absent.
    """

    name: str
    keys: pa.Array
    metadata: dict[str, pa.Array]
    rows: Integers
    sizes: dict[str, Integers]

    @classmethod
    def read(cls, dataset: Dataset, shard: Shard, extensions: Sequence[str], pictures: Sequence[str]) -> ShardPlaces:
        """Read the index of a shard. Raises DatasetError where it is missing, damaged, or points outside of the shard."""
        parts = [f"{extension}.{part}" for extension in extensions for part in ("offset", "size", "crc32")]
        parts += [f"{name}.{side}" for name in pictures for side in ("height", "width")]
        table = dataset.index(shard, ["key", *parts, *(f"metadata.{name}" for name in dataset.schema.metadata)]).table
        offsets, sizes, checksums = (
            np.array([table.column(f"{extension}.{part}").to_numpy() for extension in extensions], dtype=np.int64)
            .reshape(-1, len(table)).T
            for part in ("offset", "size", "crc32")
        )  # fmt: skip
        if (offsets < 0).any() or (sizes < 0).any() or (sizes > shard.bytes - offsets).any():
            raise DatasetError(f"{shard.index_file}: it points outside of {shard.file}")
        metadata = {name: _whole(table.column(f"metadata.{name}")) for name in dataset.schema.metadata}
        there = {dataset.members[extension]: size[:, None] > 0 for extension, size in zip(extensions, sizes.T, strict=True)}
        shown = {
            # A picture that is absent has no size, whatever is said of it: nothing would be decoded into its place.
            name: there[name] * np.stack([table.column(f"{name}.{side}").to_numpy() for side in ("height", "width")], axis=1)
            for name in pictures
        }
        return cls(shard.file, _whole(table.column("key")), metadata, _rows(offsets, sizes, checksums), shown)


def _rows(offsets: Integers, sizes: Integers, checksums: Integers) -> Integers:
    """Return the rows of `ShardPlaces`, of arrays int64 [records, members]."""
    records, members = offsets.shape
    if not members:
        return np.zeros((records, 2), dtype=np.int64)  # a dataset of a mixture that has none of the wanted fields
    there = sizes > 0
    first = np.where(there, offsets, np.iinfo(np.int64).max).min(axis=1, keepdims=True)
    starts = np.where(there, offsets - first, 0)  # what is absent stands nowhere
    ends = starts + sizes
    extent = ends.max(axis=1, keepdims=True)
    apart = extent[:, 0] > sizes.sum(axis=1) + _GAP
    starts[apart] += first[apart]
    ends[apart] += first[apart]
    extent[apart] = _APART
    each = np.stack([starts, ends, checksums], axis=2).reshape(records, 3 * members)
    return np.concatenate([first, extent, each], axis=1)


def _too_large(sizes: Integers) -> NDArray[np.bool_]:
    """Whether pictures of these sizes have more pixels than may be decoded, or fewer than none; nobody but the index says so."""
    return (sizes < 0).any(axis=1) | (3.0 * sizes[:, 0] * sizes[:, 1] > MOST_VALUES)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks)


Payloads = dict[str, memoryview]
"""The payloads of a record by extension, checked; that of an absent field is empty. Their memory is used again once no view of it
is left."""


class Raw(NamedTuple):
    """A record, undecoded: its key, its payloads and its metadata."""

    key: str
    payloads: Payloads
    metadata: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Entries:
    """What the indexes say of some records, one entry each: enough to read them, and to plan where they are decoded to.

    `spans` are rows of `ShardPlaces`, and `sizes` those of pictures by field, int64 [records, 2]. `lost` says, by its number, why
    a record cannot be read, as far as that is known already. Where the index cannot be read, the shard and the number there stand
    for the key.
    """

    shards: list[int]
    keys: list[str]
    metadata: list[dict[str, Any]]
    spans: list[list[int]]
    sizes: dict[str, Integers]
    lost: dict[int, RecordError]

    def __len__(self) -> int:
        return len(self.shards)


class _OpenFile:
    """The tar of a shard, and the extensions of the members that are read; it is closed when the last thread has let go of it."""

    def __init__(self, dataset: Dataset, shard: Shard, extensions: Sequence[str]) -> None:
        self.descriptor = dataset.open_tar(shard)
        self.size = os.fstat(self.descriptor).st_size
        self.name, self.extensions = shard.file, extensions

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


class ShardFiles:
    """The payloads of the members of a collection's shards of one split; threads may share it, and it can be pickled.

    Shards are counted through the datasets in turn. What a dataset does not have is empty, or None, in its records.
    It holds the indexes of the `capacity` shards and the files of the `OPEN_FILES` shards used last. `pictures` are the fields
    whose sizes are looked up.
    """

    def __init__(self, collection: Collection, split: str, capacity: int, pictures: Sequence[str] = ()) -> None:
        self._arguments = (collection, split, capacity, pictures)
        shards = collection.shards_of(split)
        self._shards = tuple(chain.from_iterable(shards))
        self._ends = list(accumulate(len(part) for part in shards))
        self._datasets = collection.datasets
        self._extensions = [
            tuple(extension for extension in collection.members if extension in dataset.members) for dataset in self._datasets
        ]
        self._pictures = [tuple(name for name in pictures if name in dataset.schema.fields) for dataset in self._datasets]
        self._all_pictures = tuple(pictures)
        self._no_payloads: Payloads = dict.fromkeys(collection.members, _EMPTY)
        self._no_metadata = dict.fromkeys(collection.metadata)
        self._places = Recent(self._read_places, capacity)
        self._files = Recent(self._open, OPEN_FILES)
        self._scratch = Scratch()

    def __reduce__(self) -> tuple[Any, ...]:
        """Open the files anew in the other process: file descriptors and locks stay behind."""
        return type(self), self._arguments

    @property
    def counts(self) -> Integers:
        """The record counts of the shards, int64 [shards]."""
        return np.array([shard.records for shard in self._shards], dtype=np.int64)

    def look_up(self, shards: Integers, records: Integers) -> Entries:
        """Return what the indexes say of records, by their shards and their numbers there, int64 [n]."""
        count = len(shards)
        keys, metadata, spans = [""] * count, [self._no_metadata] * count, [[0, 0]] * count
        sizes = {name: np.zeros((count, 2), dtype=np.int64) for name in self._all_pictures}
        lost: dict[int, RecordError] = {}
        for shard in np.unique(shards).tolist():
            rows = np.flatnonzero(shards == shard)
            which = records[rows]
            try:
                places = self._places[shard]
            except DatasetError as error:
                for row, record in zip(rows.tolist(), which.tolist(), strict=True):
                    keys[row] = f"{self._shards[shard].file}[{record}]"
                    lost[row] = RecordError("index cannot be read", str(error))
                continue
            for name, found in places.sizes.items():
                sizes[name][rows] = found[which]
                lost |= dict.fromkeys(rows[_too_large(found[which])].tolist(), RecordError("picture is too large to decode"))
            for row, record, span in zip(rows.tolist(), which.tolist(), places.rows[which].tolist(), strict=True):
                keys[row], spans[row] = places.keys[record].as_py(), span
                metadata[row] = self._no_metadata | {name: column[record].as_py() for name, column in places.metadata.items()}
        for found in sizes.values():
            found[list(lost)] = 0
        return Entries(shards.tolist(), keys, metadata, spans, sizes, lost)

    def fetch(self, entries: Entries, start: int, stop: int, access: Access) -> list[Payloads | RecordError]:
        """Return the payloads of the records from `start` to `stop`, or why one cannot be read.

        That is where its index or its shard cannot be read, or a payload is not what the build wrote.
        """
        found: list[Payloads | RecordError] = []
        extents = [max(span[1], 0) for span in entries.spans[start:stop]]
        # One block for all small ones: to find memory takes longer than to cut it up.
        shared = self._scratch.take(sum(extents)) if sum(extents) <= _SHARED else None
        used, files = 0, dict[int, _OpenFile]()
        for row, extent in enumerate(extents, start):
            memory = None if shared is None else shared[used : used + extent]
            used += extent
            if row in entries.lost:
                found.append(entries.lost[row])
                continue
            try:
                found.append(self._payloads(entries, row, memory, files, access))
            except RecordError as error:
                found.append(error.alone())
        return found

    def _payloads(
        self, entries: Entries, row: int, memory: memoryview | None, files: dict[int, _OpenFile], access: Access
    ) -> Payloads:
        shard, span = entries.shards[row], entries.spans[row]
        if len(span) == 2:
            return self._no_payloads.copy()  # a dataset of a mixture that has none of the wanted fields
        if shard not in files:
            files[shard] = self._opened(shard)
        file = files[shard]
        if span[1] == _APART:
            found = self._read_apart(file, span[2::3], span[3::3], access)
        else:
            memory = self._read(file, span[0], span[0] + span[1], access, memory) if span[1] else _EMPTY
            found = [memory[begin:end] for begin, end in zip(span[2::3], span[3::3], strict=True)]
        for extension, payload, checksum in zip(file.extensions, found, span[4::3], strict=True):
            if access.crc32(payload) != checksum:
                name = f"{entries.keys[row]}.{extension}"
                raise RecordError("payload is damaged", f"{file.name}: the crc32 of {name} differs")
        payloads = dict(zip(file.extensions, found, strict=True))
        return payloads if len(payloads) == len(self._no_payloads) else self._no_payloads | payloads

    def _source(self, shard: int) -> int:
        return bisect_right(self._ends, shard)

    def _read_apart(self, file: _OpenFile, starts: list[int], ends: list[int], access: Access) -> list[memoryview]:
        """Read members of which some are far from others; where they begin and end is counted in the file."""
        found = dict[int, memoryview]()
        for run in _runs(starts, ends):
            first = starts[run[0]]
            block = self._read(file, first, max(ends[member] for member in run), access)
            found |= {member: block[starts[member] - first : ends[member] - first] for member in run}
        return [found[member] for member in range(len(starts))]

    def _read(self, file: _OpenFile, start: int, end: int, access: Access, block: memoryview | None = None) -> memoryview:
        """Return the bytes of a file between two places, in the memory that is given or in other."""
        if end > file.size:  # memory is found for no more than there is: the index may say anything
            raise RecordError("shard ends early", f"{file.name}: nothing from byte {file.size} on")
        block = self._scratch.take(end - start) if block is None else block
        try:
            found = access.read(file.descriptor, block, start)
        except OSError as error:
            raise RecordError("shard cannot be read", f"{file.name}: {error.strerror}") from error
        if found != end - start:
            raise RecordError("shard ends early", f"{file.name}: nothing from byte {start + found} on")
        return block

    def _opened(self, shard: int) -> _OpenFile:
        try:
            return self._open(shard) if self._datasets[self._source(shard)].evictable else self._files[shard]
        except OSError as error:
            if says_too_many_files(error):
                # Nothing is wrong with the record: replacing it would hide a limit of the machine.
                raise OpenFilesError(self._shards[shard].file) from error
            raise RecordError("shard cannot be opened", f"{self._shards[shard].file}: {error.strerror}") from error

    def _read_places(self, shard: int) -> ShardPlaces:
        source = self._source(shard)
        return ShardPlaces.read(self._datasets[source], self._shards[shard], self._extensions[source], self._pictures[source])

    def _open(self, shard: int) -> _OpenFile:
        source = self._source(shard)
        return _OpenFile(self._datasets[source], self._shards[shard], self._extensions[source])


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
