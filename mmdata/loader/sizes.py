"""How large records are, from the index alone: text tokens, image patches, audio frames. Batches are planned with it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import chain

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmdata.dataset import Dataset, Shard
from mmdata.errors import DatasetError
from mmdata.loader.batching import SIZES, SizeName, Units
from mmdata.loader.collection import Collection
from mmdata.loader.options import LoaderOptions
from mmdata.loader.order import Integers, RecordOrder
from mmdata.loader.recent import Recent
from mmdata.loader.views import PictureView
from mmdata.schema import FieldType

_SIZE_OF_KIND: Mapping[str, SizeName] = {"tokens": "tokens", "image": "patches", "video": "patches", "audio": "frames"}
_MEASURES = {
    "tokens": ("tokens",),
    "image": ("width", "height"),
    "video": ("frames", "width", "height"),
    "audio": ("seconds",),
}

_BLOCK = 1024
"""Positions whose sizes are looked up together."""

_BLOCKS_HELD = 64

_SHARDS_HELD = 256
"""Of so many shards of each dataset the sizes are held: 24 bytes a record."""

_LARGEST = 1 << 40
"""No record is larger, whatever an index says; sums of so many stay far from what an integer holds."""

_NOTHING = np.zeros((0, len(SIZES)), dtype=np.int64)


class Sizes:
    """The sizes of the records of a split; threads may share it. It holds those of the shards used last.

    Everything counts as it comes into a batch: through the views, and up to `max_tokens` and `max_seconds`. Every record counts
    at least 1 in each column, and so do all records of a shard whose index cannot be read.
    """

    def __init__(self, collection: Collection, split: str, units: Units, options: LoaderOptions) -> None:
        self._fields = collection.fields
        self._units, self._options = units, options
        parts = collection.shards_of(split)
        self._shards: list[tuple[Dataset, Shard]] = list(
            chain.from_iterable(
                [(dataset, shard) for shard in shards] for dataset, shards in zip(collection.datasets, parts, strict=True)
            )
        )
        self._read = Recent(self._read_shard, _SHARDS_HELD * len(collection.datasets))
        self._block = lru_cache(_BLOCKS_HELD)(self._read_block)

    @property
    def known(self) -> frozenset[SizeName]:
        """The sizes that the fields have."""
        return frozenset(_SIZE_OF_KIND[type_.kind] for type_ in self._fields.values() if type_.kind in _SIZE_OF_KIND)

    def __call__(self, shards: Integers, records: Integers) -> Integers:
        """Return the sizes of records, int64 [n, 3], in the order of `SIZES`."""
        sizes = np.empty((len(shards), len(SIZES)), dtype=np.int64)
        for shard in np.unique(shards).tolist():
            which = shards == shard
            sizes[which] = self._read[shard][records[which]]
        return sizes

    def along(self, order: RecordOrder, epoch: int, start: int, end: int) -> Integers:
        """Return the sizes of the records at the positions from `start` to `end` of an epoch, int64 [end - start, 3]."""
        first = start // _BLOCK
        blocks = [self._block(order, epoch, block) for block in range(first, -(-end // _BLOCK))]
        return np.concatenate(blocks)[start - first * _BLOCK : end - first * _BLOCK] if blocks else _NOTHING

    def _read_block(self, order: RecordOrder, epoch: int, block: int) -> Integers:
        positions = np.arange(block * _BLOCK, min((block + 1) * _BLOCK, order.records), dtype=np.int64)
        return self(*order.locate(epoch, positions))

    def name(self, shard: int, record: int) -> str:
        """Return where a record stands, for an error."""
        dataset, found = self._shards[shard]
        return f"{dataset.path / found.file}[{record}]"

    def _read_shard(self, number: int) -> Integers:
        dataset, shard = self._shards[number]
        sizes = np.zeros((shard.records, len(SIZES)), dtype=np.int64)
        fields = {name: type_ for name, type_ in self._fields.items() if name in dataset.schema.fields}
        columns = [f"{name}.{measure}" for name, type_ in fields.items() for measure in _MEASURES.get(type_.kind, ())]
        try:
            table = dataset.index(shard, columns).table if columns else None
        except DatasetError:
            fields = {}  # each record that is read from this shard is reported by itself
        for name, type_ in fields.items():
            if type_.kind in _MEASURES:
                measures = [_numbers(table, f"{name}.{measure}") for measure in _MEASURES[type_.kind]]
                sizes[:, SIZES.index(_SIZE_OF_KIND[type_.kind])] += self._counted(name, type_, measures)
        return np.maximum(sizes, 1)

    def _counted(self, name: str, type_: FieldType, measures: list[NDArray[np.float64]]) -> Integers:
        match type_.kind:
            case "tokens":
                counted = np.minimum(measures[0], self._options.max_tokens or np.inf)
            case "audio":
                # A recording that is a whole number of hops long, up to the rounding of its seconds, begins no further one.
                counted = np.ceil(np.minimum(measures[0], self._options.max_seconds or np.inf) / self._units.hop - 1e-6)
            case _:
                *frames, width, height = measures
                if isinstance(view := self._options.views.get(name), PictureView):
                    height, width = (np.where(width > 0, size, 0) for size in view.size)
                counted = np.ceil(width / self._units.patch) * np.ceil(height / self._units.patch)
                counted = counted * frames[0] if frames else counted
        held: Integers = np.clip(np.nan_to_num(counted), 0, _LARGEST).astype(np.int64)  # the index may say anything
        return held


def _numbers(table: pa.Table, column: str) -> NDArray[np.float64]:
    """Return a column as numbers; that of an absent field is 0."""
    numbers: NDArray[np.float64] = table.column(column).cast(pa.float64(), safe=False).fill_null(0).to_numpy()
    return numbers
