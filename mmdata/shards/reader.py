"""Reads payloads out of a shard by their place in the index, from any thread, and checks each one."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from mmdata.crc import crc32
from mmdata.errors import DatasetError
from mmdata.parquet import check_plain_file
from mmdata.shards.index import Member


class ShardReader:
    """An open shard. Reading neither moves a file position nor takes a lock, so threads may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            check_plain_file(path)
            self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            raise DatasetError(f"{path}: the shard cannot be opened ({error.strerror})") from error
        self._size = os.fstat(self._descriptor).st_size

    def read(self, member: Member) -> bytes:
        """Return a payload. Raises DatasetError where the file ends early or the checksum differs."""
        # Reading takes memory for all that is asked for, so a size that the file does not have is never asked for.
        if min(member.offset, member.size) < 0 or member.offset + member.size > self._size:
            raise DatasetError(f"{self.path}: the file does not reach from byte {member.offset} over {member.size} bytes")
        payload = os.pread(self._descriptor, member.size, member.offset)
        if crc32(payload) != member.crc32:
            raise DatasetError(f"{self.path}: the payload at byte {member.offset} is damaged (its crc32 differs)")
        return payload

    def close(self) -> None:
        """Close the file; reading afterwards is an error."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
