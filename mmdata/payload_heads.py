"""What a payload says of itself before it is decoded: its format and how much it asks for.

A few bytes may promise a picture, a recording or an array that fills the memory, so every decoder of payloads asks here first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdata.errors import RecordError

MOST_VALUES = 1 << 28
"""Pixels times channels, samples times channels, or numbers of an array: what one payload may hold at most."""

_MAGIC = {"jpg": b"\xff\xd8\xff", "png": b"\x89PNG\r\n\x1a\n", "webp": b"RIFF"}
_PNG_NEEDED = frozenset([b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"])
_NPY_MAGIC = np.lib.format.magic(1, 0)
_LARGEST_HEADER = 10_000  # bytes of an npy header; ours have 118

Payload = bytes | memoryview


def check_values(count: int) -> None:
    """Raise RecordError where a payload says that it holds more than `MOST_VALUES`."""
    if count > MOST_VALUES:
        raise RecordError("it says of itself that it is too large to decode", f"{count} values, at most {MOST_VALUES}")


def picture_to_decode(payload: Payload, format_: str) -> Payload:
    """Return what may be given to a decoder of pictures: the payload, a PNG without chunks that are not for its pixels.

    Raises RecordError as `picture_size` does.
    """
    picture_size(payload, format_)
    return png_pixels(payload) if format_ == "png" else payload


def picture_size(payload: Payload, format_: str) -> tuple[int, int]:
    """Return (width, height) by the header of a picture.

    Raises RecordError where it is not of the format (jpg, png or webp), is cut in its header, or says that it is too large.
    """
    if payload[: len(_MAGIC[format_])] != _MAGIC[format_]:
        raise RecordError("picture cannot be decoded", f"it is no {format_}: it begins with the bytes {payload[:8].hex(' ')}")
    width, height = _SIZES[format_](payload)
    check_values(3 * width * height)
    return width, height


def _jpg_size(payload: Payload) -> tuple[int, int]:
    import simplejpeg

    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(payload)
    except ValueError as error:
        raise RecordError("picture cannot be decoded", str(error)) from error
    return width, height


def _png_size(payload: Payload) -> tuple[int, int]:
    if payload[12:16] != b"IHDR" or len(payload) < 24:
        raise RecordError("picture cannot be decoded", "the PNG does not begin with its header")
    return int.from_bytes(payload[16:20], "big"), int.from_bytes(payload[20:24], "big")


def _webp_size(payload: Payload) -> tuple[int, int]:
    """Return the size by the first chunk (RFC 9649): an extended header, or a picture of one of both kinds."""
    kind, body = bytes(payload[12:16]), payload[20:30]
    if payload[8:12] != b"WEBP" or len(body) < 10:
        raise RecordError("picture cannot be decoded", "the WebP ends in its header")
    if kind == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF


_SIZES = {"jpg": _jpg_size, "png": _png_size, "webp": _webp_size}


def png_pixels(payload: Payload) -> Payload:
    """Return a PNG with nothing but its header, palette, transparency and pixels: itself, where it holds nothing else.

    libpng inflates texts and profiles, and its warnings print names out of them.
    """
    chunks = list(_png_chunks(payload))
    if all(kind in _PNG_NEEDED for kind, _, _ in chunks):
        return payload
    return bytes(payload[:8]) + b"".join(payload[start:end] for kind, start, end in chunks if kind in _PNG_NEEDED)


def _png_chunks(payload: Payload) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of each chunk up to the last; one that is cut ends where the payload does."""
    place = 8
    while place + 12 <= len(payload):
        kind, end = bytes(payload[place + 4 : place + 8]), place + 12 + int.from_bytes(payload[place : place + 4], "big")
        yield kind, place, end
        if kind == b"IEND":
            return
        place = end


def read_npy(payload: Payload) -> NDArray[Any]:
    """Return the array of an npy file of version 1.0, a view of the payload. Raises RecordError for anything else.

    It holds plain numbers, in exactly as many bytes as its header says; objects would have to be unpickled.
    """
    # The length of the header stands in the ninth and tenth byte.
    start = 10 + int.from_bytes(payload[8:10], "little")
    try:
        shape, fortran, dtype = npy_header(bytes(payload[: min(start, _LARGEST_HEADER)]))
        size = math.prod(shape) * dtype.itemsize
        if size != len(payload) - start:
            raise RecordError("array cannot be decoded", f"{size} bytes are promised, {len(payload) - start} are there")
        return np.frombuffer(payload, dtype, offset=start).reshape(shape, order="F" if fortran else "C")
    except (ValueError, TypeError, EOFError) as error:
        raise RecordError("array cannot be decoded", str(error)) from error


@lru_cache(maxsize=4096)
def npy_header(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether the order is Fortran's, and dtype. Raises ValueError.

    Reading a header takes longer than all else for a small array, and most headers come again.
    """
    if header[:8] != _NPY_MAGIC:
        raise ValueError("the npy file is not of version 1.0")
    try:
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(BytesIO(header[8:]), _LARGEST_HEADER)
    except Exception as error:  # numpy parses the header as Python's own literals, which may fail in any way
        raise ValueError(f"the header cannot be read: {error}") from error
    if dtype.kind not in "biufc" or any(size < 0 for size in shape):
        raise ValueError(f"it must be plain numbers, not {dtype} {list(shape)}")
    return shape, fortran, dtype
