"""Rows that an earlier shard holds: found by what they were made of, and copied out of it in place of being made again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mmdata.plan import PlannedRow
from mmdata.raw import FileDigests
from mmdata.shards.index import ShardIndex, ShardReject
from mmdata.shards.reader import ShardReader


@dataclass(frozen=True)
class HeldRow:
    """A row as an index holds it: what it was made of, and where its records stand.

    `digest` is that of the planned row; it is empty where no digest may be kept. `files` are the sha256 of raw inputs by name.
    `failed` says that it, or a record of it, was rejected as an error.
    """

    digest: str
    files: FileDigests
    first: int
    count: int
    failed: bool = False

    def is_of(self, planned: PlannedRow, files: FileDigests) -> bool:
        """Whether the row would be made of the same again, and that is known."""
        return bool(self.digest) and self.digest == planned.digest and not self.changed(files)

    def differs(self, planned: PlannedRow, files: FileDigests) -> bool:
        """Whether the row is known to be made of something else now. Of no files, only the row as it is listed is compared."""
        return bool(self.digest) and (self.digest != planned.digest or bool(self.changed(files, if_known=True)))

    def changed(self, files: FileDigests, *, if_known: bool = False) -> list[str]:
        """Return the names of the files that hold something else now, or may: of what is concealed nothing is known."""
        same = ("",) if if_known else ()
        return [name for name, sha256 in files.items() if self.files.get(name, "") not in {sha256, *same}]


def held_rows(index: ShardIndex) -> dict[str, HeldRow]:
    """Return the rows of which a shard holds records or rejects, by their keys in the source."""
    names = [name for name in index.table.column_names if name.startswith("input.") and name.endswith(".sha256")]
    inputs = {name.removeprefix("input.").removesuffix(".sha256"): index.column(name) for name in names}
    rows: dict[str, HeldRow] = {}
    for place, (key, digest) in enumerate(zip(index.column("source_key"), index.column("input.digest"), strict=True)):
        if (held := rows.get(key)) is None:
            rows[key] = HeldRow(digest, {name: column[place] for name, column in inputs.items()}, place, 1)
        else:
            # A record of which no digest may be kept speaks for all of its row.
            rows[key] = replace(held, digest=held.digest and digest, count=held.count + 1)
    for reject in index.rejects:
        held = rows.setdefault(reject.source_key, HeldRow(reject.digest, reject.files, 0, 0))
        rows[reject.source_key] = replace(held, failed=held.failed or reject.kind == "error")
    return rows


@dataclass(frozen=True)
class EarlierRow:
    """Where a row is to be had without work: a shard, its index, and the row's records there."""

    tar: Path | None
    index: Path
    source_key: str
    first: int
    count: int


@dataclass(frozen=True)
class CopiedRow:
    """What an earlier shard holds of a row: the index columns and payloads of its records, and its rejects."""

    records: Sequence[tuple[Mapping[str, Any], Mapping[str, bytes]]]
    rejects: Sequence[ShardReject]


class EarlierShards:
    """Reads rows out of earlier shards, each of which is opened once."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._indexes: dict[Path, ShardIndex] = {}
        self._readers: dict[Path, ShardReader] = {}

    def read(self, row: EarlierRow, extensions: Iterable[str]) -> CopiedRow:
        """Return what the shard holds of a row. Raises DatasetError where any of it is missing or damaged."""
        index = self._indexes.get(row.index)
        if index is None:
            index = self._indexes[row.index] = ShardIndex.read(row.index)
        rejects = [one for one in index.rejects if one.source_key == row.source_key]
        if row.tar is None or not row.count:
            return CopiedRow([], rejects)
        columns = index.table.slice(row.first, row.count).to_pylist()
        places = {extension: index.members(extension)[row.first : row.first + row.count] for extension in extensions}
        reader = self._reader(row.tar)
        payloads = ({name: reader.read(found[number]) for name, found in places.items()} for number in range(row.count))
        return CopiedRow(list(zip(columns, payloads, strict=True)), rejects)

    def _reader(self, tar: Path) -> ShardReader:
        if tar not in self._readers:
            self._readers[tar] = self._open.enter_context(ShardReader(tar))
        return self._readers[tar]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()
