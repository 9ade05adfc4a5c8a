"""The pipeline: batches are planned, read, decoded, collated and copied ahead of their use, and come out in order.

What is done for each record is done by many threads, in parts of several records. The interpreter's lock lets only one of them
run Python at a time, so what matters is how little Python a record takes, and how seldom its thread has to ask for the lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from time import perf_counter

import torch

from mmdata.loader.batch import Batch
from mmdata.loader.collating import Collation
from mmdata.loader.decoding import Columns
from mmdata.loader.device import Sent, Transfer
from mmdata.loader.packed import pack
from mmdata.loader.reading import Part, PartReader
from mmdata.loader.records import ShardedRecords
from mmdata.loader.schedule import Place, Rows, Schedule
from mmdata.loader.scratch import BatchMemory
from mmdata.loader.stats import Meter
from mmdata.loader.substitution import Substitution

_RECORDS_A_TASK = 16
"""Records that a thread takes at a time: enough to make handing over cheap, few enough to keep all threads busy."""

_RECORDS_A_DEVICE = 64
"""The same where the device decodes: it is the faster the more it is given."""

_BYTES_A_TASK = 1 << 22
"""Bytes of a batch that a thread fills at a time: half a millisecond's work; less is not worth handing over."""

_FILLERS = 4
"""Threads that fill batches at most: memory is no faster with more of them."""

_IN_USE = 4
"""Batches that a consumer holds, about: memory of so many more than are prepared ahead is kept to be used again."""


@dataclass(frozen=True)
class Prepared:
    """A batch on its way to the device, what was substituted in it, and the step that follows."""

    sent: Sent
    substitutions: list[Substitution]
    following: Place


@dataclass(frozen=True)
class Planned:
    """The records of a batch, the step that follows, the columns that are decoded into, and the decoding under way."""

    rows: Rows
    following: Place
    columns: Columns
    parts: list[Future[Part]]


@dataclass(frozen=True)
class _Threads:
    """The threads of a run: one plans, many decode, one puts batches together, and a few fill them."""

    planner: ThreadPoolExecutor
    decoders: ThreadPoolExecutor
    collator: ThreadPoolExecutor
    fillers: ThreadPoolExecutor

    @classmethod
    def start(cls, decoders: int, stack: ExitStack) -> _Threads:
        """Start them; the stack ends them, those first that wait for others."""

        def pool(threads: int, name: str) -> ThreadPoolExecutor:
            made = ThreadPoolExecutor(threads, f"mmdata-{name}")
            stack.callback(made.shutdown, cancel_futures=True)
            return made

        fillers, collator = pool(min(_FILLERS, decoders), "fill"), pool(1, "collate")
        planner = pool(1, "plan")  # so that the consumer waits for no plan
        return cls(planner, pool(decoders, "decode"), collator, fillers)


class Pipeline:
    """Prepares the batches of a schedule; what it prepares does not depend on the number of threads."""

    def __init__(self, records: ShardedRecords, schedule: Schedule, transfer: Transfer, meter: Meter) -> None:
        self._records = records
        self._schedule = schedule
        self._transfer = transfer
        self._meter = meter
        self._reader = PartReader(records, schedule, meter)

    def run(self, place: Place, threads: int, prefetch: int) -> Generator[Prepared]:
        """Yield the batch of this step and of all that follow, while up to `prefetch` later ones are being prepared.

        Closing the iterator drops what is not ready and ends the threads.
        """
        pending: deque[Future[Prepared]] = deque()
        memory = BatchMemory(len(self._records.types) * (prefetch + _IN_USE), pin=self._transfer.pinned)
        steps = self._schedule.onward(place)
        with ExitStack() as stack:
            started = _Threads.start(threads, stack)
            while True:
                planned = started.planner.submit(self._plan, steps, started.decoders, memory)
                pending.append(started.collator.submit(self._prepare, planned, started.fillers, memory))
                if len(pending) > prefetch:
                    yield self._next(pending)

    def _plan(self, steps: Iterator[tuple[Rows, Place]], decoders: ThreadPoolExecutor, memory: BatchMemory) -> Planned:
        """Find the records of the next batch, what the index says of them and where they are decoded to; have that done."""
        rows, following = next(steps)
        entries = self._records.look_up(rows.shards, rows.records)
        columns = self._records.columns(entries, self._schedule.order.seed, rows.place.epoch, memory)
        count, size = len(entries), _RECORDS_A_DEVICE if self._records.on_device else _RECORDS_A_TASK
        parts = [
            decoders.submit(self._reader.read, rows, entries, columns, start, min(start + size, count))
            for start in range(0, count, size)
        ]
        return Planned(rows, following, columns, parts)

    def _next(self, pending: deque[Future[Prepared]]) -> Prepared:
        self._meter.ready(sum(1 for future in pending if future.done()))
        return pending.popleft().result()

    def _prepare(self, plan: Future[Planned], fillers: ThreadPoolExecutor, memory: BatchMemory) -> Prepared:
        planned = plan.result()
        parts = [part.result() for part in planned.parts]
        examples = [example for part in parts for example in part.examples]
        lost = [entry for part in parts for entry in part.lost]
        begin = perf_counter()
        with self._transfer.stream():
            collation = Collation(examples, self._records.types, planned.columns, memory)
        _fill(collation, len(examples), fillers)
        batch = _packed(collation.batch(), planned.rows, pin=memory.pinned)
        self._meter.fill(batch.filled())
        marked = _marked(batch, planned.rows, [entry is not None for entry in lost])
        self._meter.add("collate", len(batch), batch.nbytes, perf_counter() - begin)
        return Prepared(self._transfer.send(marked), [entry for entry in lost if entry is not None], planned.following)


def _fill(collation: Collation, rows: int, fillers: ThreadPoolExecutor) -> None:
    """Fill a batch, in several threads where that is worth it."""
    tasks = min(rows, collation.nbytes // _BYTES_A_TASK)
    if tasks < 2:
        collation.fill(0, rows)
        return
    borders = [number * rows // tasks for number in range(tasks + 1)]
    filled = [fillers.submit(collation.fill, start, stop) for start, stop in pairwise(borders)]
    for each in filled:
        each.result()


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
        padding=torch.tensor(rows.padding),  # its own memory: the schedule keeps the step, and a batch may be changed
        substituted=torch.tensor(substituted),
        epoch=rows.place.epoch,
        step=rows.place.step,
    )
