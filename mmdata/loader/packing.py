"""Packed batches: the token sequences of several records share a row, with their borders kept.

A step takes consecutive positions of the order, as many as its rows can hold; so it is known by where it begins. The index alone
says how long each sequence is. Within the step the longest sequence is placed first, each in the fullest row that still has room
(best-fit decreasing; Johnson, "Near-optimal bin packing algorithms", 1973).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass

import numpy as np

from mmdata.errors import ConfigError
from mmdata.loader.batching import SIZES, Packing
from mmdata.loader.options import Last, Ranks
from mmdata.loader.order import Integers, RecordOrder
from mmdata.loader.schedule import PackedRows, Step, check_divisible, count_steps
from mmdata.loader.sizes import Sizes

_TOKENS = SIZES.index("tokens")

_LOOK_AHEAD = 256
"""The lengths of so many sequences are looked up first; then of twice as many, and so on, until the rows are full."""


@dataclass(frozen=True, eq=False)
class ByPacking:
    """Steps of packed rows of a field; `sizes_of` counts the tokens of that one alone.

    Every row has at least one record. At the end of an epoch, records that are fewer than the rows are dropped, or padded.
    """

    packing: Packing
    field: str
    sizes_of: Sizes
    last: Last = "drop"

    @property
    def multiple(self) -> int:
        """The number that every step's records are a multiple of."""
        return 1

    def check(self, order: RecordOrder, ranks: Ranks) -> None:
        """Raise ConfigError where the rows cannot be divided among the ranks, or an epoch would have no step."""
        check_divisible("rows", self.packing.rows, ranks.world_size)
        if order.records < self.packing.rows and self.last == "drop":
            raise ConfigError(
                f"an epoch has {order.records} records, fewer than the {self.packing.rows} rows: take fewer rows, or last='pad'"
            )

    def step(self, order: RecordOrder, epoch: int, start: int) -> Step | None:
        """Return the step that begins at a position; None where what is left of the epoch is none.

        Raises ConfigError for a record that is longer than a row.
        """
        left = order.records - start
        if left <= 0 or (left < self.packing.rows and self.last == "drop"):
            return None
        lengths = self._lengths(order, epoch, start, left)
        rows = self._packed(order, epoch, start, lengths)
        count = len(rows)
        if count < self.packing.rows:  # only where the epoch has no more
            rows = np.arange(self.packing.rows)
        dealt = np.argsort(rows, kind="stable")
        taken = np.resize(np.arange(count, dtype=np.int64), len(rows))[dealt]
        packed = PackedRows(self.field, self.packing.rows, self.packing.length, rows[dealt], lengths[taken])
        return Step(start + count, start + taken, dealt >= count, packed)

    def steps(self, order: RecordOrder, epoch: int) -> int:
        """Return the number of steps of an epoch, by packing them all."""
        return count_steps(self, order, epoch)

    def agrees(self, step: int, position: int) -> bool:
        """Whether the step of this number may begin at this position: each one before it took a record a row."""
        return step <= position // self.packing.rows and (step == 0) == (position == 0)

    def sizes(self, shards: Integers, records: Integers) -> None:  # noqa: ARG002 - no size matters
        """Return None: what stands in for a record is cut to its length."""
        return

    def _lengths(self, order: RecordOrder, epoch: int, start: int, left: int) -> Integers:
        """Return the lengths of the sequences from a position on, at least as many as the rows could hold without a gap."""
        look = 0
        while True:
            look = min(2 * look + _LOOK_AHEAD, left)
            lengths = self.sizes_of.along(order, epoch, start, start + look)[:, _TOKENS]
            if look == left or lengths.sum() > self.packing.rows * self.packing.length:
                return lengths

    def _packed(self, order: RecordOrder, epoch: int, start: int, lengths: Integers) -> Integers:
        """Return the row of each of the first sequences, int64 [n]: as many of them as are found to fit.

        Raises ConfigError for one that is longer than a row.
        """
        count = int(np.searchsorted(np.cumsum(lengths), self.packing.rows * self.packing.length, side="right"))
        longer = np.flatnonzero(lengths[: count + 1] > self.packing.length)
        if len(longer):
            shards, records = order.locate(epoch, start + longer[:1])
            name = self.sizes_of.name(int(shards[0]), int(records[0]))
            raise ConfigError(
                f"{name}: a record of {lengths[longer[0]]} tokens does not fit a row "
                f"of {self.packing.length}; take longer rows, or set max_tokens"
            )
        while (rows := best_fit(lengths[:count], self.packing.rows, self.packing.length)) is None:
            count -= max(1, count // 256)
        return _all_used(rows, self.packing.rows)


def best_fit(lengths: Integers, rows: int, length: int) -> Integers | None:
    """Return the row of each sequence, int64 [n], so that no row holds more than `length`; None where that is not found.

    Rows are numbered by the first sequence in them.
    """
    free = [(length, row) for row in range(rows)]
    placed = np.empty(len(lengths), dtype=np.int64)
    sizes = lengths.tolist()
    for sequence in np.argsort(-lengths, kind="stable").tolist():
        fitting = bisect_left(free, (sizes[sequence], -1))
        if fitting == rows:
            return None
        room, row = free.pop(fitting)
        placed[sequence] = row
        insort(free, (room - sizes[sequence], row))
    # The longest came first into the first rows; by their first sequence, rows are as mixed as the order is.
    _, first, which = np.unique(placed, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[which]


def _all_used(rows: Integers, count: int) -> Integers:
    """Return rows of which none is empty, where there are as many sequences: one is taken from the row that has most."""
    rows = rows.copy()
    while len(rows) >= count and (used := np.bincount(rows, minlength=count)).min() == 0:
        rows[np.flatnonzero(rows == int(used.argmax()))[-1]] = int(used.argmin())
    return rows
