"""The pipeline: batches are read, decoded, collated and copied ahead of their use, and come out in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from time import perf_counter

import torch

from mmdata.loader.batch import Batch, collate
from mmdata.loader.device import Sent, Transfer
from mmdata.loader.example import Example
from mmdata.loader.packed import pack
from mmdata.loader.records import ShardedRecords
from mmdata.loader.schedule import Place, Rows, Schedule
from mmdata.loader.scratch import Scratch
from mmdata.loader.seat import Columns, Seat
from mmdata.loader.stats import Meter, Tally
from mmdata.loader.substitution import Slot, Substitution, read_or_substitute

_RECORDS_A_TASK = 8
"""Records that a thread takes at a time: enough to make handing over cheap, few enough to keep all threads busy."""

_IN_USE = 4
"""Batches that a consumer holds, about: memory of so many more than are prepared ahead is kept to be used again."""

Part = list[tuple[int, Slot]]
"""Rows of a batch, and which records belong there."""

Read = tuple[Example, Substitution | None]


@dataclass(frozen=True)
class Prepared:
    """A batch on its way to the device, and what was substituted in it."""

    sent: Sent
    substitutions: list[Substitution]


@dataclass(frozen=True)
class Planned:
    """The records of a batch, the columns that they are decoded into, and their decoding under way."""

    rows: Rows
    columns: Columns
    parts: list[Future[list[Read]]]


class Pipeline:
    """Prepares the batches of a schedule; what it prepares does not depend on the number of threads."""

    def __init__(self, records: ShardedRecords, schedule: Schedule, transfer: Transfer, meter: Meter) -> None:
        self._records = records
        self._schedule = schedule
        self._transfer = transfer
        self._meter = meter

    def run(self, places: Iterable[Place], threads: int, prefetch: int) -> Generator[Prepared]:
        """Yield the batches of these places in order, while up to `prefetch` later ones are being prepared.

        Closing the iterator drops what is not ready and ends the threads.
        """
        pending: deque[Future[Prepared]] = deque()
        scratch = Scratch(most=len(self._records.shapes) * (prefetch + _IN_USE))
        with ExitStack() as stack:
            collator = ThreadPoolExecutor(1, "mmdata-collate")
            stack.callback(collator.shutdown, cancel_futures=True)
            planner = ThreadPoolExecutor(1, "mmdata-plan")  # so that the consumer waits for no plan
            stack.callback(planner.shutdown, cancel_futures=True)
            decoders = ThreadPoolExecutor(threads, "mmdata-decode")
            stack.callback(decoders.shutdown, cancel_futures=True)  # first: each waits for the one below it
            for place in places:
                planned = planner.submit(self._plan, place, decoders, scratch)
                pending.append(collator.submit(self._prepare, planned))
                if len(pending) > prefetch:
                    yield self._next(pending)
            while pending:
                yield self._next(pending)

    def _plan(self, place: Place, decoders: ThreadPoolExecutor, scratch: Scratch) -> Planned:
        """Find the records of a batch and have them decoded."""
        rows = self._schedule.rows(place)
        columns = {name: scratch.array((len(rows.positions), *shape)) for name, shape in self._records.shapes.items()}
        return Planned(rows, columns, [decoders.submit(self._read, rows, part, columns) for part in _parts(rows)])

    def _next(self, pending: deque[Future[Prepared]]) -> Prepared:
        self._meter.ready(sum(1 for future in pending if future.done()))
        return pending.popleft().result()

    def _read(self, rows: Rows, part: Part, columns: Columns) -> list[Read]:
        tally, seed, substitutes = Tally(), self._schedule.order.seed, partial(self._schedule.substitutes, rows)
        read = [
            read_or_substitute(self._records, substitutes, slot, Seat(seed, slot.epoch, row, columns, tally))
            for row, slot in part
        ]
        self._meter.tally(tally)
        return read

    def _prepare(self, plan: Future[Planned]) -> Prepared:
        planned = plan.result()
        read = list(chain.from_iterable(part.result() for part in planned.parts))
        begin = perf_counter()
        tensors = {name: torch.from_numpy(column) for name, column in planned.columns.items()}
        batch = collate([example for example, _ in read], self._records.types, tensors, pin=self._transfer.pinned)
        batch = _packed(batch, planned.rows, pin=self._transfer.pinned)
        self._meter.fill(batch.filled())
        marked = _marked(batch, planned.rows, [lost is not None for _, lost in read])
        self._meter.add("collate", len(batch), batch.nbytes, perf_counter() - begin)
        return Prepared(self._transfer.send(marked), [lost for _, lost in read if lost is not None])


def _parts(rows: Rows) -> Iterator[Part]:
    slots = [
        (row, Slot(rows.place.epoch, *where))
        for row, where in enumerate(zip(rows.positions.tolist(), rows.shards.tolist(), rows.records.tolist(), strict=True))
    ]
    return (slots[start : start + _RECORDS_A_TASK] for start in range(0, len(slots), _RECORDS_A_TASK))


def _packed(batch: Batch, rows: Rows, *, pin: bool) -> Batch:
    """Return the batch with the sequences of its packed field in shared rows; as it is, where none is packed."""
    if rows.packed is None:
        return batch
    field = rows.packed.field
    tokens = batch.fields[field]
    assert isinstance(tokens, torch.Tensor)
    tokens, lengths, packed = pack(tokens, batch.lengths[field], rows.packed)
    batch = replace(batch, fields={**batch.fields, field: tokens}, lengths={**batch.lengths, field: lengths}, packed=packed)
    return batch.pin_memory() if pin else batch


def _marked(batch: Batch, rows: Rows, substituted: list[bool]) -> Batch:
    return replace(
        batch,
        padding=torch.from_numpy(rows.padding),
        substituted=torch.tensor(substituted),
        epoch=rows.place.epoch,
        step=rows.place.step,
    )
