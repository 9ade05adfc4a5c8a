"""What happens to a record that cannot be read: another one takes its place, and the ledger says so.

The substitute is a pure function of seed, epoch and position, so positions never shift, every rank has equally many steps, and
a run that is resumed sees the same batches.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from mmdata.errors import DatasetError, RecordError
from mmdata.loader.example import Example

ATTEMPTS = 64
"""So many substitutes are tried; where all of them fail, the dataset is beyond use."""


@dataclass(frozen=True)
class Substitution:
    """An entry of the ledger: the record of this position could not be read, and which key stood in for it.

    `shard` and `record` count in the split, from 0; `key` is `SHARD[record]` where even the index is lost. `reason` is short and
    countable, `detail` is of this one.
    """

    epoch: int
    position: int
    shard: int
    record: int
    key: str
    reason: str
    detail: str
    substitute: str


@dataclass(frozen=True)
class Slot:
    """A position of an epoch, and the shard and record that the order has there."""

    epoch: int
    position: int
    shard: int
    record: int


Place = tuple[int, int]
"""A shard, and the number of a record in it."""


def substituted(
    slot: Slot, key: str, error: RecordError, others: Iterator[Place], read: Callable[[int, int], Example]
) -> tuple[Example, Substitution]:
    """Return what stands in for the record of a slot, which could not be read, and the entry for the ledger.

    `others` are the places of those that may, the best first, and `read` reads one. Raises DatasetError where none can be read.
    """
    for shard, record in islice(others, ATTEMPTS):
        try:
            found = read(shard, record)
        except RecordError:
            continue
        return found, Substitution(**vars(slot), key=key, reason=error.reason, detail=error.detail, substitute=found.key)
    raise DatasetError(
        f"{key}: {error}; no substitute for it can be read either: see what is left of the dataset with `mmdata validate`"
    ) from error


class Ledger:
    """The substitutions of the batches that were handed out; the first one of each shard and reason is logged as a warning."""

    def __init__(self, logger: logging.Logger) -> None:
        self.entries: list[Substitution] = []
        self._logger = logger
        self._reported: set[tuple[int, str]] = set()

    def enter(self, substitutions: list[Substitution]) -> None:
        """Append entries."""
        self.entries += substitutions
        for entry in substitutions:
            if (entry.shard, entry.reason) not in self._reported:
                self._reported.add((entry.shard, entry.reason))
                self._logger.warning(
                    "record %s cannot be read (%s: %s); %s stands in for it. More of this kind in this shard are only entered in "
                    "the ledger of the loader",
                    entry.key, entry.reason, entry.detail, entry.substitute,
                )  # fmt: skip
