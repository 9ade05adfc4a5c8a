"""The order of records: a pure function from (record counts, seed, epoch, position) to (shard, record).

This is the first step of the loader; it knows numbers only, no files and no torch. In every epoch the shards are permuted,
`window` consecutive shards of that permutation form a window, and the records of a window are permuted among themselves. So
any position is found without the ones before it, memory is O(shards), and only about `window` shards are read at a time.

Everything is integer arithmetic that is written out here: no stream of a library's generator enters, because those may change
from one version of the library to the next, and a saved position would then mean another record.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mmdata.rng import digest_of

Integers = NDArray[np.int64]
Words = NDArray[np.uint64]

ROUNDS = 12
"""Rounds of the Feistel network, an even number.

Four suffice in theory where the halves are wide; those of a small window are a few bits.
"""

ATTEMPTS_IN_WINDOW = 8
"""So many substitutes of one position come from its own window, whose shards are being read anyway; later ones from anywhere."""

PROBES = 64
"""Positions of an epoch whose records enter the digest of an order."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def mixed(words: Words) -> Words:
    """Return 64-bit words in which every bit depends on every bit of the words given; a bijection.

    The finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014), with
    Stafford's constants "Mix13".
    """
    words = (words ^ (words >> _SHIFTS[0])) * _FACTORS[0]
    words = (words ^ (words >> _SHIFTS[1])) * _FACTORS[1]
    return words ^ (words >> _SHIFTS[2])


def permutation(count: int, key: int) -> Integers:
    """Return the permutation of [0, count) that a 64-bit key names, int64 [count]."""
    return np.argsort(mixed(np.uint64(key) + mixed(np.arange(count, dtype=np.uint64))), kind="stable").astype(np.int64)


def permuted(values: Words, sizes: Words, keys: Words) -> Words:
    """Return each value's image under the permutation of [0, size) that its key names; all three are uint64 [n].

    A Feistel network (Luby and Rackoff, "How to construct pseudorandom permutations", 1988) over the bits of the size, whose
    halves differ by a bit where their number is odd, applied until the value is below its size again: cycle walking (Black and
    Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002). The domain is less than twice the size, so a value walks less
    than two steps on average; only sizes below 33 take a larger one, because the few functions of one or two bits leave some
    orders out.
    """
    # For an integer below 2**53 the exponent of its float is its length in bits.
    bits = np.frexp((sizes - np.uint64(1)).astype(np.float64))[1]
    bits = np.maximum(bits, 6).astype(np.uint64)
    round_keys = _round_keys(keys)
    result = values.copy()
    walking = np.arange(len(values))
    while len(walking):
        result[walking] = _feistel(result[walking], bits[walking], round_keys[:, walking])
        walking = walking[result[walking] >= sizes[walking]]
    return result


def _round_keys(keys: Words) -> Words:
    """Return the keys of the rounds, uint64 [ROUNDS, n]; a step has few distinct keys, so each is expanded once."""
    distinct, which = np.unique(keys, return_inverse=True)
    rounds = np.arange(1, ROUNDS + 1, dtype=np.uint64)[:, None] * _GOLDEN
    return mixed(distinct[None, :] + rounds)[:, which]


def _feistel(values: Words, bits: Words, round_keys: Words) -> Words:
    narrow = bits >> np.uint64(1)
    wide = bits - narrow
    # The halves change places in every round, so their widths take turns; after an even number of rounds they stand as before.
    masks = [(np.uint64(1) << width) - np.uint64(1) for width in (narrow, wide)]
    left, right = values >> wide, values & masks[1]
    for number, key in enumerate(round_keys):
        left, right = right, left ^ (mixed(right ^ key) & masks[number % 2])
    return (left << wide) | right


class RecordOrder(Hashable, Protocol):
    """An order of records: a pure function from epoch and position to a shard and a record in it, for threads to share."""

    @property
    def seed(self) -> int:
        """What chooses this order among others."""

    @property
    def records(self) -> int:
        """The number of positions of an epoch."""

    def locate(self, epoch: int, positions: Sequence[int] | Integers) -> tuple[Integers, Integers]:
        """Return the shard and the record in it, each int64 [n], of positions [n] of an epoch."""

    def indices(self, epoch: int, positions: Sequence[int] | Integers) -> Integers:
        """Return the number of each position's record, int64 [n], counting through all shards as they stand in the dataset."""

    def substitute(self, epoch: int, position: int, attempt: int) -> tuple[int, int] | None:
        """Return the shard and record that stand in where a position cannot be read, for attempt 0, 1, … in turn.

        None where there is no other record.
        """

    def upcoming(self, epoch: int, position: int) -> Iterator[tuple[int, int]]:
        """Yield (draw, shard) for every shard as it comes into use from a position on, through the epochs, without end.

        Draws count positions through all epochs. A shard that is in use already comes first, with the draw of the position.
        """

    def digest(self, epoch: int) -> str:
        """Return what tells this order of an epoch from others: 16 hexadecimal digits."""


def digest_of_order(order: RecordOrder, epoch: int) -> str:
    """Return the digest of an epoch's order: it depends on the number of records and on where `PROBES` positions lead."""
    positions = np.arange(PROBES, dtype=np.int64) * (order.records - 1) // (PROBES - 1)
    shards, records = order.locate(epoch, positions)
    return digest_of("order", order.records, *shards.tolist(), *records.tolist(), size=8).hex()


@dataclass(frozen=True)
class _Layout:
    """One epoch: its shards in order, where each begins, and where each window begins (both with the end appended)."""

    key: int
    shards: Integers
    shard_starts: Integers
    window_starts: Integers


