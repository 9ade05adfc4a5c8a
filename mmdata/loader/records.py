"""A split as a sequence of decoded records: random access, safe in threads, and at home in a plain `DataLoader`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mmdata.errors import ConfigError, RecordError
from mmdata.loader.access import ALONE, Access
from mmdata.loader.batch import Batch
from mmdata.loader.collating import collate
from mmdata.loader.collection import Collection, Readable
from mmdata.loader.decoding import Columns, RecordDecoder
from mmdata.loader.example import Example
from mmdata.loader.finishing import Finish
from mmdata.loader.options import LoaderOptions
from mmdata.loader.picture_columns import DeviceJpegs
from mmdata.loader.scratch import BatchMemory
from mmdata.loader.shard_files import Entries, Payloads, Raw, ShardFiles
from mmdata.schema import FieldType

_EVERYTHING = LoaderOptions()


class ShardedRecords:
    """The records of a split by number, counted through its shards in order; a map-style dataset for torch.

    It can be pickled, and shared by threads. Of the options only `fields`, `views`, `max_seconds`, `max_tokens` and `window`
    matter here. Without `resize`, the pictures of views are cut and resized where the batch is; `jpegs` decodes them there, too.
    Raises DatasetError for a folder that cannot be used, ConfigError for a field that it does not have.
    """

    def __init__(
        self,
        out: Readable | Collection,
        split: str = "train",
        options: LoaderOptions = _EVERYTHING,
        *,
        resize: bool = True,
        jpegs: DeviceJpegs | None = None,
    ) -> None:
        collection = Collection.of(out, options.cache).select(options.fields)
        self.types: Mapping[str, FieldType] = collection.fields
        self.views = options.views
        self._decode = RecordDecoder(collection.members, self.types, options, resize=resize, jpegs=jpegs)
        # Reading ahead goes from one window into the next; a few more are for substitutes.
        capacity = len(collection.datasets) * (2 * options.window + 8)
        self._files = ShardFiles(collection, split, capacity, self._decode.viewed)
        self.counts: NDArray[np.int64] = self._files.counts
        self._ends = np.cumsum(self.counts)
        self._finish = Finish(self.types, self.views)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Example:
        """Return a record by its number. Raises as `__getitems__` does."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Example]:
        """Return records by their numbers; a plain `DataLoader` asks for those of a batch at once.

        Raises RecordError where one cannot be read, IndexError where there is none of this number, ConfigError where a view is
        random: a number does not say which epoch it is of.
        """
        if self._decode.random:
            raise ConfigError("views that are random need the epoch, which only `Loader` knows; choose other views here")
        entries = self._entries(indices)
        columns = self.columns(entries)
        fetched = self.fetch(entries, 0, len(entries))
        self.decode_together(fetched, columns, 0)
        return [self.decode(entries, _readable(found), columns, row) for row, found in enumerate(fetched)]

    def payloads(self, indices: Sequence[int]) -> list[Raw]:
        """Return records by their numbers as they are stored: checked, but not decoded. Raises as `[index]` does."""
        entries = self._entries(indices)
        found = map(_readable, self.fetch(entries, 0, len(entries)))
        return list(map(Raw, entries.keys, found, entries.metadata))

    def _entries(self, indices: Sequence[int]) -> Entries:
        numbers = np.asarray(indices, dtype=np.int64)
        outside = numbers[(numbers < 0) | (numbers >= len(self))].tolist()
        if outside:
            raise IndexError(f"record {outside[0]} of a split with {len(self)} records")
        shards = np.searchsorted(self._ends, numbers, side="right")  # passes over empty shards
        return self.look_up(shards, numbers - (self._ends - self.counts)[shards])

    @property
    def on_device(self) -> bool:
        """Whether the device decodes some of the fields."""
        return self._decode.on_device

    def look_up(self, shards: NDArray[np.int64], records: NDArray[np.int64]) -> Entries:
        """Return what the index says of records, by their shards and their numbers there."""
        return self._files.look_up(shards, records)

    def columns(self, entries: Entries, seed: int = 0, epoch: int = 0, memory: BatchMemory | None = None) -> Columns:
        """Return the columns that pictures of these records are decoded into, as they are shown in this epoch."""
        return self._decode.columns(entries, seed, epoch, memory or BatchMemory())

    def fetch(self, entries: Entries, start: int, stop: int, access: Access = ALONE) -> list[Payloads | RecordError]:
        """Return the payloads of the records from `start` to `stop`, or why one cannot be read."""
        return self._files.fetch(entries, start, stop, access)

    def decode_together(self, found: Sequence[Payloads | RecordError], columns: Columns, start: int) -> None:
        """Decode what is better decoded for several records at a time; `decode` of each has to follow."""
        self._decode.decode_together(found, columns, start)

    def decode(self, entries: Entries, payloads: Payloads, columns: Columns, row: int) -> Example:
        """Return the record of a row, decoded. Raises RecordError where it cannot be decoded."""
        return Example(entries.keys[row], self._decode(payloads, columns, row), entries.metadata[row])

    def read(self, shard: int, record: int, seed: int, epoch: int) -> Example:
        """Return one record by its shard and its number there, in memory of its own. Raises RecordError where it is damaged."""
        entries = self.look_up(np.array([shard]), np.array([record]))
        return self.decode(entries, _readable(self.fetch(entries, 0, 1)[0]), self.columns(entries, seed, epoch), 0)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Return the batch of these records, for the `collate_fn` of a `DataLoader`; it does not know its epoch and step."""
        return self._finish(collate(examples, self.types))


def _readable(found: Payloads | RecordError) -> Payloads:
    if isinstance(found, RecordError):
        raise found.alone()  # what is raised knows this frame, so it must not be what stands in it
    return found
