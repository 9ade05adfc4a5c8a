"""The order of a mixture: exact proportions at every position, and each source in its own order through its own epochs.

Draws are counted through all epochs of the mixture. A period of as many draws as the shares sum up to is laid out once; in it,
and so anywhere, the number of draws of a source differs from its exact share by less than one. Which draw of which source a
position is follows by division, so nothing is kept from one position to the next.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import gcd, lcm

import numpy as np

from mmdata.errors import ConfigError
from mmdata.loader.order import Integers, Order, digest_of_order

LONGEST_PERIOD = 1 << 16
"""Weights whose whole numbers sum up to more are apportioned to so many shares, which is exact to 1/65536."""


def shares_of(weights: Sequence[Fraction]) -> tuple[int, ...]:
    """Return the whole numbers in lowest terms that are in the proportion of the weights.

    Where they would sum up to more than `LONGEST_PERIOD`, that many shares are given out by largest remainder (Hamilton's
    method). Raises ConfigError for a weight that would get none of them.
    """
    common = lcm(*(weight.denominator for weight in weights))
    shares = [int(weight * common) for weight in weights]
    total = sum(shares)
    if total // gcd(*shares) > LONGEST_PERIOD:
        exact = [share * LONGEST_PERIOD for share in shares]
        by_remainder = sorted(range(len(shares)), key=lambda source: (-(exact[source] % total), source))
        shares = [part // total for part in exact]
        for source in by_remainder[: LONGEST_PERIOD - sum(shares)]:
            shares[source] += 1
        if not all(shares):
            raise ConfigError(
                f"a weight of the mixture is below 1/{LONGEST_PERIOD} of their sum; raise it or leave the source out"
            )
    return tuple(share // gcd(*shares) for share in shares)


def interleaved(shares: Sequence[int]) -> Integers:
    """Return the source of each draw of a period, int64 [sum of shares].

    Draw j of a source with share w of W may come from floor(j W / w) on and before ceil((j + 1) W / w); of those that may, the
    most urgent comes first. Such windows are always met, and keep every source within one draw of its exact share at any moment
    (Baruah, Cohen, Plaxton and Varvel, "Proportionate progress", Algorithmica 1996).
    """
    total = sum(shares)
    waiting = [(0, source, 0) for source in range(len(shares))]
    urgent: list[tuple[int, int, int]] = []
    drawn = np.empty(total, dtype=np.int64)
    for draw in range(total):
        while waiting and waiting[0][0] <= draw:
            _, source, number = heapq.heappop(waiting)
            heapq.heappush(urgent, (-(-(number + 1) * total // shares[source]), source, number))
        _, source, number = heapq.heappop(urgent)
        drawn[draw] = source
        if number + 1 < shares[source]:
            heapq.heappush(waiting, ((number + 1) * total // shares[source], source, number + 1))
    return drawn


class MixedOrder:
    """The order of a mixture of sources, each in its own order and in proportion to its share.

    Shards are counted through the sources in turn. An epoch of the mixture has `records` positions; the next one goes on where
    it ends, so a source's epochs begin and end where they happen to.
    """

    def __init__(self, orders: Sequence[Order], shares: Sequence[int], records: int, seed: int) -> None:
        self.seed, self.records = seed, records
        self._orders, self._shares = tuple(orders), np.array(shares, dtype=np.int64)
        self._sources = interleaved(shares)
        self._period = len(self._sources)
        # The draws of each source in a period, and for each draw, how many of its source come before it.
        self._draws = [np.flatnonzero(self._sources == source) for source in range(len(shares))]
        self._ranks = np.empty(self._period, dtype=np.int64)
        for draws in self._draws:
            self._ranks[draws] = np.arange(len(draws))
        self._first_shards = np.cumsum([0, *(len(order.counts) for order in orders)])
        self._first_records = np.cumsum([0, *(order.records for order in orders)])

    def locate(self, epoch: int, positions: Sequence[int] | Integers) -> tuple[Integers, Integers]:
        """Return the shard, counted through all sources, and the record in it, each int64 [n], of positions [n] of an epoch."""
        sources, own = self._own(epoch, positions)
        shards, records = np.empty_like(own), np.empty_like(own)
        for source, epoch_of_source, which in self._groups(sources, own):
            order = self._orders[source]
            found, records[which] = order.locate(epoch_of_source, own[which] - epoch_of_source * order.records)
            shards[which] = self._first_shards[source] + found
        return shards, records

    def indices(self, epoch: int, positions: Sequence[int] | Integers) -> Integers:
        """Return the number of each position's record, int64 [n], counting through all shards of all sources."""
        sources, own = self._own(epoch, positions)
        indices = np.empty_like(own)
        for source, epoch_of_source, which in self._groups(sources, own):
            order = self._orders[source]
            inside = order.indices(epoch_of_source, own[which] - epoch_of_source * order.records)
            indices[which] = self._first_records[source] + inside
        return indices

    def substitute(self, epoch: int, position: int, attempt: int) -> tuple[int, int] | None:
        """Return the shard and record that stand in where a position cannot be read: one of the same source."""
        sources, own = self._own(epoch, [position])
        source = int(sources[0])
        order = self._orders[source]
        found = order.substitute(*divmod(int(own[0]), order.records), attempt)
        return None if found is None else (int(self._first_shards[source]) + found[0], found[1])

    def upcoming(self, epoch: int, position: int) -> Iterator[tuple[int, int]]:
        """Yield (draw, shard) for every shard of any source as it comes into use; see `RecordOrder`."""
        draw = epoch * self.records + position
        return heapq.merge(*(self._upcoming_of(source, draw) for source in range(len(self._orders))))

    def digest(self, epoch: int) -> str:
        """Return what tells this order of an epoch from others: 16 hexadecimal digits."""
        return digest_of_order(self, epoch)

    def epochs_of_sources(self, epoch: int, position: int) -> list[Fraction]:
        """Return how many times each source has been gone through before a position: 1.5 is once and a half."""
        draw = epoch * self.records + position
        return [Fraction(self._drawn(source, draw), order.records) for source, order in enumerate(self._orders)]

    def _own(self, epoch: int, positions: Sequence[int] | Integers) -> tuple[Integers, Integers]:
        """Return the source of each position, and how often it was drawn before, through all epochs."""
        wanted = np.asarray(positions, dtype=np.int64)
        if wanted.size and not (wanted.min() >= 0 and wanted.max() < self.records):
            raise IndexError(f"positions go from 0 to {self.records - 1}, not from {wanted.min()} to {wanted.max()}")
        periods, inside = np.divmod(epoch * self.records + wanted, self._period)
        sources = self._sources[inside]
        return sources, periods * self._shares[sources] + self._ranks[inside]

    def _groups(self, sources: Integers, own: Integers) -> Iterator[tuple[int, int, Integers]]:
        """Yield source, epoch of that source, and which positions are of it."""
        for source, order in enumerate(self._orders):
            which = np.flatnonzero(sources == source)
            epochs = own[which] // order.records
            yield from ((source, int(epoch), which[epochs == epoch]) for epoch in np.unique(epochs))

    def _drawn(self, source: int, draw: int) -> int:
        periods, inside = divmod(draw, self._period)
        return periods * int(self._shares[source]) + int(np.searchsorted(self._draws[source], inside))

    def _upcoming_of(self, source: int, draw: int) -> Iterator[tuple[int, int]]:
        order, draws = self._orders[source], self._draws[source]
        first = int(self._first_shards[source])
        for own, shard in order.upcoming(*divmod(self._drawn(source, draw), order.records)):
            periods, rank = divmod(own, len(draws))
            yield periods * self._period + int(draws[rank]), first + shard
