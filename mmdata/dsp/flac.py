"""Where a FLAC file (RFC 9639) really ends: for files that were cut off, and for streamed ones that do not state their length."""

from __future__ import annotations

from typing import NamedTuple

STREAM_INFO_END = 42  # "fLaC", a block header of 4 bytes, 34 bytes of stream information
_LONGEST_HEADER = 16
_LARGEST_TAIL = 1 << 24  # bytes; the last frame and the tags after it, beyond which nothing is searched
_LONGEST_FRAME = 1 << 18  # bytes; what is left of a file after more than that is no frame


class LastFrame(NamedTuple):
    """The last frame of a file: the number of samples up to its end, and whether its checksum is right."""

    end: int
    whole: bool


def stated_samples(data: bytes) -> int:
    """Return the samples a channel that a FLAC file says it has; 0 where it does not say. At least 42 bytes are needed."""
    return int.from_bytes(data[21:26], "big") & 0xFFFFFFFFF


def stated_digest(data: bytes) -> bytes:
    """Return the MD5 that a FLAC file gives of its samples (interleaved, little-endian); zeros where it gives none."""
    return data[26:STREAM_INFO_END]


def with_stated_samples(data: bytes, samples: int) -> bytes:
    """Return the file with its number of samples a channel (below 2**36) written in."""
    stated = (data[21] & 0xF0) << 32 | samples
    return data[:21] + stated.to_bytes(5, "big") + data[26:]


def last_frame(data: bytes) -> LastFrame | None:
    """Return the last frame that begins in a FLAC file; None where there is none."""
    # The second byte says whether blocks are of one size; the checksum of the header settles which one is meant.
    position, end = max(_last_header(data, sync) for sync in (b"\xff\xf8", b"\xff\xf9"))
    if position < 0:
        return None
    short = len(data) - position <= _LONGEST_FRAME
    return LastFrame(end, short and _checksum(data[position:], 16, 0x8005) == 0)


def _last_header(data: bytes, sync: bytes) -> tuple[int, int]:
    """Return where the last frame that begins with `sync` begins, and the number of samples up to its end; -1 for none."""
    block_size = int.from_bytes(data[8:10], "big")
    position, least = len(data), max(STREAM_INFO_END, len(data) - _LARGEST_TAIL)
    while (position := data.rfind(sync, least, position)) >= 0:
        end = _end_of_frame(data[position : position + _LONGEST_HEADER], block_size)
        if end is not None:
            return position, end
    return -1, 0


def _end_of_frame(header: bytes, block_size: int) -> int | None:
    """Return the number of samples up to the end of the frame with this header; None where it is no header."""
    if len(header) < 6 or header[4] == 0xFF:
        return None
    size_code, rate_code = header[2] >> 4, header[2] & 15
    # The number is coded like a UTF-8 character, of up to 7 bytes: the leading ones give its length.
    extra = max(8 - (header[4] ^ 0xFF).bit_length() - 1, 0)
    after_number = 5 + extra
    size_bytes = {6: 1, 7: 2}.get(size_code, 0)
    end = after_number + size_bytes + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if size_code == 0 or rate_code == 15 or len(header) <= end or _checksum(header[: end + 1], 8, 0x07) != 0:
        return None
    number = header[4] & (0x7F >> extra + bool(extra))
    for byte in header[5:after_number]:
        number = number << 6 | byte & 0x3F
    size = _block_size(size_code, header[after_number : after_number + size_bytes])
    start = number if header[1] & 1 else number * block_size
    return start + size


def _block_size(code: int, written: bytes) -> int:
    """Return the samples in a frame, by its code (RFC 9639, 9.1.1)."""
    if written:
        return int.from_bytes(written, "big") + 1
    if code == 1:
        return 192
    return 576 << code - 2 if code < 6 else 256 << code - 8


def _checksum(data: bytes, bits: int, polynomial: int) -> int:
    """Return a CRC that starts at 0 and is not reflected; it is 0 over data that ends with its own checksum."""
    top, mask, value = 1 << bits - 1, (1 << bits) - 1, 0
    for byte in data:
        value ^= byte << bits - 8
        for _ in range(8):
            value = (value << 1 ^ polynomial) & mask if value & top else value << 1
    return value
