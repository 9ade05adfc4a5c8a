"""Ways to read and check payloads: letting go of the interpreter's lock, as usual, or holding it while they are small.

What a thread does without the lock others can do meanwhile; but to get it back, the thread has to be woken, which takes longer
than to read and check twenty kilobytes that are in the page cache already. Among many threads that wait is most of the time.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from typing import NamedTuple

from mmdata import crc

_MOST = 1 << 16
"""Bytes for which the lock is held: some ten microseconds."""

_PIECE = 5 * 1024
"""Bytes up to which zlib's and ISA-L's crc32 keep the lock."""


class Access(NamedTuple):
    """How payloads are read and checked.

    `read` fills a block from a place of a file and returns how many bytes there were; it raises OSError as `preadv` does. `crc32`
    returns that of a payload.
    """

    read: Callable[[int, memoryview, int], int]
    crc32: Callable[[memoryview], int]


def _read(descriptor: int, block: memoryview, start: int) -> int:
    return os.preadv(descriptor, [block], start)


def _held_crc32(payload: memoryview) -> int:
    """Return the crc32 of a payload; of a small one the lock is held, where the function is a fast one."""
    if not crc.FAST or not _PIECE < len(payload) <= _MOST:
        return crc.crc32(payload)
    value = 0
    for start in range(0, len(payload), _PIECE):
        value = crc.crc32(payload[start : start + _PIECE], value)
    return value


def _held_read(descriptor: int, block: memoryview, start: int) -> int:
    """Read; where the block is small and the page cache has all of it, the lock is held: no other thread waits for a disk."""
    if _read_cached is not None and len(block) <= _MOST and _read_cached(descriptor, block, start) == len(block):
        return len(block)
    return _read(descriptor, block, start)


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def _cached_reader() -> Callable[[int, memoryview, int], int] | None:
    """Return Linux's read that gives up where it would have to wait, called with the lock held; None elsewhere."""
    if sys.platform != "linux" or ctypes.sizeof(ctypes.c_long) != 8 or not hasattr(os, "RWF_NOWAIT"):
        return None
    try:
        preadv2 = ctypes.PyDLL(None).preadv2  # `PyDLL` keeps the lock where `CDLL` lets go of it
    except AttributeError:
        return None
    preadv2.argtypes = (ctypes.c_int, ctypes.POINTER(_Vector), ctypes.c_int, ctypes.c_long, ctypes.c_int)
    preadv2.restype = ctypes.c_ssize_t
    flags = os.RWF_NOWAIT

    def read_cached(descriptor: int, block: memoryview, start: int) -> int:
        vector = _Vector(ctypes.addressof(ctypes.c_char.from_buffer(block)), len(block))
        return int(preadv2(descriptor, vector, 1, start, flags))

    return read_cached


_read_cached = _cached_reader()

ALONE = Access(_read, crc.crc32)
"""For a thread that no other waits for."""

AMONG_THREADS = Access(_held_read, _held_crc32)
"""For one of many threads."""
