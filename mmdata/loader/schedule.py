"""The schedule: which records make the batch of a step, and which part of that batch is this rank's.

It stands on the order and knows neither files nor torch. A cut says where each step of an epoch ends, for all ranks together
and without knowing how many they are; a rank takes its contiguous part of the step. So the whole batch of a step is the same for
every world size, and every rank has equally many steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count, takewhile
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mmdata.errors import ConfigError
from mmdata.loader.options import Last, Ranks
from mmdata.loader.order import Integers, RecordOrder

_ONE_PROCESS = Ranks()

_FITTING_ATTEMPTS = 1024
"""Where a substitute has to fit into a planned batch, so many are looked at in the index before the step's own records."""

_STEPS_HELD = 32
"""Steps that are kept once they are cut; so many are looked up at a time at most."""

_LOCATED = 1024
"""Positions that are looked up at a time, about."""


@dataclass(frozen=True)
class Place:
    """A step of an epoch, both counted from 0, and the position of the epoch where it begins."""

    epoch: int
    step: int
    position: int


START = Place(0, 0, 0)


@dataclass(frozen=True, eq=False)
class PackedRows:
    """The `count` rows, of `length` tokens, that the sequences of a field share.

    `rows` and `lengths`, int64 [n], have the row of each record's sequence, ascending, and how long the sequence is.
    """

    field: str
    count: int
    length: int
    rows: Integers
    lengths: Integers

    def part(self, ranks: Ranks) -> tuple[slice, PackedRows]:
        """Return which of the records are a rank's, and its rows, counted from 0."""
        count = self.count // ranks.world_size
        start, end = np.searchsorted(self.rows, [ranks.rank * count, (ranks.rank + 1) * count]).tolist()
        rows = self.rows[start:end] - ranks.rank * count
        return slice(start, end), replace(self, count=count, rows=rows, lengths=self.lengths[start:end])


@dataclass(frozen=True, eq=False)
class Step:
    """A step of all ranks together: it takes the positions from its beginning up to `end`.

    `positions` int64 [n] are in the order of the ranks, and `padding` bool [n] marks those that only fill the batch. `packed` is
    there where records share rows; without, each is a row. `room`, int64 [kinds], is the size that a record may have at most,
    None where it may have any.
    """

    end: int
    positions: Integers
    padding: NDArray[np.bool_]
    packed: PackedRows | None = None
    room: Integers | None = None

    def part(self, ranks: Ranks) -> tuple[slice, PackedRows | None]:
        """Return which of the positions are a rank's, and its rows where records are packed."""
        if self.packed is not None:
            return self.packed.part(ranks)
        count = len(self.positions) // ranks.world_size
        return slice(ranks.rank * count, (ranks.rank + 1) * count), None


class Cut(Protocol):
    """Where the steps of an epoch end. Every method is a pure function of the order, the epoch and the position."""

    @property
    def multiple(self) -> int:
        """The number that every step's records are a multiple of."""

    def check(self, order: RecordOrder, ranks: Ranks) -> None:
        """Raise ConfigError where the steps cannot be divided among the ranks, or an epoch would have no step."""

    def step(self, order: RecordOrder, epoch: int, start: int) -> Step | None:
        """Return the step that begins at a position; None where the epoch has none there."""

    def steps(self, order: RecordOrder, epoch: int) -> int:
        """Return the number of steps of an epoch."""

    def agrees(self, step: int, position: int) -> bool:
        """Whether the step of this number may begin at this position."""

    def sizes(self, shards: Integers, records: Integers) -> Integers | None:
        """Return the sizes of records, int64 [n, kinds], that `Step.room` is about; None where no size matters."""


