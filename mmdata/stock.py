"""The stock of a dataset folder: which tasks are done in it, wherever their files lie.

A tar is known by its content and an index by what it says of itself, not by their names: so a build that was stopped between any
two renames finds all that was done, and what is damaged is not found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mmdata.earlier import HeldRow, held_rows
from mmdata.errors import DatasetError
from mmdata.shards.index import ShardIndex


class FileHashes:
    """The sha256 of files, each read once, several at a time. Empty for a file that cannot be read."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._known: dict[Path, str] = {}

    def read(self, paths: Iterable[Path]) -> None:
        """Read files before their hashes are asked for."""
        unknown = [path for path in paths if path not in self._known]
        with ThreadPoolExecutor(self._threads) as pool:
            self._known |= zip(unknown, pool.map(_sha256, unknown), strict=True)

    def __getitem__(self, path: Path) -> str:
        if path not in self._known:
            self._known[path] = _sha256(path)
        return self._known[path]


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


@dataclass(frozen=True)
class Finished:
    """A task that is done: its index, and where index and tar lie; there is no tar where it gave no record, or is lost."""

    index: ShardIndex
    index_file: Path
    tar: Path | None

    @property
    def digest(self) -> str:
        """The task's digest."""
        return self.index.info.task

    @cached_property
    def rows(self) -> Mapping[str, HeldRow]:
        """The rows that the task had, by their keys in the source."""
        return held_rows(self.index)


class Stock:
    """What lies in a folder: tasks that are done, and shards that are damaged but whose whole index lets rows be had of them."""

    def __init__(self, finished: Sequence[Finished], damaged: Sequence[Finished]) -> None:
        self.finished = finished
        self.damaged = damaged
        self._by_digest: dict[str, list[Finished]] = {}
        for one in finished:
            self._by_digest.setdefault(one.digest, []).append(one)

    @classmethod
    def scan(cls, folders: Sequence[tuple[Path, Path]], hashes: FileHashes, distrusted: Container[Path]) -> Stock:
        """Look through folders of tars, each with that of its indexes; leave out the indexes that are damaged or distrusted."""
        tars = [tar for folder, _ in folders for tar in sorted(folder.glob("*.tar"))]
        hashes.read(tars)
        by_content = {hashes[tar]: tar for tar in reversed(tars)}
        finished, damaged = [], []
        for folder, indexes in folders:
            for path in sorted(indexes.glob("*.parquet")):
                index = None if path in distrusted else _whole_index(path)
                if index is None:
                    continue
                # A tar is of one index: where the power failed in a rename, both may stand in two folders.
                tar = by_content.pop(index.info.sha256, None)
                if tar is not None or not index.info.records:
                    finished.append(Finished(index, path, tar))
                else:
                    tar = folder / f"{path.stem}.tar"
                    damaged.append(Finished(index, path, tar if tar.exists() else None))
        return cls(finished, damaged)

    @property
    def shards(self) -> list[Finished]:
        """All that is there, whole or damaged."""
        return [*self.finished, *self.damaged]

    def of(self, digest: str) -> Sequence[Finished]:
        """Return what is there of a task."""
        return self._by_digest.get(digest, [])


def _whole_index(path: Path) -> ShardIndex | None:
    try:
        index = ShardIndex.read(path)
    except DatasetError:
        return None
    return index if index.is_whole else None