class Order:
    """The order of the records of shards with these record counts; the same for every rank, thread and platform.

    `window` is the number of shards whose records are mixed. Without `shuffle`, records come as they stand in the shards, in
    every epoch. Raises ValueError where there is no record, a count is negative, or the window is not positive.
    """

    def __init__(self, counts: Sequence[int] | Integers, seed: int, *, window: int = 8, shuffle: bool = True) -> None:
        self.counts = np.array(counts, dtype=np.int64)
        self.counts.setflags(write=False)
        if self.counts.ndim != 1 or (self.counts < 0).any() or not self.counts.sum():
            raise ValueError("an order needs the record counts of at least one shard that is not empty")
        if window < 1:
            raise ValueError(f"a window is at least one shard, not {window}")
        self.records = int(self.counts.sum())
        self.seed, self.window, self.shuffle = seed, window, shuffle
        self._layouts: dict[int, _Layout] = {}

    def locate(self, epoch: int, positions: Sequence[int] | Integers) -> tuple[Integers, Integers]:
        """Return the shard and the record in it, each int64 [n], of positions [n] of an epoch.

        Raises IndexError for a position outside of [0, records).
        """
        wanted = self._checked(positions)
        layout = self._layout(epoch)
        if self.shuffle:
            wanted = self._permuted_in_windows(layout, wanted)
        # An empty shard starts where the next one does; "right" passes over it.
        slots = np.searchsorted(layout.shard_starts, wanted, side="right") - 1
        return layout.shards[slots], wanted - layout.shard_starts[slots]

    def indices(self, epoch: int, positions: Sequence[int] | Integers) -> Integers:
        """Return the number of each position's record, int64 [n], counting through all shards as they stand in the dataset."""
        shards, records = self.locate(epoch, positions)
        return (np.cumsum(self.counts) - self.counts)[shards] + records

    def substitute(self, epoch: int, position: int, attempt: int) -> tuple[int, int] | None:
        """Return the shard and record that stand in where a position cannot be read, for attempt 0, 1, … in turn.

        They are never those of the position itself: first others of its window, after `ATTEMPTS_IN_WINDOW` any of the epoch.
        None where there is no other record.
        """
        self._checked([position])
        if self.records == 1:
            return None
        starts = self._layout(epoch).window_starts
        window = int(np.searchsorted(starts, position, side="right")) - 1
        start, end = int(starts[window]), int(starts[window + 1])
        if end - start == 1 or attempt >= ATTEMPTS_IN_WINDOW:
            start, end = 0, self.records
        draw = int.from_bytes(digest_of(self.seed, "substitute", epoch, position, attempt, size=8), "little")
        other = start + (position - start + 1 + draw % (end - start - 1)) % (end - start)
        shards, records = self.locate(epoch, [other])
        return int(shards[0]), int(records[0])

    def upcoming(self, epoch: int, position: int) -> Iterator[tuple[int, int]]:
        """Yield (draw, shard) for every shard as its window comes up, through the epochs; see `RecordOrder`."""
        while True:
            layout = self._layout(epoch)
            first = int(np.searchsorted(layout.window_starts, position, side="right")) - 1
            for window in range(first, len(layout.window_starts) - 1):
                draw = epoch * self.records + max(position, int(layout.window_starts[window]))
                shards = layout.shards[window * self.window : (window + 1) * self.window]
                yield from ((draw, shard) for shard in shards[self.counts[shards] > 0].tolist())
            epoch, position = epoch + 1, 0

    def digest(self, epoch: int) -> str:
        """Return what tells this order of an epoch from others: 16 hexadecimal digits."""
        return digest_of_order(self, epoch)

    def _checked(self, positions: Sequence[int] | Integers) -> Integers:
        wanted = np.asarray(positions, dtype=np.int64)
        if wanted.size and not (wanted.min() >= 0 and wanted.max() < self.records):
            raise IndexError(f"positions go from 0 to {self.records - 1}, not from {wanted.min()} to {wanted.max()}")
        return wanted

    def _permuted_in_windows(self, layout: _Layout, positions: Integers) -> Integers:
        windows = np.searchsorted(layout.window_starts, positions, side="right") - 1
        starts = layout.window_starts[windows]
        sizes = layout.window_starts[windows + 1] - starts
        keys = mixed(np.uint64(layout.key) ^ mixed(windows.astype(np.uint64) + _GOLDEN))
        inside = permuted((positions - starts).astype(np.uint64), sizes.astype(np.uint64), keys)
        return starts + inside.astype(np.int64)

    def _layout(self, epoch: int) -> _Layout:
        """Return the layout of an epoch; the two made last are kept, since reading ahead goes from one epoch into the next."""
        layouts = self._layouts
        if epoch not in layouts:
            # A new dictionary each time: threads that read the old one are not disturbed.
            self._layouts = layouts = dict([*list(layouts.items())[-1:], (epoch, self._new_layout(epoch))])
        return layouts[epoch]

    def _new_layout(self, epoch: int) -> _Layout:
        key = int.from_bytes(digest_of(self.seed, "order", epoch, size=8), "little")
        shards = np.arange(len(self.counts), dtype=np.int64)
        if self.shuffle:
            shards = permutation(len(shards), key)
        starts = np.concatenate([[0], np.cumsum(self.counts[shards])]).astype(np.int64)
        firsts = np.arange(0, len(shards), self.window)
        return _Layout(key, shards, starts, np.append(starts[firsts], self.records))
