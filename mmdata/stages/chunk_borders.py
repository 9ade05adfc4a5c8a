"""Where `text.chunk` cuts a text: plain numbers in, plain numbers out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mmdata.errors import RecordError
from mmdata.stages.boundaries import characters, word_pieces
from mmdata.stages.sentences import sentences_of

Border = Literal["sentence", "word", "character"]


@dataclass(frozen=True)
class Ruler:
    """How much of a text lies between two places, and where it may be cut.

    `before`, int64 [characters + 1], counts the units before each place; `skip`, of the same shape, is the place after what may
    be left out between chunks. `levels` are the places to cut at, int64 and sorted, those that are liked best first; each holds
    the end of the text.
    """

    before: NDArray[np.int64]
    skip: NDArray[np.int64]
    levels: tuple[NDArray[np.int64], ...]

    def chunks(self, most: int, overlap: int) -> Iterator[tuple[int, int]]:
        """Give the start and end of each chunk: of at most `most` units, of which up to `overlap` are the last chunk's end.

        Each chunk goes on for as long as it can, to the last border of the best level that there is. Raises RecordError where
        what may not be cut is larger than a chunk.
        """
        start = done = int(self.skip[0])
        size = len(self.before) - 1
        while done < size:
            end, level = self._end(start, done, most)
            if start < done:
                fresh, best = self._end(done, done, most)
                if best < level:  # without the overlap, the chunk can end at a better border
                    start, end, level = done, fresh, best
            if level == len(self.levels):
                raise RecordError("text cannot be cut", f"what stands at character {done} has more than {most} units")
            yield start, end
            start, done = self._start(start, end, overlap), int(self.skip[end])

    def _end(self, start: int, done: int, most: int) -> tuple[int, int]:
        """Return the best border after `done` that a chunk from `start` can reach, and its level; where there is none, `done`."""
        reach = int(np.searchsorted(self.before, self.before[start] + most, side="right")) - 1
        if reach == len(self.before) - 1:
            return reach, 0
        for number, level in enumerate(self.levels):
            last = int(np.searchsorted(level, reach, side="right")) - 1
            if last >= 0 and level[last] > done:
                return int(level[last]), number
        return done, len(self.levels)

    def _start(self, start: int, end: int, overlap: int) -> int:
        """Return where the chunk after one that ends at `end` begins: at the first border of the best level in the overlap."""
        least = max(start + 1, int(np.searchsorted(self.before, self.before[end] - overlap, side="left")))
        for level in self.levels:
            first = int(np.searchsorted(level, least, side="left"))
            if first < len(level) and level[first] < end:
                return int(self.skip[level[first]])
        return int(self.skip[end])


def ruler_of(text: str, tag: str, border: Border, offsets: NDArray[np.int32] | None, *, count_tokens: bool) -> Ruler:
    """Return the ruler of a text in characters, or in tokens; `offsets`, [n, 2], are of tokens that no border may cut.

    Where there are no tokens, white space may be left out between chunks.
    """
    size = len(text)
    places = np.arange(size + 1, dtype=np.int64)
    is_whole, before, skip = np.ones(size + 1, dtype=bool), places, _after_space(text)
    if offsets is not None:
        is_whole, skip = _uncut(offsets, size), places
        before = _tokens_before(offsets, size) if count_tokens else before
    levels = [_among(borders, is_whole) for borders in _levels(text, tag, border)]
    return Ruler(before, skip, (*levels, np.flatnonzero(is_whole)))


def _levels(text: str, tag: str, border: Border) -> Iterator[Iterable[int]]:
    if border == "sentence":
        yield chain.from_iterable(sentences_of(text, tag))
    if border != "character":
        yield accumulate(map(len, word_pieces(text)))
    yield accumulate(map(len, characters(text)))


def _among(places: Iterable[int], is_whole: NDArray[np.bool_]) -> NDArray[np.int64]:
    found = np.unique(np.fromiter(places, dtype=np.int64))
    end = len(is_whole) - 1
    return np.append(found[is_whole[found] & (found < end)], end)


def _after_space(text: str) -> NDArray[np.int64]:
    """Return for each place, int64 [characters + 1], the first one at or after it where no white space stands."""
    size = len(text)
    is_space = np.fromiter(map(str.isspace, text), dtype=bool, count=size)
    places = np.append(np.where(is_space, size, np.arange(size)), size)
    return np.minimum.accumulate(places[::-1])[::-1].astype(np.int64)


def _uncut(offsets: NDArray[np.int32], size: int) -> NDArray[np.bool_]:
    """Return for each place, bool [size + 1], whether it lies inside no token."""
    inside = np.zeros(size + 2, dtype=np.int64)
    wide = offsets[offsets[:, 0] < offsets[:, 1]]
    np.add.at(inside, wide[:, 0] + 1, 1)
    np.add.at(inside, wide[:, 1], -1)
    return np.asarray(np.cumsum(inside)[: size + 1] == 0)


def _tokens_before(offsets: NDArray[np.int32], size: int) -> NDArray[np.int64]:
    """Return how many tokens end before or at each place, int64 [size + 1]; those that cover nothing are not counted."""
    ends = offsets[offsets[:, 0] < offsets[:, 1], 1]
    return np.cumsum(np.bincount(ends, minlength=size + 1)).astype(np.int64)
