"""Rows of a JSON Lines file: one JSON object a line, UTF-8 (RFC 8259, https://jsonlines.org)."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdata.errors import RecordError
from mmdata.sources.raw_file import RawFile

_BLOCK = 1 << 20
_LONGEST_LINE = 1 << 26
_DEEPEST = 64
_NEWLINE = 10
_BLANKS = b" \t\r\n"


class JsonlTable:
    """The lines of a file that are not blank. A damaged line spoils its own row only."""

    columns: tuple[str, ...] | None = None

    def __init__(self, raw: RawFile) -> None:
        """Find where the rows begin; nothing is parsed yet. Raises SourceError."""
        self._raw = raw
        self._bounds = np.append(row_starts(raw), raw.size)

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return the columns of one row. Raises RecordError for a line that is not one plain JSON object."""
        start, end = int(self._bounds[index]), int(self._bounds[index + 1])
        if end - start > _LONGEST_LINE:
            raise RecordError(
                "manifest line is too long", f"{end - start} bytes at byte {start}; at most {_LONGEST_LINE} are read"
            )
        try:
            return _parsed(self._raw.read(start, end).decode())
        except UnicodeDecodeError as error:
            raise RecordError("manifest line is not UTF-8", f"byte {start + error.start} of the manifest") from error
        except (ValueError, RecursionError) as error:
            raise RecordError("manifest line is not valid JSON", f"line at byte {start}: {error}") from error


def row_starts(raw: RawFile, block_size: int = _BLOCK) -> NDArray[np.int64]:
    """Return where each line that is not blank begins, int64 [rows]; up to blanks before it, which JSON skips."""
    starts = []
    place, line_is_blank = raw.text_start(), True
    while block := raw.read(place, place + block_size):
        data = np.frombuffer(block, np.uint8)
        after_breaks = np.flatnonzero(data == _NEWLINE) + 1
        bounds = np.concatenate([[0], after_breaks, [len(data)]])
        filled = _filled(block, bounds[:-1], bounds[1:])
        # The block's first line may be the rest of one that has its start in a block before.
        is_row = filled.copy()
        is_row[0] &= line_is_blank
        starts.append(place + bounds[:-1][is_row])
        line_is_blank = not filled[-1] and (line_is_blank or len(after_breaks) > 0)
        place += len(block)
    return np.concatenate(starts).astype(np.int64) if starts else np.zeros(0, np.int64)


def _filled(block: bytes, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which stretches of a block are not blank. Nearly all lines show it by their first byte."""
    data = np.frombuffer(block, np.uint8)
    filled = (ends > starts) & ~np.isin(data[np.minimum(starts, len(data) - 1)], list(_BLANKS))
    for number in np.flatnonzero(~filled & (ends - starts > 1)):
        filled[number] = bool(block[starts[number] : ends[number]].strip(_BLANKS))
    return filled


def _parsed(line: str) -> dict[str, Any]:
    found = _DECODER.decode(line)
    if not isinstance(found, dict):
        raise ValueError(f"expected an object in braces, found {type(found).__name__}")  # noqa: TRY004 - the caller's one kind
    if line.count("[") + line.count("{") > _DEEPEST and _depth(found) > _DEEPEST:
        raise ValueError(f"nested deeper than {_DEEPEST}")
    return found


def _depth(data: object) -> int:
    """Return how deep lists and objects are nested, without recursion."""
    layer, depth = [data], 0
    while layer := [item for item in layer if isinstance(item, list | dict)]:
        layer = [below for item in layer for below in (item.values() if isinstance(item, dict) else item)]
        depth += 1
    return depth


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise RecordError("manifest line repeats a name", repr(repeated))
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_finite, parse_constant=_finite)
