"""A strict reader of tar shards over their raw blocks, which goes on after damage.

Python's tarfile takes a damaged header for the end of the file, and says nothing. Here every block must be what a build writes
there; behind a damaged one, reading goes on at the next member that the index knows.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from mmdata.shards.tar import BLOCK, END, header, padding
from mmdata.validation.findings import Notes

_SIZE = re.compile(rb"[0-7]{11}")


@dataclass(frozen=True)
class Found:
    """A member as it stands in the tar: its name, the byte at which its payload begins, and the payload."""

    name: str
    offset: int
    payload: bytes

    @property
    def key(self) -> str:
        """The name up to its first dot."""
        return self.name.partition(".")[0]

    @property
    def extension(self) -> str:
        """The name behind its first dot."""
        return self.name.partition(".")[2]


class BlockReader:
    """Reads the members of one tar in order, and notes every block that is not as it must be."""

    def __init__(self, file: BinaryIO, known: Mapping[int, tuple[str, int]], notes: Notes) -> None:
        """`known` maps the place of a header, in bytes, to the name and size that the index gives for it."""
        self._file = file
        self._size = file.seek(0, 2)
        self._known = known
        self._places = sorted(known)
        self._notes = notes

    def __iter__(self) -> Iterator[Found]:
        place: int | None = 0
        while place is not None:
            block = self._read(place, BLOCK)
            named = self._named(place, block)
            if named is None:
                place = self._end(place)
                continue
            found = self._found(place + BLOCK, *named)
            if found is None:
                place = self._next_known(place)
                continue
            yield found
            end = found.offset + len(found.payload)
            place = end + padding(len(found.payload))

    def _read(self, place: int, size: int) -> bytes:
        self._file.seek(place)
        return self._file.read(size)

    def _named(self, place: int, block: bytes) -> tuple[str, int] | None:
        """Return name and size from a header, or from the index where the header is damaged; None where there is no member."""
        self._notes.covered("blocks")
        if (parsed := _parsed(block)) is not None:
            return parsed
        known = self._known.get(place)
        if known is not None and len(block) == BLOCK:
            self._of(known[0]).error("blocks", f"its header at byte {place} is not as a build writes it")
            return known
        return None

    def _found(self, offset: int, name: str, size: int) -> Found | None:
        end = offset + size
        if end + padding(size) > self._size:
            self._of(name).error("blocks", f"its payload of {size} bytes at byte {offset} goes beyond the end of the file")
            return None
        content = self._read(offset, size + padding(size))
        if any(content[size:]):
            self._of(name).error("blocks", f"the padding at byte {end} is not zero")
        return Found(name, offset, content[:size])

    def _end(self, place: int) -> int | None:
        """Check the end of the file, where no header stands; return where reading goes on, if members follow after all."""
        if (following := self._next_known(place)) is not None:
            self._notes.error("blocks", f"the bytes {place} to {following} hold no member as a build writes it")
            return following
        rest = self._size - place
        content = self._read(place, len(END))
        if any(content):
            self._notes.error("blocks", f"at byte {place} stands neither a header as a build writes it nor the end of the tar")
        elif rest != len(END):
            self._notes.error("blocks", f"{rest} bytes follow the last member; it must be two zero blocks, {len(END)} bytes")
        return None

    def _next_known(self, place: int) -> int | None:
        number = bisect_right(self._places, place)
        return self._places[number] if number < len(self._places) and self._places[number] < self._size else None

    def _of(self, name: str) -> Notes:
        key, _, extension = name.partition(".")
        return self._notes.at(key, extension)


def _parsed(block: bytes) -> tuple[str, int] | None:
    """Return name and size of a header block that is byte for byte as a build writes it."""
    size = block[124:135]
    if len(block) != BLOCK or not _SIZE.fullmatch(size):
        return None
    try:
        name = block[:100].rstrip(b"\0").decode("ascii")
        return (name, int(size, 8)) if header(name, int(size, 8)) == block else None
    except ValueError:
        return None
