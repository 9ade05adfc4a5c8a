"""Reading: a thread fetches the records of some rows, decodes them, and puts others in the place of those that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from mmdata.errors import RecordError
from mmdata.loader.decoding import bytes_in
from mmdata.loader.example import Example
from mmdata.loader.records import ShardedRecords
from mmdata.loader.schedule import Rows, Schedule
from mmdata.loader.seat import Columns, Seats
from mmdata.loader.shard_files import Raw
from mmdata.loader.stats import Meter
from mmdata.loader.substitution import Slot, Substitution, substituted


@dataclass(frozen=True, eq=False)
class Part:
    """The records of some rows of a batch, in order, and for each the entry for the ledger where it is a substitute."""

    examples: list[Example]
    lost: list[Substitution | None]


class PartReader:
    """Reads parts of batches; threads share it.

    All records of a part are fetched before the first is decoded: so a thread has its clock read, and its work entered, once a
    part.
    """

    def __init__(self, records: ShardedRecords, schedule: Schedule, meter: Meter) -> None:
        self._records, self._schedule, self._meter = records, schedule, meter

    def read(self, rows: Rows, columns: Columns, start: int, stop: int) -> Part:
        """Return the records of the rows from `start` to `stop`; pictures of a view are written into the columns there are.

        Raises DatasetError where a record cannot be read, and no substitute for it either.
        """
        seats = Seats(self._schedule.order.seed, rows.place.epoch, columns)
        places = zip(rows.shards[start:stop].tolist(), rows.records[start:stop].tolist(), strict=True)
        begin = perf_counter()
        fetched = [self._fetched(shard, record) for shard, record in places]
        read = perf_counter()
        decoded = [self._decoded(found, seats, row) for row, found in enumerate(fetched, start)]
        self._enter(fetched, decoded, read - begin, perf_counter() - read)
        examples, lost = zip(*self._substituted(rows, seats, start, decoded), strict=True)
        return Part(list(examples), list(lost))

    def _fetched(self, shard: int, record: int) -> Raw | RecordError:
        try:
            return self._records.fetch(shard, record)
        except RecordError as error:
            return error

    def _decoded(self, found: Raw | RecordError, seats: Seats, row: int) -> Example | RecordError:
        if isinstance(found, RecordError):
            return found
        try:
            return self._records.decode(found, seats, row)
        except RecordError as error:
            return error

    def _substituted(
        self, rows: Rows, seats: Seats, start: int, decoded: list[Example | RecordError]
    ) -> Iterator[tuple[Example, Substitution | None]]:
        for row, found in enumerate(decoded, start):
            if isinstance(found, RecordError):
                slot = Slot(rows.place.epoch, int(rows.positions[row]), int(rows.shards[row]), int(rows.records[row]))
                read = partial(self._records.read, seats=seats, row=row)
                others = self._schedule.substitutes(rows, slot.position)
                yield substituted(slot, self._records.name(slot.shard, slot.record), found, others, read)
            else:
                yield found, None

    def _enter(
        self, fetched: list[Raw | RecordError], decoded: list[Example | RecordError], reading: float, decoding: float
    ) -> None:
        payloads = [found.payloads for found in fetched if isinstance(found, Raw)]
        fields = [found.fields for found in decoded if isinstance(found, Example)]
        self._meter.add("read", len(fetched), sum(sum(map(len, each.values())) for each in payloads), reading)
        self._meter.add("decode", len(decoded), sum(sum(map(bytes_in, each.values())) for each in fields), decoding)