@dataclass(frozen=True)
class ByCount:
    """Steps of `batch_size` records, all ranks together; what is left at the end of an epoch is dropped, or padded."""

    batch_size: int
    last: Last = "drop"

    @property
    def multiple(self) -> int:
        """The number that every step's records are a multiple of."""
        return self.batch_size

    def check(self, order: RecordOrder, ranks: Ranks) -> None:
        """Raise ConfigError where the batch cannot be divided among the ranks, or an epoch would have no step."""
        check_divisible("batch_size", self.batch_size, ranks.world_size)
        if not self.steps(order, 0):
            raise ConfigError(
                f"an epoch has {order.records} records, fewer than batch_size {self.batch_size}: "
                f"choose a batch_size of at most {order.records}, or last='pad'"
            )

    def step(self, order: RecordOrder, epoch: int, start: int) -> Step | None:
        """Return the step that begins at a position; None where it would be beyond the last one."""
        if start // self.batch_size >= self.steps(order, epoch):
            return None
        positions = np.arange(start, start + self.batch_size, dtype=np.int64)
        return Step(start + self.batch_size, positions % order.records, positions >= order.records)

    def steps(self, order: RecordOrder, epoch: int) -> int:  # noqa: ARG002 - every epoch has as many
        """Return the number of steps of an epoch."""
        full, rest = divmod(order.records, self.batch_size)
        return full + (rest > 0 and self.last == "pad")

    def agrees(self, step: int, position: int) -> bool:
        """Whether the step of this number begins at this position."""
        return position == step * self.batch_size

    def sizes(self, shards: Integers, records: Integers) -> None:  # noqa: ARG002 - no size matters
        """Return None: a record of any size will do."""
        return


def count_steps(cut: Cut, order: RecordOrder, epoch: int) -> int:
    """Return the number of steps of an epoch, one after the other."""
    steps, position = 0, 0
    while (step := cut.step(order, epoch, position)) is not None:
        steps, position = steps + 1, step.end
    return steps


