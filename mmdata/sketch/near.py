"""Finds near duplicates by their sketches: each record against the earlier ones that were kept.

For each kind of field there is a way to sketch it. A sketch gives keys to be stored under and keys to look up (locality-sensitive
hashing), so that a record meets only the few that may be near; those are then compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from mmdata.sketch import audio, image, text
from mmdata.sketch.content import content_digest
from mmdata.sketch.postings import Postings
from mmdata.values import Audio, Image, Text, Value

_MOST_COMPARED = 512
_COMPARED_AT_ONCE = 256
_IN_PART = np.uint64(1 << 20)  # apart from the keys of bands, which are below 2^18
_THE_SAME = "the same"


class Likeness(Protocol):
    """How values of one kind are sketched and compared."""

    most_compared: ClassVar[int]
    """How many sketches may be compared with one, at most, so that the time is bounded."""

    def sketch(self, value: Value) -> bytes | None:
        """Return the sketch of a value; None where there is too little in it to tell it from others."""

    def stored_under(self, sketch: bytes) -> NDArray[np.uint64]:
        """Return the keys under which a sketch is stored."""

    def looked_up(self, sketch: bytes) -> NDArray[np.uint64]:
        """Return the keys to look up: those of nearly all sketches that are near this one are among them."""

    def near(self, one: bytes, others: Sequence[bytes]) -> Sequence[bool]:
        """Return for each of other sketches whether it is near this one."""


@dataclass(frozen=True)
class ImageLikeness:
    """Pictures are near where at most `limit` of the 64 bits of their perceptual hashes differ.

    With `crops`, it is enough that the hash of one is so near that of a window in the other: then one is cut out of the other.
    """

    most_compared: ClassVar[int] = 1 << 16  # all at once, and cheaply

    limit: int
    crops: bool = True

    def sketch(self, value: Value) -> bytes | None:
        """Return the hash, 8 bytes, and with `crops` those of the windows; None for a picture of one colour."""
        assert isinstance(value, Image)
        found = image.hashes(value.pixels, windows=self.crops)
        return None if found is None else found.astype(">u8").tobytes()

    def stored_under(self, sketch: bytes) -> NDArray[np.uint64]:
        """Return a key for each band of bits, those of the windows apart."""
        found = self._hashes(sketch)
        return np.concatenate([image.band_keys(found[:1], 0), image.band_keys(found[1:], 0) | _IN_PART])

    def looked_up(self, sketch: bytes) -> NDArray[np.uint64]:
        """Return the keys of every hash within the limit: the whole's among wholes and windows, the windows' among wholes."""
        found = self._hashes(sketch)
        whole = image.band_keys(found[:1], self.limit)
        in_part = [whole | _IN_PART, image.band_keys(found[1:], self.limit)] if self.crops else []
        return np.concatenate([whole, *in_part])

    def near(self, one: bytes, others: Sequence[bytes]) -> Sequence[bool]:
        """Whether the hashes lie within the limit."""
        found = self._hashes(one)
        apart = image.distances(found, self._hashes(b"".join(others)).reshape(len(others), len(found)))
        return [bool(near) for near in apart <= self.limit]

    @staticmethod
    def _hashes(sketches: bytes) -> NDArray[np.uint64]:
        return np.frombuffer(sketches, ">u8").astype(np.uint64)


@dataclass(frozen=True)
class TextLikeness:
    """Texts are near where the share of runs of `shingle` characters in common is at least `least`, by MinHash."""

    most_compared: ClassVar[int] = _MOST_COMPARED

    least: float
    shingle: int

    def sketch(self, value: Value) -> bytes | None:
        """Return the MinHash signature, 512 bytes; None for a text of white space and punctuation only."""
        assert isinstance(value, Text)
        shingles = text.shingle_hashes(value.text, self.shingle)
        return text.signature(shingles).astype("<u4").tobytes() if len(shingles) else None

    def stored_under(self, sketch: bytes) -> NDArray[np.uint64]:
        """Return a key for each band of the signature."""
        return text.band_keys(np.frombuffer(sketch, "<u4"), self._rows)

    def looked_up(self, sketch: bytes) -> NDArray[np.uint64]:
        """Return the same keys: near texts agree in a band."""
        return self.stored_under(sketch)

    def near(self, one: bytes, others: Sequence[bytes]) -> Sequence[bool]:
        """Whether the signatures agree in enough places."""
        found = np.frombuffer(one, "<u4")
        return [text.similarity(found, np.frombuffer(other, "<u4")) >= self.least for other in others]

    @cached_property
    def _rows(self) -> int:
        return text.rows_a_band(self.least)


@dataclass(frozen=True)
class AudioLikeness:
    """Sounds are near where at most a share `most` of the bits of their fingerprints differ, at the best alignment in time."""

    most_compared: ClassVar[int] = _MOST_COMPARED

    most: float

    def sketch(self, value: Value) -> bytes | None:
        """Return the fingerprint, 4 bytes each 23 ms; None for one that is too short to tell sounds apart."""
        assert isinstance(value, Audio)
        found = audio.fingerprint(value.samples, value.rate)
        return found.astype("<u4").tobytes() if len(found) >= audio.LEAST_FRAMES else None

    def stored_under(self, sketch: bytes) -> NDArray[np.uint64]:
        """Return some of the sub-fingerprints, evenly spaced in time."""
        return audio.stored_keys(np.frombuffer(sketch, "<u4"))

    def looked_up(self, sketch: bytes) -> NDArray[np.uint64]:
        """Return every sub-fingerprint."""
        return audio.keys(np.frombuffer(sketch, "<u4"))

    def near(self, one: bytes, others: Sequence[bytes]) -> Sequence[bool]:
        """Whether the fingerprints agree."""
        found = np.frombuffer(one, "<u4")
        return [audio.error_rate(found, np.frombuffer(other, "<u4")) <= self.most for other in others]


def sketch_of(value: Value, likeness: Mapping[str, Likeness]) -> bytes:
    """Return what is kept of a value: its kind and its sketch; or, where it has none, its digest: near is then only the same."""
    sketch = likeness[value.kind].sketch(value) if value.kind in likeness else None
    if sketch is None:
        return _THE_SAME.encode() + b":" + content_digest({"": value})
    return value.kind.encode() + b":" + sketch


def _taken_apart(sketch: bytes) -> tuple[str, bytes]:
    kind, _, content = sketch.partition(b":")
    return kind.decode(), content


Sketches = Mapping[str, bytes]


def near_repeats(records: Iterable[Sketches], likeness: Mapping[str, Likeness]) -> Iterator[tuple[int, int]]:
    """Give (number, number of the first) of each record that is near an earlier one in all its fields.

    Only records that are given nowhere as a repeat count as earlier ones: so each repeat really is near the one it is given with,
    however long a chain of near ones may be. Only records that have the same fields are compared.
    """
    indexes: dict[tuple[str, ...], _Index] = {}
    for number, sketches in enumerate(records):
        if not sketches:
            continue
        index = indexes.setdefault(tuple(sketches), _Index(likeness))
        first = index.first_near(sketches)
        if first is None:
            index.add(number, sketches)
        else:
            yield number, first


@dataclass
class _Index:
    """The records kept so far that have the same fields."""

    likeness: Mapping[str, Likeness]
    kept: dict[int, Sketches] = field(default_factory=dict)
    postings: dict[str, Postings] = field(default_factory=dict)

    def first_near(self, sketches: Sketches) -> int | None:
        """Return the number of the earliest record kept that is near in all fields."""
        most = min(self._most_compared(sketch) for sketch in sketches.values())
        found = _candidates([self._found(name, sketch) for name, sketch in sketches.items()], most)
        for start in range(0, len(found), _COMPARED_AT_ONCE):
            numbers = found[start : start + _COMPARED_AT_ONCE]
            for name, sketch in sketches.items():
                numbers = self._near(sketch, name, numbers)
            if numbers:
                return numbers[0]
        return None

    def add(self, number: int, sketches: Sketches) -> None:
        """Keep a record."""
        self.kept[number] = sketches
        for name, sketch in sketches.items():
            self.postings.setdefault(name, Postings()).add(number, self._keys(sketch, stored=True))

    def _found(self, name: str, sketch: bytes) -> NDArray[np.int64]:
        return self.postings.setdefault(name, Postings()).find(self._keys(sketch, stored=False))

    def _most_compared(self, sketch: bytes) -> int:
        kind, _ = _taken_apart(sketch)
        return _MOST_COMPARED if kind == _THE_SAME else self.likeness[kind].most_compared

    def _keys(self, sketch: bytes, *, stored: bool) -> NDArray[np.uint64]:
        kind, content = _taken_apart(sketch)
        if kind == _THE_SAME:
            return np.frombuffer(content[:8], "<u8").astype(np.uint64)
        likeness = self.likeness[kind]
        return likeness.stored_under(content) if stored else likeness.looked_up(content)

    def _near(self, sketch: bytes, name: str, numbers: Sequence[int]) -> list[int]:
        """Return those of the numbers whose sketch of a field is near this one, which must be of the same kind."""
        kind, content = _taken_apart(sketch)
        if kind == _THE_SAME:
            return [number for number in numbers if self.kept[number][name] == sketch]
        prefix = sketch[: len(sketch) - len(content)]
        others = [(number, self.kept[number][name]) for number in numbers]
        alike = [(number, other[len(prefix) :]) for number, other in others if other.startswith(prefix)]
        is_near = self.likeness[kind].near(content, [other for _, other in alike]) if alike else []
        return [number for (number, _), near in zip(alike, is_near, strict=True) if near]


def _candidates(found: Sequence[NDArray[np.int64]], most: int) -> list[int]:
    """Return the numbers that were found in every field, in order; of more than `most`, those that were hit most often."""
    numbers, counts = np.unique(found[0], return_counts=True)
    for more in found[1:]:
        others, times = np.unique(more, return_counts=True)
        numbers, here, there = np.intersect1d(numbers, others, assume_unique=True, return_indices=True)
        counts = counts[here] + times[there]
    kept = np.argsort(-counts, kind="stable")[:most]
    return [int(number) for number in np.sort(numbers[kept])]
