"""The frames of an MP3 file (ISO/IEC 11172-3 and 13818-3, layer III), counted without decoding.

mpg123, which decodes for libsndfile, guesses the length of a file without a Xing header from its first frame, and decodes no
more than that: of a file with a variable bit rate it would drop most. With the frames counted and a Xing header put in front,
nothing is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

_BITRATES = {
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_TAGS = (b"Xing", b"Info", b"VBRI")
_XING_BITRATE = 9  # 128 or 80 kbit/s: a frame that has room for the header at any sampling rate


@dataclass(frozen=True)
class Frames:
    """The frames of a file: where the first one begins, how many are whole, whether the last one is cut, and a length header."""

    start: int
    count: int
    cut: bool
    has_length: bool


def looks_like_mp3(data: bytes) -> bool:
    """Whether the file begins with a frame of layer III, after its tags."""
    return _length_at(data, after_tags(data)) > 0


def after_tags(data: bytes) -> int:
    """Return where the ID3v2 tags at the beginning, and the zeros after them, end."""
    position = 0
    while data[position : position + 3] == b"ID3" and len(data) >= position + 10:
        high, mid, low, lowest = data[position + 6 : position + 10]
        footer = 10 if data[position + 5] & 0x10 else 0
        position += 10 + footer + (high << 21 | mid << 14 | low << 7 | lowest)
    if position:
        position = len(data) - len(data[position:].lstrip(b"\0"))
    return position


def frames_of(data: bytes) -> Frames:
    """Count the frames of a file that looks like MP3."""
    start = position = after_tags(data)
    lengths, count, cut = _frame_lengths(), 0, False
    kind = _kind(data, start)
    has_length = any(tag in data[start : start + 48] for tag in _TAGS)
    while position + 4 <= len(data):
        length = lengths[data[position + 1] << 8 | data[position + 2]] if data[position] == 0xFF else 0
        if length and _kind(data, position) == kind:
            cut = position + length > len(data)
            count += not cut
            position += length
        else:
            position = _next_frame(data, position + 1, kind)
    return Frames(start, count - has_length, cut, has_length)


def _next_frame(data: bytes, position: int, kind: tuple[int, int]) -> int:
    """Return where the next frame of the same kind begins; two in a row are asked for, since two bytes alone prove little."""
    sync = b"\xff" + bytes(kind[:1])
    while (position := data.find(sync, position)) >= 0:
        length = _length_at(data, position)
        after = position + length
        if length and _kind(data, position) == kind and _length_at(data, after) and _kind(data, after) == kind:
            return position
        position += 1
    return len(data)


def with_length(data: bytes, frames: Frames) -> bytes:
    """Return the file with a Xing header frame, which states the number of frames, before the first frame."""
    first, second, third, fourth = data[frames.start : frames.start + 4]
    header = bytes([first, second | 1, _XING_BITRATE << 4 | third & 0x0C, fourth])
    mono, newest = fourth >> 6 == 3, (second >> 3 & 3) == 3
    side = {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}[newest, mono]
    content = bytes(side) + b"Xing" + (1).to_bytes(4, "big") + frames.count.to_bytes(4, "big")
    frame = (header + content).ljust(_length_at(header, 0), b"\0")
    return data[: frames.start] + frame + data[frames.start :]


def _kind(data: bytes, position: int) -> tuple[int, int]:
    """Return version, layer and protection, and sampling rate, of a frame, as coded: the same in every frame of a file."""
    return (data[position + 1], data[position + 2] & 0x0C) if position + 2 < len(data) else (0, 0)


def _length_at(data: bytes, position: int) -> int:
    """Return the length in bytes of the frame that begins here; 0 where none does."""
    if position + 3 >= len(data) or data[position] != 0xFF:
        return 0
    return _frame_lengths()[data[position + 1] << 8 | data[position + 2]]


@cache
def _frame_lengths() -> tuple[int, ...]:
    """Return the length of a frame in bytes by the second and third byte of its header; 0 for what is no header."""
    return tuple(_frame_length(second, third) for second in range(256) for third in range(256))


def _frame_length(second: int, third: int) -> int:
    version, bitrate, rate = second >> 3 & 3, third >> 4, third >> 2 & 3
    layer_three = second & 0xE6 == 0xE2
    if not layer_three or version == 1 or rate == 3 or not 0 < bitrate < 15:
        return 0
    newest = version == 3
    bits = _BITRATES[3 if newest else 2][bitrate - 1] * 1000
    return (144 if newest else 72) * bits // _RATES[version][rate] + (third >> 1 & 1)
