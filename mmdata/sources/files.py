"""The source `files`: a folder in which files with one stem, or with one match of a pattern, make a row."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from mmdata.errors import RecordError, SourceError
from mmdata.sources.base import Row, SourceConfig
from mmdata.sources.folder import LocalFolder, is_url, path_text, system_path
from mmdata.sources.path_pattern import PathPattern

_LEFT_BY_SYSTEMS = frozenset({"__macosx", "thumbs.db", "desktop.ini"})


class Files(SourceConfig):
    """Files of a folder. Those that differ in their extension alone make a row: its key is the path without the extension.

    Each column is an extension in small letters and holds the file's path. With a pattern, its `{key}` is the key and its
    `{column}` the column (by default the extension); its other names become columns of text, to be kept as metadata. Without
    `{key}`, the other names joined by `/` are the key. `*` stands for any part of a name, `{name:path}` may span folders.
    Hidden files, what systems leave behind, and links to folders are left out. The rows are sorted by their keys.

    Example:
        source:
          type: files
          path: corpus
          pattern: "{speaker}/{key}.{column}"
    """

    type: Literal["files"] = "files"
    path: str = Field(description="the folder")
    pattern: str | None = Field(
        None, description="which paths make a row, such as '{column}/{key}.*'; by default those of one stem"
    )

    @field_validator("pattern")
    @classmethod
    def _check_pattern(cls, pattern: str | None) -> str | None:
        if pattern is not None and not PathPattern(pattern).names - {"column"}:
            raise ValueError("must name the key of a row, as in 'images/{key}.jpg'")
        return pattern

    @property
    def columns_are_files(self) -> bool:
        """Every column names a file."""
        return True

    def open(self) -> FilesSource:
        """List the folder. Raises SourceError where it is missing, unreadable, or has no row."""
        return FilesSource(self)


@dataclass(frozen=True)
class _Group:
    """The files of one row: what their paths say, and each with its column."""

    key: str
    names: dict[str, str]
    files: list[tuple[str, str]] = field(default_factory=list)


class FilesSource:
    """An open folder. `left_out` names every file that is in no row; folders left out as a whole end with `/`."""

    left_out: tuple[str, ...]

    def __init__(self, config: Files) -> None:
        """List the folder. Raises SourceError."""
        root = _checked(config.path)
        self._folder = LocalFolder(root, config.max_bytes)
        self._rows, self.left_out = _grouped(config, root)
        if not self._rows:
            hint = f"; left out: {', '.join(self.left_out[:3])}" if self.left_out else ""
            raise SourceError(
                f"{config.path}: the folder has no file that makes a row; check source.path and source.pattern{hint}"
            )

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Row:
        """Return one row: the paths of its files from the folder, by column. Raises RecordError where two claim one column."""
        group = self._rows[range(len(self))[index]]
        columns = dict(group.names)
        for column, path in group.files:
            _check_encoding(path)
            if column in columns:
                raise RecordError("two files have the same key and column", f"{column!r}: {columns[column]!r} and {path!r}")
            columns[column] = path
        return Row(group.key, columns)

    def read(self, path: str) -> bytes:
        """Return the bytes of a file. Raises RecordError."""
        return self._folder.read(path)


def _check_encoding(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise RecordError("file name is not UTF-8", repr(system_path(path))) from error


def _checked(path: str) -> Path:
    if is_url(path):
        raise SourceError(f"{path}: this source reads folders of this machine; list remote files in a manifest beside them")
    if not Path(path).is_dir():
        found = "is not a folder" if Path(path).exists() else "there is no such folder"
        raise SourceError(f"{path}: {found}; set source.path to the folder of the corpus")
    return Path(path)


def _grouped(config: Files, root: Path) -> tuple[list[_Group], tuple[str, ...]]:
    pattern = None if config.pattern is None else PathPattern(config.pattern)
    groups: dict[tuple[str, ...], _Group] = {}
    left_out = []
    for path, is_candidate in _walked(root):
        names = _names(path, pattern) if is_candidate else None
        if names is None:
            left_out.append(path)
            continue
        column = names.pop("column")
        key = names.pop("key", None) or "/".join(names.values())
        groups.setdefault((key, *names.values()), _Group(key, names)).files.append((column, path))
    for group in groups.values():
        group.files.sort()
    return [groups[identity] for identity in sorted(groups)], tuple(sorted(left_out))


def _names(path: str, pattern: PathPattern | None) -> dict[str, str] | None:
    """Return the key, the column and the other names of a path; None where it makes no row."""
    stem, extension = os.path.splitext(path)  # noqa: PTH122 - as a Path it would cost ten times as much
    names = {"key": stem} if pattern is None else pattern.match(path)
    if names is None or not (column := names.get("column", extension[1:]).lower()):
        return None
    return {**names, "column": column}


def _walked(root: Path) -> Iterator[tuple[str, bool]]:
    """Yield each path below a folder, and whether it is a file that may make a row; in no order.

    Links to folders are not followed: they may lead outside, or round in circles.
    """
    place, pending = system_path(str(root)), [""]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(os.path.join(place, system_path(folder))) as entries:  # noqa: PTH118 - a Path takes no bytes
                found = list(entries)
        except OSError as error:
            raise SourceError(f"{root / folder}: the folder cannot be listed: {error.strerror}") from error
        for entry in found:
            is_folder = os.path.isdir(entry)  # noqa: PTH112 - unlike entry.is_dir, it takes a link to itself for no folder
            name = path_text(entry.name)
            path = folder + name + "/" * is_folder
            if name.startswith(".") or name.lower() in _LEFT_BY_SYSTEMS:
                yield path, False
            elif is_folder and not entry.is_symlink():
                pending.append(path)
            else:
                yield path, not is_folder and (entry.is_symlink() or entry.is_file())
