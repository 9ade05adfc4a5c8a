"""Reading and checking with the interpreter's lock held is the same as without, also where the page cache has nothing."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmdata.loader import access
from mmdata.loader.access import ALONE, AMONG_THREADS
from mmdata.rng import rng_for

SIZES = (1, 5119, 5120, 5121, 20_000, 65_535, 65_536, 65_537, 300_000)


@pytest.fixture(scope="module")
def content() -> bytes:
    """Half a megabyte of noise."""
    return rng_for(0, "content").bytes(500_000)


@pytest.fixture
def descriptor(tmp_path: Path, content: bytes) -> Iterator[int]:
    """An open file with the content."""
    path = tmp_path / "file"
    path.write_bytes(content)
    opened = os.open(path, os.O_RDONLY)
    yield opened
    os.close(opened)


@pytest.mark.parametrize("size", SIZES)
def test_both_ways_read_the_same(descriptor: int, content: bytes, size: int) -> None:
    """Small blocks and large ones are filled from the place that is asked for, and what lies around them is left alone."""
    for way in (ALONE, AMONG_THREADS):
        memory = bytearray(size + 2)
        assert way.read(descriptor, memoryview(memory)[1:-1], 777) == size
        assert memory == b"\0" + content[777 : 777 + size] + b"\0"


@pytest.mark.parametrize("size", SIZES)
def test_both_ways_check_the_same(content: bytes, size: int) -> None:
    """The crc32 is that of zlib, in pieces or not, of any part of memory."""
    for way in (ALONE, AMONG_THREADS):
        assert way.crc32(memoryview(content)[3 : 3 + size]) == zlib.crc32(content[3 : 3 + size])


def test_what_the_page_cache_does_not_have_is_read_all_the_same(descriptor: int, content: bytes) -> None:
    """Pages that were given up come from the disk."""
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    block = memoryview(bytearray(20_000))
    assert AMONG_THREADS.read(descriptor, block, 400_000) == 20_000
    assert block == content[400_000:420_000]


@pytest.mark.parametrize("way", [ALONE, AMONG_THREADS], ids=["alone", "among threads"])
def test_ends_and_errors_are_those_of_the_system(descriptor: int, content: bytes, way: access.Access) -> None:
    """After the end of the file there is less or nothing; a descriptor that is not open is an OSError."""
    block = memoryview(bytearray(100))
    assert way.read(descriptor, block, len(content) - 30) == 30
    assert way.read(descriptor, block, len(content) + 30) == 0
    closed = os.dup(descriptor)
    os.close(closed)
    with pytest.raises(OSError, match="Bad file descriptor"):
        way.read(closed, block, 0)


def test_other_systems_do_without(descriptor: int, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no read that does not wait, or no fast crc32 is installed, the usual ways are taken."""
    monkeypatch.setattr(access, "_read_cached", None)
    monkeypatch.setattr(access.crc, "FAST", False)
    block = memoryview(bytearray(20_000))
    assert AMONG_THREADS.read(descriptor, block, 0) == 20_000
    assert AMONG_THREADS.crc32(block) == zlib.crc32(content[:20_000])
