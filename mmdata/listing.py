"""The rows of a source as a build lists them: the columns that its recipe uses, and what stands for a row in digests.

Rows are planned once and read much later, in other processes that list the source anew. A row is known by its number there, so
each is held to its digest before it is used: a manifest or folder that changed meanwhile would pair the key of one row with the
data of another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmdata.errors import RecordError, SourceError
from mmdata.files import canonical_json
from mmdata.sources.base import Row, Source

if TYPE_CHECKING:
    from mmdata.plan import PlannedRow
    from mmdata.recipe import Recipe


def used_columns(recipe: Recipe) -> list[str]:
    """Return the columns that a recipe uses, each once."""
    columns: dict[str, None] = {}
    for name, spec in recipe.fields.items():
        columns |= dict.fromkeys([spec.column or name, *spec.annotations.values()])
    columns |= dict.fromkeys(recipe.metadata)
    return list(columns | dict.fromkeys([recipe.split.by] if recipe.split.by else []))


def line_of(seen: object) -> bytes:
    """Return the line that stands for something seen in a listing."""
    return canonical_json(_hashable(seen)).encode("utf-8", "surrogatepass") + b"\n"


def line_of_row(row: Row, used: list[str]) -> bytes:
    """Return the line that stands for a row, whose sha256 is its digest: its key, and the columns used."""
    return line_of([row.key, {name: row.columns.get(name) for name in used}])


def _hashable(value: object) -> object:
    """Stand in for bytes, dates and what else JSON has no form for."""
    if isinstance(value, bytes):
        return {"sha256": hashlib.sha256(value).hexdigest()}
    if isinstance(value, Mapping):
        return {str(key): _hashable(found) for key, found in value.items()}
    if isinstance(value, list | tuple):
        return [_hashable(found) for found in value]
    is_plain = value is None or isinstance(value, str | int | bool) or (isinstance(value, float) and value - value == 0)
    return value if is_plain else repr(value)


class ListedRows:
    """The rows of an open source, each held to what it was when it was planned."""

    def __init__(self, recipe: Recipe, source: Source) -> None:
        self._place = recipe.corpus
        self._source = source
        self._used = used_columns(recipe)

    def __getitem__(self, planned: PlannedRow) -> Mapping[str, Any]:
        """Return the columns of a planned row. Raises SourceError where the source has another one in its place by now."""
        try:
            row = self._source[planned.row]
        except IndexError as error:
            raise self._changed(planned, f"the source has {len(self._source)} rows now") from error
        except RecordError as error:
            raise self._changed(planned, str(error)) from error
        if hashlib.sha256(line_of_row(row, self._used)).hexdigest() != planned.listed:
            is_other = row.key != planned.source_key
            raise self._changed(planned, f"now {row.key!r} stands there" if is_other else "it says something else now")
        return row.columns

    def _changed(self, planned: PlannedRow, found: str) -> SourceError:
        where = f"row {planned.row}, {planned.source_key!r}: {found}"
        return SourceError(f"{self._place}: changed while the dataset was built ({where}); build with --update to take it over")
