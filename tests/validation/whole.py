"""What an undamaged dataset folder holds, byte by byte: from this follows which places a finding must name after damage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmdata.shards.tar import BLOCK, padding

Part = Literal["header", "payload", "padding", "end"]
Place = tuple[str, str | None, str | None]
"""File, record, member: what a finding must name. A place with a record alone is named by a finding about any of its members."""


@dataclass(frozen=True)
class Stretch:
    """A run of bytes of a tar, and what stands there."""

    file: str
    start: int
    end: int
    part: Part
    record: str | None = None
    member: str | None = None

    @property
    def place(self) -> Place:
        """What a finding about it must name."""
        return self.file, self.record, self.member


@dataclass(frozen=True)
class Whole:
    """The content of every file of an undamaged folder, by its path in it."""

    files: Mapping[str, bytes]

    @classmethod
    def read(cls, out: Path) -> Self:
        """Read a folder into memory."""
        return cls({path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()})

    @property
    def tars(self) -> list[str]:
        """The shards."""
        return [file for file in self.files if file.endswith(".tar")]

    @property
    def indexes(self) -> list[str]:
        """The index files."""
        return [file for file in self.files if file.startswith("index/")]

    @cached_property
    def rows(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """The rows of the index of each tar."""
        return {tar: pq.read_table(pa.BufferReader(self.files[index_of(tar)])).to_pylist() for tar in self.tars}

    @cached_property
    def layout(self) -> Mapping[str, Sequence[Stretch]]:
        """What stands where in each tar, by its index."""
        return {tar: [*_members(tar, self.rows[tar]), _end(tar, len(self.files[tar]))] for tar in self.tars}

    def stretches(self, part: Part) -> list[Stretch]:
        """All stretches of one part in all tars, without empty ones."""
        return [one for tar in self.tars for one in self.layout[tar] if one.part == part and one.end > one.start]

    def bytes_of(self, stretch: Stretch) -> bytes:
        """What stands there."""
        return self.files[stretch.file][stretch.start : stretch.end]

    def touched(self, file: str, content: bytes) -> frozenset[Place]:
        """The places at which a file with another content differs; a record of which every member differs is one place."""
        before, layout = self.files[file], self.layout.get(file, ())
        changed = {one.place for one in layout if content[one.start : one.end] != before[one.start : one.end]}
        kept = {one.record for one in layout if one.place not in changed}
        return frozenset([(file, None, None), *((file, key, member if key in kept else None) for _, key, member in changed)])


def index_of(tar: str) -> str:
    """The path of a tar's index."""
    return f"index/{tar.removesuffix('.tar')}.parquet"


def extensions_of(row: Mapping[str, Any]) -> list[str]:
    """The extensions of the members that an index row describes."""
    return sorted(name.removesuffix(".crc32") for name in row if name.endswith(".crc32"))


def _members(tar: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[Stretch]:
    for row in rows:
        for extension in extensions_of(row):
            start, size = row[f"{extension}.offset"], row[f"{extension}.size"]
            borders = np.cumsum([start - BLOCK, BLOCK, size, padding(size)]).tolist()
            parts: tuple[Part, ...] = ("header", "payload", "padding")
            for part, low, high in zip(parts, borders, borders[1:], strict=False):
                yield Stretch(tar, low, high, part, row["key"], extension)


def _end(tar: str, size: int) -> Stretch:
    return Stretch(tar, size - 2 * BLOCK, size, "end")
