"""Whether WAV, AIFF and Ogg files are whole, by their chunks and pages; nothing is decoded.

libsndfile reads what there is of a file that was cut off, and says nothing; these checks say it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from mmdata.errors import RecordError

_UNKNOWN_SIZE = 0x7FFF0000
"""A writer that cannot seek back (a pipe) leaves a size from here on: 0x7FFFF000 (SoX) or 0xFFFFFFFF (FFmpeg)."""

_OGG_HEADER = struct.Struct("<4sBBqIIIB")
_BEGIN_OF_STREAM, _END_OF_STREAM = 2, 4


def check_chunks(data: bytes) -> None:
    """Raise RecordError where a WAV (RIFF, RIFX, RF64) or AIFF file ends before its samples do."""
    found = False
    for name, start, size in _chunks(data):
        if name in (b"data", b"SSND"):
            found = True
            if size < _UNKNOWN_SIZE and start + size > len(data):
                raise RecordError("recording is truncated", f"{len(data) - start} of {size} bytes of samples are there")
    if not found:
        raise RecordError("recording is truncated", f"the file ends after {len(data)} bytes, before its samples")


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and size in bytes of each chunk, as the file states them."""
    order = "<" if data[:4] in (b"RIFF", b"RF64") else ">"
    position, large = 12, 0
    while position + 8 <= len(data):
        name, size = struct.unpack_from(f"{order}4sI", data, position)
        start = position + 8
        if name == b"ds64" and start + 16 <= len(data):
            # RF64 (EBU Tech 3306) keeps the size of the samples here, in 64 bits.
            large = struct.unpack_from("<Q", data, start + 8)[0]
        if name == b"data" and data[:4] == b"RF64" and size == 0xFFFFFFFF and large:
            # The size is known after all, so it is held to what is there, however large it is.
            size = large if start + large <= len(data) else min(large, _UNKNOWN_SIZE - 1)
        yield name, start, size
        position = start + size + size % 2


def check_pages(data: bytes) -> None:
    """Raise RecordError where an Ogg file (RFC 3533) has no end of stream, or is a chain of several streams."""
    ended = False
    for flags in _page_flags(data):
        if ended and flags & _BEGIN_OF_STREAM:
            raise RecordError("recording is a chain of several streams", "split it into one file a stream")
        ended = ended or bool(flags & _END_OF_STREAM)
    if not ended:
        raise RecordError("recording is truncated", "the Ogg stream has no last page")


def _page_flags(data: bytes) -> Iterator[int]:
    """Yield the flags of each page that is whole, up to the first bytes that are no page."""
    position = 0
    while position + _OGG_HEADER.size <= len(data):
        capture, _, flags, *_, segments = _OGG_HEADER.unpack_from(data, position)
        body = position + _OGG_HEADER.size + segments
        position = body + sum(data[body - segments : body])
        if capture != b"OggS" or position > len(data):
            return
        yield flags
