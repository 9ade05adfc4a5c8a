"""The schedule: which records make the batch of a step, and which part of that batch is this rank's.

It stands on the order and knows neither files nor torch. Step t of an epoch is the positions [t B, (t + 1) B) with B the
batch size of all ranks together; rank r takes the r-th of `world_size` equal, contiguous parts. So the whole batch of a step is
the same for every world size, and every rank has equally many steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmdata.errors import ConfigError
from mmdata.loader.options import Last, Ranks
from mmdata.loader.order import Integers, Order

_ONE_PROCESS = Ranks()


@dataclass(frozen=True)
class Place:
    """A step of an epoch; both count from 0."""

    epoch: int
    step: int


@dataclass(frozen=True)
class Rows:
    """One rank's part of a batch: positions in the epoch, shard and record of each (int64 [n]), and which are padding."""

    place: Place
    positions: Integers
    shards: Integers
    records: Integers
    padding: NDArray[np.bool_]


@dataclass(frozen=True)
class Schedule:
    """The batches of one rank; `batch_size` counts the records of all ranks together.

    Raises ConfigError where the batch cannot be divided among the ranks, or an epoch would have no step.
    """

    order: Order
    batch_size: int
    ranks: Ranks = _ONE_PROCESS
    last: Last = "drop"

    def __post_init__(self) -> None:
        size, ranks = self.batch_size, self.ranks.world_size
        if size < 1:
            raise ConfigError(f"batch_size is at least 1, not {size}")
        if size % ranks:
            fitting = " and ".join(str(fit) for fit in (size // ranks * ranks, -(-size // ranks) * ranks) if fit)
            raise ConfigError(
                f"batch_size {size} (of all ranks together) is no multiple of world_size {ranks}; {fitting} would fit"
            )
        if not self.steps:
            raise ConfigError(
                f"an epoch has {self.order.records} records, fewer than batch_size {size}: "
                f"choose a batch_size of at most {self.order.records}, or last='pad'"
            )

    @property
    def steps(self) -> int:
        """Steps of an epoch, the same on every rank."""
        full, rest = divmod(self.order.records, self.batch_size)
        return full + (rest > 0 and self.last == "pad")

    def after(self, place: Place) -> Place:
        """Return the step that follows; the last one of an epoch is followed by the first one of the next."""
        return Place(place.epoch, place.step + 1) if place.step + 1 < self.steps else Place(place.epoch + 1, 0)

    def onward(self, place: Place) -> Iterator[Place]:
        """Yield this step and all that follow, through the epochs, without end."""
        while True:
            yield place
            place = self.after(place)

    def rows(self, place: Place) -> Rows:
        """Return what this rank reads in a step. Raises IndexError for a step that the epoch does not have."""
        positions, padding = self._positions(place.step)
        shards, records = self.order.locate(place.epoch, positions)
        return Rows(place, positions, shards, records, padding)

    def indices(self, place: Place) -> Integers:
        """Return the same rows as numbers of records, int64 [n], counted through all shards of the split."""
        return self.order.indices(place.epoch, self._positions(place.step)[0])

    def _positions(self, step: int) -> tuple[Integers, NDArray[np.bool_]]:
        if not 0 <= step < self.steps:
            raise IndexError(f"steps of an epoch go from 0 to {self.steps - 1}, not to {step}")
        part = self.batch_size // self.ranks.world_size
        start = step * self.batch_size + self.ranks.rank * part
        positions = np.arange(start, start + part, dtype=np.int64)
        return positions % self.order.records, positions >= self.order.records


class StepSampler:
    """A batch sampler for a plain `torch.utils.data.DataLoader`: the same records in the same steps as the loader's.

    Each iteration is one epoch; the next iteration is the next epoch, unless `set_epoch` says otherwise.
    """

    def __init__(self, schedule: Schedule, epoch: int = 0) -> None:
        self._schedule = schedule
        self._epoch = epoch

    def set_epoch(self, epoch: int) -> None:
        """Begin the next iteration with this epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._schedule.steps

    def __iter__(self) -> Iterator[list[int]]:
        # A generator: the epoch counts once the first batch is asked for. With workers, torch makes two iterators and uses one.
        epoch, self._epoch = self._epoch, self._epoch + 1
        for step in range(len(self)):
            yield self._schedule.indices(Place(epoch, step)).tolist()
