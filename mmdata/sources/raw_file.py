"""One file of rows, opened for reading at any place. A remote one is copied first, since rows are read in any order."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import BinaryIO

from mmdata.errors import SourceError
from mmdata.sources.folder import is_url, remote

_WHAT_TO_DO = "set source.path to the file that lists the rows"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class RawFile:
    """An open file: its `name` for errors, its `size` in bytes, and any part of it."""

    def __init__(self, path: str) -> None:
        """Open a local path or a URL. Raises SourceError where it is missing or unreadable."""
        self.name = path
        self.file = _copied(path) if is_url(path) else _opened(path)
        self.size = os.fstat(self.file.fileno()).st_size
        weakref.finalize(self, self.file.close)

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes [start, end), fewer where the file ends before. It has no position, so threads may share it."""
        parts = []
        while start < end and (part := os.pread(self.file.fileno(), end - start, start)):
            parts.append(part)
            start += len(part)
        return b"".join(parts)

    def text_start(self) -> int:
        """Return where the text begins: after a UTF-8 byte order mark. Raises SourceError for UTF-16."""
        head = self.read(0, 3)
        if head.startswith(_UTF_16_MARKS):
            raise SourceError(f"{self.name}: is written in UTF-16; save it as UTF-8")
        return len(_BYTE_ORDER_MARK) if head == _BYTE_ORDER_MARK else 0


def _opened(path: str) -> BinaryIO:
    try:
        if not Path(path).is_file():
            found = "is not a file" if Path(path).exists() else "there is no such file"
            raise SourceError(f"{path}: {found}; {_WHAT_TO_DO}")
        return Path(path).open("rb")
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: cannot be read: {error}; {_WHAT_TO_DO}") from error


def _copied(url: str) -> BinaryIO:
    system, path = remote(url)
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the RawFile
    try:
        with system.open(path, "rb") as source:
            shutil.copyfileobj(source, copy)
        copy.flush()
    except Exception as error:  # each file system and its network library raise their own kinds
        copy.close()
        raise SourceError(f"{url}: cannot be read: {type(error).__name__}: {error}; {_WHAT_TO_DO}") from error
    return copy
