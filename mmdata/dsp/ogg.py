"""Ogg pages (RFC 3533): gives a stream a fixed serial number, so that an encoder's random one does not change the bytes."""

from __future__ import annotations

import struct

_HEADER = struct.Struct("<4sBBqIIIB")
_SERIAL, _CHECKSUM = slice(14, 18), slice(22, 26)


def _checksum_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = ((value << 1) ^ 0x04C11DB7) & 0xFFFFFFFF if value & 0x80000000 else value << 1
        table.append(value)
    return table


_TABLE = _checksum_table()


def _checksum(page: bytes) -> int:
    """Return the checksum of a page: CRC-32 with polynomial 0x04C11DB7, unreflected, starting at 0."""
    value = 0
    for byte in page:
        value = ((value << 8) & 0xFFFFFFFF) ^ _TABLE[(value >> 24) ^ byte]
    return value


def with_serial_number(stream: bytes, serial: int) -> bytes:
    """Return a whole Ogg file in which every page has this serial number. Raises ValueError where it is not one."""
    pages, position = [], 0
    while position < len(stream):
        if len(stream) - position < _HEADER.size:
            raise ValueError(f"no Ogg page stands whole at byte {position}")
        capture, *_, segments = _HEADER.unpack_from(stream, position)
        lengths = stream[position + _HEADER.size : position + _HEADER.size + segments]
        end = position + _HEADER.size + segments + sum(lengths)
        if capture != b"OggS" or end > len(stream):
            raise ValueError(f"no Ogg page stands whole at byte {position}")
        page = bytearray(stream[position:end])
        page[_SERIAL] = struct.pack("<I", serial)
        page[_CHECKSUM] = bytes(4)
        page[_CHECKSUM] = struct.pack("<I", _checksum(bytes(page)))
        pages.append(bytes(page))
        position = end
    return b"".join(pages)
