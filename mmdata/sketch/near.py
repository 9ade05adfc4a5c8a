"""Finds near duplicates by their sketches: each record against the earlier ones that were kept.

For each kind of field there is a way to sketch it. A sketch gives keys to be stored under and keys to look up (locality-sensitive
hashing), so that a record meets only the few that may be near; those are then compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mmdata.sketch import audio, image, text
from mmdata.sketch.content import content_digest
from mmdata.sketch.postings import Postings
from mmdata.values import Audio, Image, Text, Value

_MOST_CANDIDATES = 512
_THE_SAME = "the same"


class Likeness(Protocol):
    """How values of one kind are sketched and compared."""

    def sketch(self, value: Value) -> bytes | None:
        """Return the sketch of a value; None where there is too little in it to tell it from others."""

    def stored_under(self, sketch: bytes) -> NDArray[np.uint64]:
        """Return the keys under which a sketch is stored."""

    def looked_up(self, sketch: bytes) -> NDArray[np.uint64]:
        """Return the keys to look up: those of nearly all sketches that are near this one are among them."""

    def near(self, one: bytes, other: bytes) -> bool:
        """Whether two sketches are near."""


@dataclass(frozen=True)
class ImageLikeness:
    """Pictures are near where at most `limit` of the 64 bits of their perceptual hashes differ."""

    limit: int

    def sketch(self, value: Value) -> bytes | None:
        """Return the hash, 8 bytes; None for a picture of one colour, whose hash is noise."""
        assert isinstance(value, Image)
        return None if image.is_flat(value.pixels) else image.perceptual_hash(value.pixels).to_bytes(8, "big")

    def stored_under(self, sketch: bytes) -> NDArray[np.uint64]:
        """Return a key for each band of bits."""
        return np.array(image.band_keys(int.from_bytes(sketch, "big"), 0), np.uint64)

    def looked_up(self, sketch: bytes) -> NDArray[np.uint64]:
        """Return the keys of every hash within the limit."""
        return np.array(image.band_keys(int.from_bytes(sketch, "big"), self.limit), np.uint64)

    def near(self, one: bytes, other: bytes) -> bool:
        """Whether the hashes lie within the limit."""
        return image.distance(int.from_bytes(one, "big"), int.from_bytes(other, "big")) <= self.limit


@dataclass(frozen=True)
class TextLikeness:
    """Texts are near where the share of runs of `shingle` characters in common is at least `least`, by MinHash."""

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

    def near(self, one: bytes, other: bytes) -> bool:
        """Whether the signatures agree in enough places."""
        return text.similarity(np.frombuffer(one, "<u4"), np.frombuffer(other, "<u4")) >= self.least

    @cached_property
    def _rows(self) -> int:
        return text.rows_a_band(self.least)


@dataclass(frozen=True)
class AudioLikeness:
    """Sounds are near where at most a share `most` of the bits of their fingerprints differ, at the best alignment in time."""

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

    def near(self, one: bytes, other: bytes) -> bool:
        """Whether the fingerprints agree."""
        return audio.error_rate(np.frombuffer(one, "<u4"), np.frombuffer(other, "<u4")) <= self.most


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
        found = [self._found(name, sketch) for name, sketch in sketches.items()]
        return next((number for number in _candidates(found) if self._all_near(sketches, self.kept[number])), None)

    def add(self, number: int, sketches: Sketches) -> None:
        """Keep a record."""
        self.kept[number] = sketches
        for name, sketch in sketches.items():
            self.postings.setdefault(name, Postings()).add(number, self._keys(sketch, stored=True))

    def _all_near(self, sketches: Sketches, others: Sketches) -> bool:
        return all(self._near(sketch, others[name]) for name, sketch in sketches.items())

    def _found(self, name: str, sketch: bytes) -> NDArray[np.int64]:
        return self.postings.setdefault(name, Postings()).find(self._keys(sketch, stored=False))

    def _keys(self, sketch: bytes, *, stored: bool) -> NDArray[np.uint64]:
        kind, content = _taken_apart(sketch)
        if kind == _THE_SAME:
            return np.frombuffer(content[:8], "<u8").astype(np.uint64)
        likeness = self.likeness[kind]
        return likeness.stored_under(content) if stored else likeness.looked_up(content)

    def _near(self, one: bytes, other: bytes) -> bool:
        (kind, content), (other_kind, other_content) = _taken_apart(one), _taken_apart(other)
        if kind != other_kind or kind == _THE_SAME:
            return one == other
        return self.likeness[kind].near(content, other_content)


def _candidates(found: Sequence[NDArray[np.int64]]) -> list[int]:
    """Return the numbers that were found in every field, in order; of very many, those that were hit most often."""
    numbers, counts = np.unique(found[0], return_counts=True)
    for more in found[1:]:
        others, times = np.unique(more, return_counts=True)
        numbers, here, there = np.intersect1d(numbers, others, assume_unique=True, return_indices=True)
        counts = counts[here] + times[there]
    most = np.argsort(-counts, kind="stable")[:_MOST_CANDIDATES]
    return [int(number) for number in np.sort(numbers[most])]
