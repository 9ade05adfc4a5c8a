"""Rows of a CSV or TSV file (RFC 4180): a header row, quoted cells with line breaks, UTF-8."""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

from mmdata.errors import RecordError, SourceError
from mmdata.sources.raw_file import RawFile

_LONGEST_LINE = 1 << 26
_HINT = "where quotes are ordinary characters, set source.quotes: false"


class DelimitedTable:
    """The rows after the header. Blank lines are no rows; a damaged row spoils no other."""

    def __init__(self, raw: RawFile, delimiter: str, *, quotes: bool) -> None:
        """Read the header and find where the rows begin. Raises SourceError."""
        self._raw = raw
        self._delimiter = delimiter
        self._quotes = quotes
        bounds = self._bounds_of_rows()
        if len(bounds) < 2:
            raise SourceError(f"{raw.name}: has no header row")
        self._bounds = bounds[1:]
        try:
            self.columns = tuple(self._cells(int(bounds[0]), int(bounds[1])))
        except RecordError as error:
            raise SourceError(f"{raw.name}: the header row cannot be read: {error}") from error

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def __getitem__(self, index: int) -> dict[str, str]:
        """Return the cells of one row by column. Raises RecordError where they are not as the header says."""
        start, end = int(self._bounds[index]), int(self._bounds[index + 1])
        cells = self._cells(start, end)
        if len(cells) != len(self.columns):
            detail = f"{len(cells)} cells, and the header has {len(self.columns)}; row at byte {start}"
            raise RecordError("row has the wrong number of cells", detail)
        return dict(zip(self.columns, cells, strict=True))

    def _cells(self, start: int, end: int) -> list[str]:
        try:
            text = self._raw.read(start, end).decode()
        except UnicodeDecodeError as error:
            raise RecordError("manifest line is not UTF-8", f"byte {start + error.start} of the manifest") from error
        try:
            # As in _Lines, line feeds alone end a line.
            return next(self._reader(io.StringIO(text, newline="\n")))
        except csv.Error as error:
            raise RecordError("row is not valid CSV", f"row at byte {start}: {error}; {_HINT}") from error

    def _reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        if self._quotes:
            return csv.reader(lines, delimiter=self._delimiter, strict=True)
        return csv.reader(lines, delimiter=self._delimiter, quoting=csv.QUOTE_NONE)

    def _bounds_of_rows(self) -> NDArray[np.int64]:
        """Return where each row begins, the header first, and where the last one ends: int64 [rows + 2]."""
        lines = _Lines(self._raw)
        reader = self._reader(lines)
        bounds = array("q")
        while True:
            start, line = lines.place, lines.number + 1
            try:
                is_row = bool(next(reader))
            except StopIteration:
                break
            except csv.Error as error:
                if lines.ended or "field limit" in str(error):
                    self._refuse(line, error)
                is_row = True
            if is_row:
                bounds.append(start)
        bounds.append(lines.place)
        return np.array(bounds, np.int64)

    def _refuse(self, line: int, error: csv.Error) -> NoReturn:
        """Give up: where a quote is not closed, nothing tells where the next row begins."""
        found = f"the row that begins here has a cell without an end ({error})"
        advice = f"close its quotes, or double those that belong to the text; {_HINT}; keep long texts in JSON Lines or Parquet"
        raise SourceError(f"{self._raw.name}:{line}: {found}; {advice}") from error


class _Lines:
    """The lines of a file as text for the csv module, which takes no more of them than the next row needs."""

    def __init__(self, raw: RawFile) -> None:
        self.place = raw.text_start()
        self.number = 0
        self.ended = False
        self._name = raw.name
        self._file: BinaryIO = raw.file
        self._file.seek(self.place)

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._file.readline(_LONGEST_LINE)
        if len(line) == _LONGEST_LINE:
            raise SourceError(f"{self._name}: has a line of more than {_LONGEST_LINE} bytes at byte {self.place}; is it CSV?")
        if not line:
            self.ended = True
            raise StopIteration
        self.place += len(line)
        self.number += 1
        # Damaged characters matter only when their row is read.
        return line.decode("utf-8", "surrogateescape")
