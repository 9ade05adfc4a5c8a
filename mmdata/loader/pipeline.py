"""The pipeline: batches are read, decoded, collated and copied ahead of their use, and come out in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import torch

from mmdata.loader.batch import Batch, collate
from mmdata.loader.device import Sent, Transfer
from mmdata.loader.example import Example
from mmdata.loader.records import ShardedRecords
from mmdata.loader.schedule import Place, Rows, Schedule
from mmdata.loader.substitution import Slot, Substitution, read_or_substitute

_RECORDS_A_TASK = 8
"""Records that a thread takes at a time: enough to make handing over cheap, few enough to keep all threads busy."""

Read = tuple[Example, Substitution | None]


@dataclass(frozen=True)
class Prepared:
    """A batch on its way to the device, and what was substituted in it."""

    sent: Sent
    substitutions: list[Substitution]


class Pipeline:
    """Prepares the batches of a schedule; what it prepares does not depend on the number of threads."""

    def __init__(self, records: ShardedRecords, schedule: Schedule, transfer: Transfer) -> None:
        self._records = records
        self._schedule = schedule
        self._transfer = transfer

    def run(self, places: Iterable[Place], threads: int, prefetch: int) -> Generator[Prepared]:
        """Yield the batches of these places in order, while up to `prefetch` later ones are being prepared.

        Closing the iterator drops what is not ready and ends the threads.
        """
        pending: deque[Future[Prepared]] = deque()
        with ExitStack() as stack:
            collator = ThreadPoolExecutor(1, "mmdata-collate")
            stack.callback(collator.shutdown, cancel_futures=True)
            decoders = ThreadPoolExecutor(threads, "mmdata-decode")
            stack.callback(decoders.shutdown, cancel_futures=True)  # first: the collator waits for the decoders
            for place in places:
                rows = self._schedule.rows(place)
                parts = [decoders.submit(self._read, rows, part) for part in _parts(rows)]
                pending.append(collator.submit(self._prepare, rows, parts))
                if len(pending) > prefetch:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def _read(self, rows: Rows, slots: list[Slot]) -> list[Read]:
        substitutes = partial(self._schedule.substitutes, rows)
        return [read_or_substitute(self._records, substitutes, slot) for slot in slots]

    def _prepare(self, rows: Rows, parts: list[Future[list[Read]]]) -> Prepared:
        read = list(chain.from_iterable(part.result() for part in parts))
        batch = collate([example for example, _ in read], self._records.types, pin=self._transfer.pinned)
        marked = _marked(batch, rows, [lost is not None for _, lost in read])
        return Prepared(self._transfer.send(marked), [lost for _, lost in read if lost is not None])


def _parts(rows: Rows) -> Iterator[list[Slot]]:
    slots = [
        Slot(rows.place.epoch, *where)
        for where in zip(rows.positions.tolist(), rows.shards.tolist(), rows.records.tolist(), strict=True)
    ]
    return (slots[start : start + _RECORDS_A_TASK] for start in range(0, len(slots), _RECORDS_A_TASK))


def _marked(batch: Batch, rows: Rows, substituted: list[bool]) -> Batch:
    return replace(
        batch,
        padding=torch.from_numpy(rows.padding),
        substituted=torch.tensor(substituted),
        epoch=rows.place.epoch,
        step=rows.place.step,
    )
