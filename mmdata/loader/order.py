"""The order of records: a pure function from (record counts, seed, epoch, position) to (shard, record).

This is the first step of the loader; it knows numbers only, no files and no torch. In every epoch the shards are permuted,
`window` consecutive shards of that permutation form a window, and the records of a window are permuted among themselves. So
any position is found without the ones before it, memory is O(shards), and only about `window` shards are read at a time.

Everything is integer arithmetic that is written out here: no stream of a library's generator enters, because those may change
from one version of the library to the next, and a saved position would then mean another record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmdata.rng import digest_of

Integers = NDArray[np.int64]
Words = NDArray[np.uint64]

ROUNDS = 12
"""Rounds of the Feistel network. Four suffice in theory where the halves are wide; those of a small window are a few bits."""

ATTEMPTS_IN_WINDOW = 8
"""So many substitutes of one position come from its own window, whose shards are being read anyway; later ones from anywhere."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mixed(words: Words) -> Words:
    """Return 64-bit words in which every bit depends on every bit of the words given; a bijection.

    The finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014), with
    Stafford's constants "Mix13".
    """
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def permuted(values: Words, sizes: Words, keys: Words) -> Words:
    """Return each value's image under the permutation of [0, size) that its key names; all three are uint64 [n].

    A balanced Feistel network (Luby and Rackoff, "How to construct pseudorandom permutations", 1988) over the next even number
    of bits, applied until the value is below its size again: cycle walking (Black and Rogaway, "Ciphers with arbitrary finite
    domains", CT-RSA 2002). The domain is at most four times the size, so a value walks less than four steps on average; only
    sizes below 17 take a larger one, because the few functions of one or two bits leave some orders out.
    """
    # For an integer below 2**53 the exponent of its float is its length in bits.
    bits = np.frexp((sizes - np.uint64(1)).astype(np.float64))[1]
    half = np.maximum((bits + 1) // 2, 3).astype(np.uint64)
    result = values.copy()
    walking = np.arange(len(values))
    while len(walking):
        result[walking] = _feistel(result[walking], half[walking], keys[walking])
        walking = walking[result[walking] >= sizes[walking]]
    return result


def _feistel(values: Words, half: Words, keys: Words) -> Words:
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = values >> half, values & mask
    for _ in range(ROUNDS):
        keys = keys + _GOLDEN
        left, right = right, left ^ (mixed(right ^ mixed(keys)) & mask)
    return (left << half) | right


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
        self._counts = np.array(counts, dtype=np.int64)
        self._counts.setflags(write=False)
        if self._counts.ndim != 1 or (self._counts < 0).any() or not self._counts.sum():
            raise ValueError("an order needs the record counts of at least one shard that is not empty")
        if window < 1:
            raise ValueError(f"a window is at least one shard, not {window}")
        self.records = int(self._counts.sum())
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
        return (np.cumsum(self._counts) - self._counts)[shards] + records

    def substitute(self, epoch: int, position: int, attempt: int) -> int:
        """Return the position that stands in where this one cannot be read, for attempt 0, 1, … in turn.

        It is never the position itself: first others of its window, after `ATTEMPTS_IN_WINDOW` any of the epoch. Raises
        ValueError where the epoch has no other.
        """
        self._checked([position])
        if self.records == 1:
            raise ValueError("the only record has no substitute")
        starts = self._layout(epoch).window_starts
        window = int(np.searchsorted(starts, position, side="right")) - 1
        start, end = int(starts[window]), int(starts[window + 1])
        if end - start == 1 or attempt >= ATTEMPTS_IN_WINDOW:
            start, end = 0, self.records
        draw = int.from_bytes(digest_of(self.seed, "substitute", epoch, position, attempt, size=8), "little")
        return start + (position - start + 1 + draw % (end - start - 1)) % (end - start)

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
        shards = np.arange(len(self._counts), dtype=np.int64)
        if self.shuffle:
            shards = np.argsort(mixed(np.uint64(key) + mixed(shards.astype(np.uint64))), kind="stable").astype(np.int64)
        starts = np.concatenate([[0], np.cumsum(self._counts[shards])]).astype(np.int64)
        firsts = np.arange(0, len(shards), self.window)
        return _Layout(key, shards, starts, np.append(starts[firsts], self.records))
