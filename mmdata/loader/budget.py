"""Batches by budget: as many records as fit, counted in tokens, patches and frames, planned from the index alone.

A step takes consecutive positions of the order, so it is known by where it begins. It grows by as many records at a time as the
least common multiple of the world sizes that are declared, and ends before it would exceed a limit. So every one of these world
sizes can share the same step equally, and each rank has equally many steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm

import numpy as np
from numpy.typing import NDArray

from mmdata.errors import ConfigError
from mmdata.loader.batching import SIZES, Budget
from mmdata.loader.options import Last, Ranks
from mmdata.loader.order import Integers, RecordOrder
from mmdata.loader.schedule import Step, count_steps
from mmdata.loader.sizes import Sizes

_LOOK_AHEAD = 256
"""So many records are looked at first; then twice as many, and so on, until the step is full."""


@dataclass(frozen=True, eq=False)
class ByBudget:
    """Steps within a budget. What is left at the end of an epoch and cannot be shared equally is dropped, or padded."""

    budget: Budget
    sizes_of: Sizes
    last: Last = "drop"

    @property
    def multiple(self) -> int:
        """The number that every step's records are a multiple of: any declared world size divides it."""
        return lcm(*self.budget.world_sizes)

    def check(self, order: RecordOrder, ranks: Ranks) -> None:
        """Raise ConfigError for a world size that was not declared, a limit on what no field has, or an epoch without a step."""
        if ranks.world_size not in self.budget.world_sizes:
            raise ConfigError(
                f"the budget's world_sizes {list(self.budget.world_sizes)} do not have this one, {ranks.world_size}"
            )
        for name in SIZES:
            if getattr(self.budget, name) is not None and name not in self.sizes_of.known:
                raise ConfigError(f"the budget limits {name}, but no field of the dataset that is read has any")
        if order.records < self.multiple and self.last == "drop":
            raise ConfigError(f"an epoch has {order.records} records, too few for {self.multiple} ranks: choose last='pad'")

    def step(self, order: RecordOrder, epoch: int, start: int) -> Step | None:
        """Return the step that begins at a position; None where what is left of the epoch is none.

        Raises ConfigError where records are too large for the budget.
        """
        count, largest = self._fitting(order, epoch, start)
        if count:
            positions = np.arange(start, start + count, dtype=np.int64)
            return Step(start + count, positions, np.zeros(count, dtype=np.bool_), room=largest)
        left = order.records - start
        if left <= 0 or (left < self.multiple and self.last == "drop"):
            return None
        return self._padded(order, epoch, start, left)

    def steps(self, order: RecordOrder, epoch: int) -> int:
        """Return the number of steps of an epoch, by going through them."""
        return count_steps(self, order, epoch)

    def agrees(self, step: int, position: int) -> bool:
        """Whether the step of this number may begin at this position: each one before it took some records."""
        return position % self.multiple == 0 and step <= position // self.multiple and (step == 0) == (position == 0)

    def sizes(self, shards: Integers, records: Integers) -> Integers:
        """Return the sizes of records, int64 [n, 3]."""
        return self.sizes_of(shards, records)

    def _fitting(self, order: RecordOrder, epoch: int, start: int) -> tuple[int, Integers]:
        """Return how many records from a position on make a step, and the largest sizes among them; 0 where none do."""
        left, look = order.records - start, 0
        while True:
            look = min(2 * look + _LOOK_AHEAD, left)
            largest = np.maximum.accumulate(self.sizes_of.along(order, epoch, start, start + look))
            fits = self._fits(np.arange(1, look + 1), largest)
            count = look if fits.all() else int(np.argmin(fits))
            if count < look or look == left:
                whole = count // self.multiple * self.multiple
                return whole, largest[max(whole - 1, 0)] if look else np.zeros(len(SIZES), dtype=np.int64)

    def _fits(self, counts: Integers, largest: Integers) -> NDArray[np.bool_]:
        """Whether so many records, [n], of which the largest has these sizes, [n, 3], are within the budget; falling in n."""
        held = dict(zip(SIZES, (largest * counts[:, None]).T, strict=True))
        held |= {"total": largest.sum(axis=1) * counts, "records": counts}
        limits = ((name, getattr(self.budget, name)) for name in held)
        within = [held[name] <= limit for name, limit in limits if limit is not None]
        return np.logical_and.reduce(within)  # type: ignore[no-any-return]

    def _padded(self, order: RecordOrder, epoch: int, start: int, left: int) -> Step:
        """Return a step of as few records as the ranks can share, some of them repeated where the epoch has fewer left."""
        count = min(left, self.multiple)
        positions = np.resize(np.arange(start, start + count, dtype=np.int64), self.multiple)
        shards, records = order.locate(epoch, positions)
        sizes = self.sizes_of(shards, records)
        if not self._fits(np.array([self.multiple]), sizes.max(axis=0)[None]).all():
            largest = int(np.argmax(sizes.sum(axis=1)))
            found = ", ".join(f"{size} {name}" for size, name in zip(sizes[largest].tolist(), SIZES, strict=True))
            name = self.sizes_of.name(int(shards[largest]), int(records[largest]))
            raise ConfigError(
                f"{name}: a record of {found} does not fit the budget, "
                f"which at least {self.multiple} records share; raise the budget, or set max_tokens or max_seconds"
            )
        return Step(start + count, positions, np.arange(self.multiple) >= count, room=sizes.max(axis=0))
