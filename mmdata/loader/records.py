"""A split as a sequence of decoded records: random access, safe in threads, and at home in a plain `DataLoader`."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mmdata.errors import ConfigError
from mmdata.loader.batch import Batch
from mmdata.loader.collating import collate
from mmdata.loader.collection import Collection, Readable
from mmdata.loader.decoding import RecordDecoder
from mmdata.loader.example import Example
from mmdata.loader.finishing import Finish
from mmdata.loader.options import LoaderOptions
from mmdata.loader.seat import Seats
from mmdata.loader.shard_files import Raw, ShardFiles
from mmdata.schema import FieldType

_EVERYTHING = LoaderOptions()
_NOWHERE = Seats()


class ShardedRecords:
    """The records of a split by number, counted through its shards in order; a map-style dataset for torch.

    It can be pickled, and shared by threads. Of the options only `fields`, `views`, `max_seconds`, `max_tokens` and `window`
    matter here. Without `resize`, the pictures of views are only cut, and resized where the batch is. Raises DatasetError for a
    folder that cannot be used, ConfigError for a field that it does not have.
    """

    def __init__(
        self, out: Readable | Collection, split: str = "train", options: LoaderOptions = _EVERYTHING, *, resize: bool = True
    ) -> None:
        collection = Collection.of(out, options.cache).select(options.fields)
        members = collection.members
        self.types: Mapping[str, FieldType] = collection.fields
        self.views = options.views
        self._decode = RecordDecoder(members, self.types, options, resize=resize)
        # Reading ahead goes from one window into the next; a few more are for substitutes.
        self._files = ShardFiles(collection, split, len(collection.datasets) * (2 * options.window + 8))
        self.counts: NDArray[np.int64] = self._files.counts
        self._ends: list[int] = np.cumsum(self.counts).tolist()
        self._finish = Finish(self.types, self.views)

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Example:
        """Return a record by its number. Raises RecordError where it cannot be read, IndexError where there is none.

        Raises ConfigError where a view is random: a number does not say which epoch it is of.
        """
        if self._decode.random:
            raise ConfigError("views that are random need the epoch, which only `Loader` knows; choose other views here")
        return self.read(*self._place(index))

    def payloads(self, index: int) -> Raw:
        """Return a record by its number as it is stored: checked, but not decoded. Raises as `[index]` does."""
        return self._files.read(*self._place(index))

    def _place(self, index: int) -> tuple[int, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} of a split with {len(self)} records")
        shard = bisect_right(self._ends, index)  # passes over empty shards
        return shard, index - (self._ends[shard - 1] if shard else 0)

    def read(self, shard: int, record: int, seats: Seats = _NOWHERE, row: int = 0) -> Example:
        """Return a record by its shard and its number there, decoded for a row. Raises RecordError where it cannot be read."""
        return self.decode(self.fetch(shard, record), seats, row)

    def fetch(self, shard: int, record: int) -> Raw:
        """Return a record by its shard and its number there, undecoded. Raises RecordError where it cannot be read."""
        return self._files.read(shard, record)

    def decode(self, raw: Raw, seats: Seats, row: int) -> Example:
        """Return a record decoded for a row. Raises RecordError where it cannot be decoded."""
        return Example(raw.key, self._decode(raw.payloads, raw.key, seats, row), raw.metadata)

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of a field in every record, uint8, where it is known before anything is decoded."""
        return self._decode.shapes

    def name(self, shard: int, record: int) -> str:
        """Return the key of a record, readable or not; where even its index is lost, its shard and its number there."""
        return self._files.name(shard, record)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Return the batch of these records, for the `collate_fn` of a `DataLoader`; it does not know its epoch and step."""
        return self._finish(collate(examples, self.types))
