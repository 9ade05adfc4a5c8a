"""The raw inputs of a row: in which columns and files they stand, their bytes, and the sha256 of each.

A row is known by its columns, which the plan has listed, and by the content of the files that they name. A finished shard
remembers both, so a build that goes on sees which rows are as they were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mmdata.errors import RecordError
from mmdata.listing import ListedRows
from mmdata.plan import PlannedRow
from mmdata.recipe import FieldSpec, Recipe
from mmdata.record import Provenance
from mmdata.sources.base import Source
from mmdata.subtitles import is_subtitles

_FILES_A_PART = 32

FileDigests = Mapping[str, str]
"""What the files of a row hold, by the name of the raw input: the sha256, or why the file cannot be read."""


@dataclass(frozen=True)
class Place:
    """Where a raw input stands: the file that a column names, or the column itself."""

    column: str
    content: Any
    is_file: bool


@dataclass(frozen=True, eq=False)
class RawInput:
    """The bytes of a raw input, and where they came from."""

    content: bytes
    provenance: Provenance


def places_of(recipe: Recipe, fields: Iterable[str], columns: Mapping[str, Any]) -> dict[str, Place]:
    """Return where the raw inputs of a row stand, by name: `FIELD`, and `FIELD.segments` of subtitles; not those it lacks."""
    places = {}
    for name in fields:
        spec = recipe.fields[name]
        if (place := _place(recipe, name, spec, columns)) is not None:
            places[name] = place
            if spec.segments and isinstance(beside := columns.get(spec.segments), str):
                places[f"{name}.segments"] = Place(spec.segments, beside, is_subtitles(beside))
    return places


def _place(recipe: Recipe, name: str, spec: FieldSpec, columns: Mapping[str, Any]) -> Place | None:
    column = spec.column or name
    content = columns.get(column)
    if isinstance(content, dict):
        content = content.get("bytes") or content.get("path")
    names_file = spec.kind != "text" or recipe.source.columns_are_files if spec.file is None else spec.file
    if content is None or (names_file and content == ""):
        return None
    return Place(column, content, is_file=names_file and isinstance(content, str))


def read_place(source: Source, place: Place) -> RawInput:
    """Return a raw input. Raises RecordError where it cannot be read."""
    if place.is_file:
        raw, uri = source.read(place.content), str(place.content)
    else:
        raw = place.content if isinstance(place.content, bytes) else _encoded(place.column, place.content)
        uri = f"column:{place.column}"
    return RawInput(raw, Provenance(uri, hashlib.sha256(raw).hexdigest(), len(raw)))


def _encoded(column: str, content: object) -> bytes:
    if not isinstance(content, str):
        raise RecordError("column has the wrong type", f"column {column!r} holds {type(content).__name__}, not a text")
    try:
        return content.encode()
    except UnicodeEncodeError as error:
        raise RecordError("text is not valid Unicode", f"column {column!r}: {error.reason}") from error


def unreadable(error: RecordError) -> str:
    """Return what stands for the sha256 of a file that cannot be read."""
    return f"unreadable: {error.reason}"


class CorpusFiles:
    """Tells what the files of rows hold now. Each file is read once, several at a time."""

    def __init__(self, recipe: Recipe, threads: int) -> None:
        self._recipe = recipe
        self._threads = threads
        self._paths: dict[int, dict[str, str]] = {}
        self._digests: dict[str, str] = {}

    def digests(self, rows: Iterable[PlannedRow]) -> list[FileDigests]:
        """Return what the files of each row hold."""
        files = [self._files(row) for row in rows]
        unknown = [path for path in dict.fromkeys(path for row in files for path in row.values()) if path not in self._digests]
        parts = [unknown[first : first + _FILES_A_PART] for first in range(0, len(unknown), _FILES_A_PART)]
        with ThreadPoolExecutor(self._threads) as pool:
            for found in pool.map(self._read, parts):
                self._digests |= found
        return [{name: self._digests[path] for name, path in row.items()} for row in files]

    def path(self, row: PlannedRow, name: str) -> str:
        """Return the file of a raw input of a row; its name where the row has none now."""
        return self._files(row).get(name, name)

    def _files(self, row: PlannedRow) -> dict[str, str]:
        if row.row not in self._paths:
            places = places_of(self._recipe, self._recipe.fields, self._rows[row])
            self._paths[row.row] = {name: place.content for name, place in places.items() if place.is_file}
        return self._paths[row.row]

    def _read(self, paths: Iterable[str]) -> dict[str, str]:
        return {path: self._digest(path) for path in paths}

    @cached_property
    def _source(self) -> Source:
        return self._recipe.open_source()

    @cached_property
    def _rows(self) -> ListedRows:
        return ListedRows(self._recipe, self._source)

    def _digest(self, path: str) -> str:
        try:
            return hashlib.sha256(self._source.read(path)).hexdigest()
        except RecordError as error:
            return unreadable(error)
