"""The folder of a corpus: turns the paths that rows name into bytes, and lets none of them lead outside unnoticed."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from mmdata.errors import RecordError, SourceError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Folder(Protocol):
    """Reads the files of a corpus by the paths that its rows name."""

    def read(self, path: str) -> bytes:
        """Return a file's bytes; `path` is relative to the folder. Raises RecordError where that is not possible."""


class LocalFolder:
    """A folder on this machine. With `outside`, paths may lead out of it; else they may not, through links included."""

    def __init__(self, root: Path, max_bytes: int, *, outside: bool = False) -> None:
        self._root = os.path.realpath(system_path(str(root)))
        self._max_bytes = max_bytes
        self._outside = outside

    def read(self, path: str) -> bytes:
        """Return a file's bytes. Raises RecordError where it is missing, unreadable, not a file, too large, or outside."""
        check_path(path)
        try:
            place = os.path.realpath(os.path.join(self._root, system_path(path)))  # noqa: PTH118 - pathlib has no such order
            if not (self._outside or self._holds(place)):
                detail = f"{path!r} leads to {path_text(place)!r}; a manifest may name such files where source.outside is true"
                raise RecordError("path leads outside of the corpus", detail)
            # Opening a pipe would wait for ever, so what is no plain file is turned away before.
            found = os.stat(place)  # noqa: PTH116 - a Path for each file costs more than the call
            if not stat.S_ISREG(found.st_mode):
                raise RecordError("path is not a file", repr(path))
            if found.st_size > self._max_bytes:
                detail = f"{path!r} has {found.st_size} bytes, more than source.max_bytes = {self._max_bytes}"
                raise RecordError("file is too large", detail)
            with open(place, "rb") as file:  # noqa: PTH123 - the same
                return file.read()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise RecordError("file is missing", repr(path)) from error
        except OSError as error:
            raise RecordError("file cannot be read", f"{path!r}: {error.strerror}") from error

    def _holds(self, place: bytes) -> bool:
        return os.path.commonpath([self._root, place]) == self._root


class RemoteFolder:
    """A folder of a file system that fsspec knows. Paths can never lead out of it."""

    def __init__(self, system: AbstractFileSystem, root: str) -> None:
        self._system = system
        self._root = root.rstrip("/")
        self._is_web = "http" in ((system.protocol,) if isinstance(system.protocol, str) else system.protocol)

    def read(self, path: str) -> bytes:
        """Return a file's bytes. Raises RecordError where it is missing, unreadable or outside."""
        check_path(path)
        if path.startswith("/") or ".." in path.split("/"):
            raise RecordError("path leads outside of the corpus", repr(path))
        # A web server would take %2e for a dot, and ? for the start of a query.
        name = quote(path) if self._is_web else path
        try:
            content = self._system.cat_file(f"{self._root}/{name}")
        except FileNotFoundError as error:
            raise RecordError("file is missing", repr(path)) from error
        except MemoryError:
            raise
        except Exception as error:  # each file system and its network library raise their own kinds
            raise RecordError("file cannot be read", f"{path!r}: {type(error).__name__}: {error}") from error
        assert isinstance(content, bytes)
        return content


def check_path(path: str) -> None:
    """Raise RecordError for what cannot be the path of a file in a corpus."""
    if not path:
        raise RecordError("path is empty")
    if _CONTROL.search(path):
        raise RecordError("path has control characters", repr(path))
    if _URL.match(path):
        raise RecordError("path is a URL", f"{path!r}: download the file, and name it by its path")
    try:
        system_path(path)
    except UnicodeEncodeError as error:
        raise RecordError("path is not valid Unicode", repr(path)) from error


def system_path(path: str) -> bytes:
    """Return a path as the system takes it: names in a corpus are UTF-8, whatever the locale says."""
    return path.encode("utf-8", "surrogateescape")


def path_text(path: bytes) -> str:
    """Return a path of the system as text; bytes that are not UTF-8 become lone surrogates."""
    return path.decode("utf-8", "surrogateescape")


def is_url(place: str) -> bool:
    """Whether a place is one for fsspec, not a path of this machine."""
    return "://" in place


def remote(url: str) -> tuple[AbstractFileSystem, str]:
    """Return the file system of a URL, and the path in it. Raises SourceError where there is none for it."""
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise SourceError(f"{url}: cannot be opened: {error}") from error
    return system, path


def folder_around(path: str, max_bytes: int, *, outside: bool) -> Folder:
    """Return the folder in which a manifest stands. Raises SourceError."""
    if not is_url(path):
        return LocalFolder(Path(path).parent, max_bytes, outside=outside)
    from fsspec.implementations.local import LocalFileSystem

    system, place = remote(path)
    root = place.rpartition("/")[0]
    if isinstance(system, LocalFileSystem):
        return LocalFolder(Path(root), max_bytes, outside=outside)
    return RemoteFolder(system, root)
