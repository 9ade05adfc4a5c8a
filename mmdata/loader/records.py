"""A split as a sequence of decoded records: random access, safe in threads, and at home in a plain `DataLoader`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mmdata.loader.batch import Batch, collate, widened
from mmdata.loader.collection import Collection, Readable
from mmdata.loader.decoding import decoder_of
from mmdata.loader.example import Example
from mmdata.loader.options import LoaderOptions
from mmdata.loader.shard_files import ShardFiles
from mmdata.schema import FieldType

_EVERYTHING = LoaderOptions()


class ShardedRecords:
    """The records of a split by number, counted through its shards in order; a map-style dataset for torch.

    It can be pickled, and shared by threads. Of the options only `fields`, `max_seconds`, `max_tokens` and `window` matter
    here. Raises DatasetError for a folder that cannot be used, ConfigError for a field that it does not have.
    """

    def __init__(self, out: Readable | Collection, split: str = "train", options: LoaderOptions = _EVERYTHING) -> None:
        collection = Collection.of(out).select(options.fields)
        members = collection.members
        self.types: Mapping[str, FieldType] = collection.fields
        self._decoders = {
            extension: (name, decoder_of(extension, self.types[name], options)) for extension, name in members.items()
        }
        # Reading ahead goes from one window into the next; a few more are for substitutes.
        self._files = ShardFiles(collection, split, len(collection.datasets) * (2 * options.window + 8))
        self.counts: NDArray[np.int64] = self._files.counts
        self._ends = np.cumsum(self.counts)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Example:
        """Return a record by its number. Raises RecordError where it cannot be read, IndexError where there is none."""
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} of a split with {len(self)} records")
        shard = int(np.searchsorted(self._ends, index, side="right"))
        return self.read(shard, index - int(self._ends[shard] - self.counts[shard]))

    def read(self, shard: int, record: int) -> Example:
        """Return a record by its shard and its number there. Raises RecordError where it cannot be read."""
        raw = self._files.read(shard, record)
        fields = {name: decode(raw.payloads[extension]) for extension, (name, decode) in self._decoders.items()}
        return Example(raw.key, fields, raw.metadata)

    def name(self, shard: int, record: int) -> str:
        """Return the key of a record, readable or not; where even its index is lost, its shard and its number there."""
        return self._files.name(shard, record)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Return the batch of these records, for the `collate_fn` of a `DataLoader`; it does not know its epoch and step."""
        return widened(collate(examples, self.types), self.types)
