"""What changed since a folder was built: raw files that hold something else, and the rows and shards that an update touches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from mmdata.differences import changed_files
from mmdata.errors import DatasetError
from mmdata.plan import PlannedRow
from mmdata.raw import CorpusFiles, FileDigests

Compare = Callable[[PlannedRow, FileDigests], Sequence[str]]
"""Returns the names of a row's files that hold something else than when they were read; the digests are those of now."""


class Mode(Enum):
    """What a build does with finished work whose raw files hold something else now."""

    RESUME = "resume"
    """It is refused: what is done and what is not would be made of two corpora."""

    UPDATE = "update"
    """It makes it anew."""

    REPAIR = "repair"
    """It does not look at them: the checksums of the dataset tell whether what is made again is what it was."""


class RawChanges:
    """Compares what raw files hold now with what they held when finished work was made of them."""

    def __init__(self, out: Path, corpus: CorpusFiles, mode: Mode) -> None:
        self.mode = mode
        self._out = out
        self._corpus = corpus
        self._lines: dict[str, None] = {}

    def rows(self, rows: Sequence[PlannedRow], compare: Compare) -> set[int]:
        """Return the numbers of the rows whose files hold something else now."""
        if self.mode is Mode.REPAIR:
            return set()
        changed = set()
        for row, files in zip(rows, self._corpus.digests(rows), strict=True):
            if names := compare(row, files):
                changed.add(row.row)
                self._lines |= dict.fromkeys(f"{self._corpus.path(row, name)} of row {row.source_key!r}" for name in names)
        return changed

    def files_of(self, rows: Sequence[PlannedRow]) -> list[FileDigests]:
        """Return what the files of rows hold now, by name."""
        return self._corpus.digests(rows)

    def path(self, row: PlannedRow, name: str) -> str:
        """Return which file a raw input of a row is."""
        return self._corpus.path(row, name)

    def refuse(self) -> None:
        """Raise DatasetError that names the files that changed, where finished work of them is gone on with."""
        if self._lines and self.mode is Mode.RESUME:
            raise DatasetError(changed_files(self._out, list(self._lines)))


@dataclass(frozen=True)
class Changes:
    """What an update or a repair did: rows by what became of them, shards by whether they were made, and the files repaired.

    Rows added, changed, made anew, kept and turned away (in the listing, as for a key that is not unique) are all rows there are.
    A row is changed where it, its files, or what stages decide about it beside all others differs. It is made anew where it is as
    it was, as far as the folder tells, but what the folder held of it could not be taken: it failed, or no digest of it may be
    kept. It is kept where what the folder held of it was taken as it was.
    """

    rows_added: int
    rows_changed: int
    rows_made_anew: int
    rows_removed: int
    rows_kept: int
    rows_turned_away: int
    shards_rebuilt: int
    shards_kept: int
    repaired: tuple[str, ...] = ()