def check_divisible(name: str, size: int, world_size: int) -> None:
    """Raise ConfigError, saying what would fit, unless this many can be divided equally among the ranks."""
    if size < 1:
        raise ConfigError(f"{name} is at least 1, not {size}")
    if size % world_size:
        fitting = " and ".join(str(fit) for fit in (size // world_size * world_size, -(-size // world_size) * world_size) if fit)
        raise ConfigError(f"{name} {size} (of all ranks together) is no multiple of world_size {world_size}; {fitting} would fit")


@dataclass(frozen=True, eq=False)
class Rows:
    """One rank's part of a step: positions in the epoch, shard and record of each (int64 [n]), and which are padding.

    `packed` are this rank's rows, where records are packed. `step` is the whole step.
    """

    place: Place
    positions: Integers
    shards: Integers
    records: Integers
    padding: NDArray[np.bool_]
    step: Step
    packed: PackedRows | None = None


class Schedule:
    """The batches of one rank. Raises ConfigError where the steps do not fit the order or the number of ranks."""

    def __init__(self, order: RecordOrder, cut: Cut, ranks: Ranks = _ONE_PROCESS) -> None:
        cut.check(order, ranks)
        self.order, self.cut, self.ranks = order, cut, ranks
        self._step = lru_cache(_STEPS_HELD)(lambda epoch, position: cut.step(order, epoch, position))
        self._steps = lru_cache(2)(lambda epoch: cut.steps(order, epoch))

    def steps(self, epoch: int) -> int:
        """Steps of an epoch, the same on every rank; where sizes decide, the index of the whole split is read for it."""
        return self._steps(epoch)

    def has(self, place: Place) -> bool:
        """Whether there may be a step of this number at this position. It looks at this step alone."""
        known = place.epoch >= 0 and place.position >= 0 and self.cut.agrees(place.step, place.position)
        return known and self._step(place.epoch, place.position) is not None

    def after(self, place: Place) -> Place:
        """Return the step that follows; the last one of an epoch is followed by the first one of the next."""
        end = self._at(place).end
        inside = Place(place.epoch, place.step + 1, end)
        return inside if self._step(place.epoch, end) is not None else Place(place.epoch + 1, 0, 0)

    def onward(self, place: Place) -> Iterator[tuple[Rows, Place]]:
        """Yield what this rank reads in this step and in all that follow, each with the step after it, without end.

        Several steps are looked up at a time: for a few positions alone that takes many times as long a position.
        """
        while True:
            group, failure = self._group(place)
            yield from zip(self._rows(group[:-1]), group[1:], strict=True)
            if failure is not None:
                raise failure
            place = group[-1]

    def _group(self, place: Place) -> tuple[list[Place], ConfigError | None]:
        """Return steps of one epoch, then the step that follows them; an error where the next one cannot be cut."""
        group, positions = [place], 0
        while group[-1].epoch == place.epoch and positions < _LOCATED and len(group) < _STEPS_HELD:
            try:
                group.append(self.after(group[-1]))
            except ConfigError as error:
                return group, error
            positions += len(self._at(group[-2]).positions) // self.ranks.world_size
        return group, None

    def epoch(self, epoch: int) -> Iterator[Place]:
        """Yield the steps of one epoch."""
        place = Place(epoch, 0, 0)
        while place.epoch == epoch:
            yield place
            place = self.after(place)

    def rows(self, place: Place) -> Rows:
        """Return what this rank reads in a step. Raises IndexError for a step that the epoch does not have."""
        return self._rows([place])[0]

    def _rows(self, places: list[Place]) -> list[Rows]:
        """Return the rows of steps of one epoch, found all at once."""
        if not places:
            return []
        steps = [self._at(place) for place in places]
        parts = [step.part(self.ranks) for step in steps]
        positions = [step.positions[part] for step, (part, _) in zip(steps, parts, strict=True)]
        borders = np.cumsum([len(each) for each in positions])[:-1]
        shards, records = (np.split(found, borders) for found in self.order.locate(places[0].epoch, np.concatenate(positions)))
        return [
            Rows(place, positions[number], shards[number], records[number], step.padding[part], step, packed)
            for number, (place, step, (part, packed)) in enumerate(zip(places, steps, parts, strict=True))
        ]

    def indices(self, place: Place) -> Integers:
        """Return the same rows as numbers of records, int64 [n], counted through all shards of the split."""
        step = self._at(place)
        return self.order.indices(place.epoch, step.positions[step.part(self.ranks)[0]])

    def substitutes(self, rows: Rows, position: int) -> Iterator[tuple[int, int]]:
        """Yield the shard and record of those that may stand in for the record of a position, the best first.

        In a planned batch they are no larger than the step has room for; after others, records of the step itself come.
        """
        epoch, room = rows.place.epoch, rows.step.room
        attempts = count() if room is None else range(_FITTING_ATTEMPTS)
        for found in takewhile(bool, (self.order.substitute(epoch, position, attempt) for attempt in attempts)):
            assert found is not None  # `takewhile` ends where there is no other record
            if room is None or self._fits(found, room):
                yield found
        for other in rows.step.positions[rows.step.positions != position].tolist():
            shards, records = self.order.locate(epoch, [other])
            yield int(shards[0]), int(records[0])

    def _fits(self, found: tuple[int, int], room: Integers) -> bool:
        sizes = self.cut.sizes(np.array([found[0]]), np.array([found[1]]))
        return sizes is None or bool((sizes[0] <= room).all())

    def _at(self, place: Place) -> Step:
        step = self._step(place.epoch, place.position)
        if place.position < 0 or step is None or not self.cut.agrees(place.step, place.position):
            raise IndexError(f"epoch {place.epoch} has no step {place.step} at position {place.position}")
        return step


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
        return self._schedule.steps(self._epoch)

    def __iter__(self) -> Iterator[list[int]]:
        # A generator: the epoch counts once the first batch is asked for. With workers, torch makes two iterators and uses one.
        epoch, self._epoch = self._epoch, self._epoch + 1
        for place in self._schedule.epoch(epoch):
            yield self._schedule.indices(place).tolist()
