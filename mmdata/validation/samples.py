"""Single records of a dataset, with their payloads: found by key, or drawn evenly over the dataset."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from mmdata.codec import METADATA_MEMBER
from mmdata.dataset import Dataset, Shard
from mmdata.errors import DatasetError
from mmdata.keys import key_for
from mmdata.record import Record
from mmdata.schema import Schema
from mmdata.shards.index import ShardIndex

_MOST_COMPARED = 100_000
"""Keys that are compared with one that is not there: enough for a hint, few enough not to be waited for."""


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


@dataclass(frozen=True)
class Rejected:
    """What `rejects.parquet` says of a row that is in no shard; `key` is the one that the source has for it."""

    key: str
    row: int
    kind: str
    stage: str
    reason: str
    detail: str

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"rejected in {self.stage}: {self.reason}{detail}"


def find_records(dataset: Dataset, key: str) -> list[tuple[Shard, int, str]]:
    """Return shard, place and key of the record with this key; else of all records of the row with this key in the source."""
    wanted = {key, key_for(key)}
    of_the_row = []
    for shard in dataset.shards:
        index = dataset.index(shard, ["key", "source_key"])
        for place, (found, source_key) in enumerate(zip(index.column("key"), index.column("source_key"), strict=True)):
            if found in wanted:
                return [(shard, place, found)]
            if source_key == key:
                of_the_row.append((shard, place, found))
    return of_the_row


def find_rejected(dataset: Dataset, key: str) -> list[Rejected]:
    """Return what was rejected of the row with this key."""
    return [Rejected(**one) for one in dataset.rejects() if key in {one["key"], key_for(one["key"])}]


def no_such_key(dataset: Dataset, key: str) -> DatasetError:
    """Return the error for a key that neither a record nor a rejected row has; it names the keys that are most like it."""
    near = difflib.get_close_matches(key, dict.fromkeys(islice(_keys(dataset), _MOST_COMPARED)), n=3)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "the keys stand in index/*.parquet and rejects.parquet"
    return DatasetError(f"{dataset.path}: there is no record and no rejected row with the key {key!r}; {hint}")


def _keys(dataset: Dataset) -> Iterator[str]:
    yield from (one["key"] for one in dataset.rejects())
    for shard in dataset.shards:
        index = dataset.index(shard, ["key", "source_key"])
        yield from index.column("source_key")
        yield from index.column("key")


def read_sample(dataset: Dataset, shard: Shard, place: int) -> Sample:
    """Return the record at a place of a shard."""
    return _sample(dataset, shard, dataset.index(shard), place)


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
