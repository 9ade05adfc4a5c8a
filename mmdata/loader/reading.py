"""Reading: a thread fetches the records of some rows, decodes them, and puts others in the place of those that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from mmdata.errors import RecordError
from mmdata.loader.access import AMONG_THREADS
from mmdata.loader.decoding import Columns, bytes_in
from mmdata.loader.example import Example
from mmdata.loader.records import ShardedRecords
from mmdata.loader.schedule import Rows, Schedule
from mmdata.loader.shard_files import Entries, Payloads
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

    def read(self, rows: Rows, entries: Entries, columns: Columns, start: int, stop: int) -> Part:
        """Return the records of the rows from `start` to `stop`; pictures of a view are decoded into the columns.

        Raises DatasetError where a record cannot be read, and no substitute for it either.
        """
        begin = perf_counter()
        fetched = self._records.fetch(entries, start, stop, AMONG_THREADS)
        read = perf_counter()
        self._records.decode_together(fetched, columns, start)
        decoded = [self._decoded(entries, found, columns, row) for row, found in enumerate(fetched, start)]
        self._enter(fetched, decoded, read - begin, perf_counter() - read)
        found = list(self._substituted(rows, entries, start, decoded))
        return Part([example for example, _ in found], [lost for _, lost in found])

    def _decoded(self, entries: Entries, found: Payloads | RecordError, columns: Columns, row: int) -> Example | RecordError:
        if isinstance(found, RecordError):
            return found
        try:
            return self._records.decode(entries, found, columns, row)
        except RecordError as error:
            return error.alone()

    def _substituted(
        self, rows: Rows, entries: Entries, start: int, decoded: list[Example | RecordError]
    ) -> Iterator[tuple[Example, Substitution | None]]:
        for row, found in enumerate(decoded, start):
            if isinstance(found, RecordError):
                slot = Slot(rows.place.epoch, int(rows.positions[row]), int(rows.shards[row]), int(rows.records[row]))
                read = partial(self._records.read, seed=self._schedule.order.seed, epoch=slot.epoch)
                yield substituted(slot, entries.keys[row], found, self._schedule.substitutes(rows, slot.position), read)
            else:
                yield found, None

    def _enter(
        self, fetched: list[Payloads | RecordError], decoded: list[Example | RecordError], reading: float, decoding: float
    ) -> None:
        payloads = [found for found in fetched if not isinstance(found, RecordError)]
        fields = [found.fields for found in decoded if isinstance(found, Example)]
        self._meter.add("read", len(fetched), sum(sum(map(len, each.values())) for each in payloads), reading)
        self._meter.add("decode", len(decoded), sum(sum(map(bytes_in, each.values())) for each in fields), decoding)
