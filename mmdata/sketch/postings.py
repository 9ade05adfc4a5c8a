"""An inverted index that grows: which records were stored under a key."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

_FRESH = 1 << 14
_MOST_A_KEY = 1024

Run = tuple[NDArray[np.uint64], NDArray[np.int64]]


class Postings:
    """Keys (uint64) to the numbers of records; takes 16 bytes an entry, and a time that grows with the logarithm of their number.

    New entries stand in a dictionary, the others in sorted runs, each at least twice as long as the next (a log-structured merge:
    O'Neil et al., 1996). What is found depends on the order of `add` alone.
    """

    def __init__(self) -> None:
        self._fresh: defaultdict[int, list[int]] = defaultdict(list)
        self._fresh_entries = 0
        self._runs: list[Run] = []

    def add(self, number: int, keys: NDArray[np.uint64]) -> None:
        """Store a record under each of the keys."""
        for key in keys.tolist():
            self._fresh[key].append(number)
        self._fresh_entries += len(keys)
        if self._fresh_entries >= _FRESH:
            self._flush()

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the numbers of the records stored under any of the keys, one for each hit, in no particular order.

        Of a key that very many share only the earliest are looked at, so that the time of a search is bounded.
        """
        fresh = [number for key in keys.tolist() if key in self._fresh for number in self._fresh[key][:_MOST_A_KEY]]
        ordered = np.sort(keys)  # neighbours are looked for in the same part of a run: many times faster in a long one
        return np.concatenate([np.array(fresh, np.int64), *(_found(run, ordered) for run in self._runs)])

    def _flush(self) -> None:
        keys = np.array([key for key, numbers in self._fresh.items() for _ in numbers], np.uint64)
        numbers = np.array([number for numbers in self._fresh.values() for number in numbers], np.int64)
        self._runs.append(_sorted(keys, numbers))
        while len(self._runs) > 1 and len(self._runs[-2][0]) < 2 * len(self._runs[-1][0]):
            later, earlier = self._runs.pop(), self._runs.pop()
            self._runs.append(_sorted(*(np.concatenate(pair) for pair in zip(earlier, later, strict=True))))
        self._fresh.clear()
        self._fresh_entries = 0


def _sorted(keys: NDArray[np.uint64], numbers: NDArray[np.int64]) -> Run:
    order = np.argsort(keys, kind="stable")
    return keys[order], numbers[order]


def _found(run: Run, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    stored, numbers = run
    starts = np.searchsorted(stored, keys, "left")
    ends = np.minimum(np.searchsorted(stored, keys, "right"), starts + _MOST_A_KEY)
    counts = np.maximum(ends - starts, 0)
    # Every place of every hit at once: where its run of equal keys starts, and how far into the run it is.
    into = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.asarray(numbers[np.repeat(starts, counts) + into])
