"""A small corpus that can be edited, and the checks that every update must pass: for the tests of updates and repairs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from mmdata.builder import Options, Outcome, carry_out
from mmdata.engines.base import Job, Tick, Unwatched
from mmdata.files import sha256_of
from mmdata.limits import Limits
from mmdata.recipe import Recipe
from tests.corpus import caption, picture

T = TypeVar("T")

STAGES: list[Any] = [
    "record.require",
    "record.deduplicate",
    "text.normalize",
    "image.decode",
    {"image.resize": {"size": 8}},
    "image.normalize",
    {"text.tokenize": {"vocabulary": 280}},
]


def contents(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file of a folder."""
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Return the inode and the time of change of every file of a folder."""
    found = {path.relative_to(folder).as_posix(): path.stat() for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}


def flip(path: Path, place: int) -> None:
    """Flip a bit of a file; `place` counts from its end where it is negative."""
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


class Inline:
    """An engine that carries out tasks where it is called: many small builds need no time for processes to start."""

    def __init__(self, workers: int, work: Path, limits: Limits) -> None:
        """Take what the local engine takes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave nothing to stop."""

    def run(self, job: Job[T], tasks: Sequence[T], progress: Tick) -> Iterator[T]:
        """Carry out all tasks, in their order."""
        for task in tasks:
            job(task, _Counted(progress), {})
            yield task


class _Counted(Unwatched):
    """The watch of a job that nobody has to stop: it counts rows alone."""

    def __init__(self, progress: Tick) -> None:
        self._progress = progress

    def end(self, *, rejected: bool) -> None:
        """Count a row."""
        self._progress(1, int(rejected))


@dataclass
class Corpus:
    """Rows of a picture and a text below a folder, in order; `data` is what the recipe says."""

    folder: Path
    rows: list[dict[str, Any]]
    data: dict[str, Any]

    @classmethod
    def make(cls, folder: Path, count: int, **changes: Any) -> Corpus:
        """Make `count` rows; every row is its own group."""
        data = {
            "name": "small",
            "source": {"type": "manifest", "path": str(folder / "manifest.jsonl"), "key": "key"},
            "fields": {"image": {"kind": "image"}, "text": {"kind": "text"}},
            "metadata": {"label": "str"},
            "split": {"val": 0.2},
            "stages": STAGES,
            "output": {"image": {"format": "png"}},
            "shards": {"rows": 4},
            "max_rejects": 1000,
            **changes,
        }
        folder.mkdir()
        corpus = cls(folder, [], data)
        for number in range(count):
            corpus.add(number)
        return corpus

    def add(self, number: int, place: int | None = None) -> None:
        """Add a row with its picture, at the end or before another row."""
        (self.folder / f"{number}.png").write_bytes(picture(number, 12, 10))
        row = {"key": f"row/{number:03d}", "image": f"{number}.png", "text": caption(number), "label": "ab"[number % 2]}
        self.rows.insert(len(self.rows) if place is None else place, row)

    def write(self) -> Recipe:
        """Write the manifest; return the recipe."""
        lines = [json.dumps(row) + "\n" for row in self.rows]
        (self.folder / "manifest.jsonl").write_text("".join(lines), encoding="utf-8")
        return Recipe.from_data(self.data)

    def build(self, out: Path, *, update: bool = False, **changes: Any) -> Outcome:
        """Build the corpus as it is into a folder, with one worker."""
        self.write()
        return carry_out({**self.data, **changes}, out, Options(workers=1, update=update))


def assert_as_new(corpus: Corpus, out: Path, fresh: Path) -> None:
    """Check that a folder is, byte for byte, what a build from nothing with its artifacts gives."""
    corpus.build(fresh, artifacts=str(out))
    assert contents(out) == contents(fresh)
