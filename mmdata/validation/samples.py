"""Single records of a dataset, with their payloads: found by key, or drawn evenly over the dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mmdata.codec import METADATA_MEMBER
from mmdata.dataset import Dataset, Shard
from mmdata.errors import DatasetError
from mmdata.keys import key_for
from mmdata.record import Record
from mmdata.schema import Schema
from mmdata.shards.index import ShardIndex


@dataclass(frozen=True)
class Sample:
    """A record, decoded, and the payloads of its members by extension, as they stand in its shard."""

    shard: Shard
    record: Record
    payloads: Mapping[str, bytes]
    schema: Schema
    members: Mapping[str, str]

    def payload_of(self, field: str) -> tuple[bytes, str]:
        """Return the payload of a field, and its format."""
        extension = next(extension for extension, name in self.members.items() if name == field)
        return self.payloads[extension], extension.rpartition(".")[2]


def find_sample(dataset: Dataset, key: str) -> Sample:
    """Return the record with this key, or with this key in the source. Raises DatasetError where there is none."""
    wanted = {key, key_for(key)}
    for shard in dataset.shards:
        index = dataset.index(shard)
        for place, found in enumerate(index.column("key")):
            if found in wanted:
                return _sample(dataset, shard, index, place)
    raise DatasetError(f"{dataset.path}: there is no record with the key {key!r}; the keys stand in index/*.parquet")


def draw_samples(dataset: Dataset, count: int) -> list[Sample]:
    """Return up to `count` records, evenly over the dataset. Damaged ones are left out: to name them is not the task here."""
    samples = []
    total = len(dataset)
    count = min(count, total)
    for position in ((2 * number + 1) * total // (2 * count) for number in range(count)):
        shard, place = _place(dataset, position)
        try:
            samples.append(_sample(dataset, shard, dataset.index(shard), place))
        except Exception:  # noqa: BLE001, S112 - a damaged record may raise anything
            continue
    return samples


def _place(dataset: Dataset, position: int) -> tuple[Shard, int]:
    for shard in dataset.shards:
        if position < shard.records:
            return shard, position
        position -= shard.records
    raise IndexError("position lies behind the last record")


def _sample(dataset: Dataset, shard: Shard, index: ShardIndex, place: int) -> Sample:
    with dataset.open_shard(shard) as reader:
        payloads = {extension: reader.read(index.members(extension)[place]) for extension in _extensions(dataset)}
    record = dataset.codec.decode(payloads, index.column("row")[place])
    return Sample(shard, record, payloads, dataset.schema, dataset.members)


def _extensions(dataset: Dataset) -> Iterator[str]:
    return iter(sorted([*dataset.members, METADATA_MEMBER]))
