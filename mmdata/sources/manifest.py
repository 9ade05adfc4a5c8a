"""The source `manifest`: one file whose rows name the files of the corpus, or hold their content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, Literal, Protocol

from pydantic import Field

from mmdata.errors import RecordError, SourceError
from mmdata.sources.base import Row, SourceConfig
from mmdata.sources.folder import folder_around, is_url
from mmdata.sources.raw_file import RawFile

Format = Literal["jsonl", "csv", "tsv", "parquet"]
_SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip


class Manifest(SourceConfig):
    """Rows of a JSON Lines, CSV, TSV or Parquet file; paths in them are relative to the manifest's folder.

    Example:
        source:
          type: manifest
          path: corpus/manifest.jsonl
          key: id
    """

    type: Literal["manifest"] = "manifest"
    path: str = Field(description="the manifest: a path, or a URL that fsspec can open")
    format: Literal["auto"] | Format = Field("auto", description="auto: by the suffix of the path")
    key: str | None = Field(None, description="the column with the row's key; by default the row's number, 000000012")
    quotes: bool = Field(
        default=True, description="whether cells of CSV and TSV may stand in quotes; else a quote is a character"
    )
    outside: bool = Field(default=False, description="whether rows of a local manifest may name files outside of its folder")

    def open(self) -> ManifestSource:
        """List the rows. Raises SourceError where the manifest is missing, unreadable or empty."""
        return ManifestSource(self)


class Table(Protocol):
    """The rows of an open manifest. `columns` is None where each row has its own."""

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The names of the columns, in order."""

    def __len__(self) -> int:
        """Number of rows, damaged ones included."""

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        """Return one row by column. Raises RecordError where it is damaged."""


class ManifestSource:
    """An open manifest. Pickled, it is its configuration, and lists the rows again. It looks for no files by itself."""

    left_out: tuple[str, ...] = ()

    def __init__(self, config: Manifest) -> None:
        """List the rows. Raises SourceError."""
        self._config = config
        self._table = _table(config)
        _check_columns(config, self._table.columns)
        _check_key(config, self._table)
        if not len(self._table):
            raise SourceError(f"{config.path}: the manifest has no rows; set source.path to one that has")
        self._folder = folder_around(config.path, config.max_bytes, outside=config.outside)

    def __reduce__(self) -> tuple[Callable[[Manifest], ManifestSource], tuple[Manifest]]:
        return ManifestSource, (self._config,)

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, index: int) -> Row:
        """Return one row. Raises RecordError where it is damaged or has no key, IndexError where there is none."""
        index = range(len(self))[index]
        columns = self._table[index]
        name = self._config.key
        return Row(f"{index:09d}" if name is None else _key(name, columns), columns)

    def read(self, path: str) -> bytes:
        """Return the bytes of a file that a row names. Raises RecordError."""
        return self._folder.read(path)


def _table(config: Manifest) -> Table:
    """Open the manifest in its format; the imports stand here since pyarrow takes long to load."""
    format_ = _format(config)
    raw = RawFile(config.path)
    match format_:
        case "jsonl":
            from mmdata.sources.jsonl import JsonlTable

            return JsonlTable(raw)
        case "csv" | "tsv":
            from mmdata.sources.delimited import DelimitedTable

            return DelimitedTable(raw, "," if format_ == "csv" else "\t", quotes=config.quotes)
        case "parquet":
            from mmdata.sources.parquet import ParquetTable

            return ParquetTable(raw)


def _format(config: Manifest) -> Format:
    if config.format != "auto":
        return config.format
    name = config.path.partition("?")[0] if is_url(config.path) else config.path
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in _SUFFIXES:
        known = ", ".join(_SUFFIXES)
        raise SourceError(f"{config.path}: the suffix {suffix!r} names no format of a manifest ({known}); set source.format")
    return _SUFFIXES[suffix]


def _check_columns(config: Manifest, columns: tuple[str, ...] | None) -> None:
    if columns is None:
        return
    repeated = [name for name, count in Counter(columns).items() if count > 1]
    if repeated or "" in columns:
        found = f"the column {repeated[0]!r} twice" if repeated else "a column without a name"
        raise SourceError(f"{config.path}: has {found}; give each column a name of its own")
    if config.key is not None and config.key not in columns:
        raise _no_key(config, columns)


def _check_key(config: Manifest, table: Table) -> None:
    """Raise SourceError where rows have columns of their own, and none has that of the key. Nearly always, the first one has."""
    if config.key is None or table.columns is not None:
        return
    columns: dict[str, None] = {}
    for number in range(len(table)):
        try:
            columns |= dict.fromkeys(table[number])
        except RecordError:
            continue
        if config.key in columns:
            return
    if columns:
        raise _no_key(config, columns)


def _no_key(config: Manifest, columns: Iterable[str]) -> SourceError:
    return SourceError(f"{config.path}: has no column {config.key!r} for the key; there are {', '.join(columns)}")


def _key(name: str, columns: Mapping[str, Any]) -> str:
    """Return a row's key: a text that is not empty, or an integer."""
    value = columns.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        found = repr(value)[:80] if name in columns else "nothing"
        raise RecordError("row has no key", f"column {name!r} must hold a text or an integer, found {found}")
    key = str(value)
    try:
        key.encode()
    except UnicodeEncodeError as error:
        raise RecordError("key is not valid Unicode", repr(key)[:80]) from error
    return key
