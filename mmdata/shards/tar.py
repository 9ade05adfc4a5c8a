"""Tar files that are a pure function of their members: plain USTAR with every free field fixed."""

from __future__ import annotations

import hashlib
import tarfile
from functools import lru_cache
from typing import BinaryIO

BLOCK = 512
END = bytes(2 * BLOCK)


@lru_cache(maxsize=64)
def header(name: str, size: int) -> bytes:
    """Return the one header block (512 bytes) that a member of this name and size has in our shards.

    Raises ValueError for a name that does not fit into USTAR or is not ASCII.
    """
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info.tobuf(tarfile.USTAR_FORMAT, encoding="ascii", errors="strict")


def padding(size: int) -> int:
    """Return how many zero bytes follow a payload of `size` bytes, up to the next block."""
    return -size % BLOCK


class TarWriter:
    """Writes members one after the other to a file, and hashes what it writes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.bytes = 0

    def add(self, name: str, payload: bytes) -> int:
        """Append a member; return where its payload begins in the file, in bytes."""
        self._write(header(name, len(payload)))
        offset = self.bytes
        self._write(payload)
        self._write(bytes(padding(len(payload))))
        return offset

    def finish(self) -> str:
        """Write the two closing blocks; return the sha256 of the whole file, in hexadecimal."""
        self._write(END)
        return self._digest.hexdigest()

    def _write(self, content: bytes) -> None:
        self._file.write(content)
        self._digest.update(content)
        self.bytes += len(content)
