"""What attackers send: texts that steer terminals and pages, files that promise more than there is; and commands under limits."""

from __future__ import annotations

import base64
import re
import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np

_LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
from mmdata.cli.main import main
main()
"""
_MOST_SECONDS = 300

SHOWN = (
    "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202e<script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">"
)
"""Sets a terminal's title, clears it, colours it by an 8-bit control, turns the writing around, and runs scripts in two ways."""

STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What must not reach a terminal."""


def mmdata(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a process with bounded memory; a hang ends in TimeoutExpired."""
    command = [sys.executable, "-c", _LIMITED, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", timeout=_MOST_SECONDS, check=False, stdin=subprocess.DEVNULL
    )


class Bomb:
    """Unpickled, it writes a file."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return exec, (f"open({str(self._mark)!r}, 'w').close()",)  # type: ignore[return-value]


def pickled(mark: Path) -> bytes:
    """Return an npy file of objects that writes `mark` when it is unpickled."""
    sink = BytesIO()
    np.save(sink, np.array([Bomb(mark)], dtype=object), allow_pickle=True)
    return sink.getvalue()


def npy(shape: str, dtype: str = "<f4", content: bytes = b"") -> bytes:
    """Return an npy file whose header says anything."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def png(width: int = 4, height: int = 4, extra: bytes = b"") -> bytes:
    """Return a PNG of this stated size with the pixels of one of 4 x 4, and `extra` chunks before them."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = zlib.compress(bytes(4 * 13))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def deflated(size: int) -> bytes:
    """Return zeros, compressed a thousandfold."""
    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)), packer.flush()])


def gif(width: int, height: int) -> bytes:
    """Return a GIF that states a size and ends soon."""
    return (
        b"GIF89a"
        + struct.pack("<HH", width, height)
        + b"\x80\0\0"
        + bytes(6)
        + b","
        + struct.pack("<4H", 0, 0, width, height)
        + b"\0\2\2D\1\0;"
    )


def tiff(width: int, height: int) -> bytes:
    """Return a TIFF that states a size, in one strip of 8 bytes."""
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (278, 4, height), (279, 4, 8)]
    entries = b"".join(struct.pack("<HHII", tag, type_, 1, value) for tag, type_, value in tags)
    return b"II*\0" + struct.pack("<I", 16) + bytes(8) + struct.pack("<H", len(tags)) + entries + bytes(4)


def webp(width: int, height: int) -> bytes:
    """Return a lossless WebP that states a size."""
    body = b"\x2f" + ((width - 1) | (height - 1) << 14).to_bytes(4, "little") + bytes(11)
    return b"RIFF" + struct.pack("<I", len(body) + 12) + b"WEBPVP8L" + struct.pack("<I", len(body)) + body


def wav(size: int, rate: int = 8000, channels: int = 1) -> bytes:
    """Return a WAV that states this many bytes of samples and has 4."""
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * 2 * channels, 2 * channels, 16)
    return (
        b"RIFF"
        + struct.pack("<I", size + 36 & 0xFFFFFFFF)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + b"data"
        + struct.pack("<I", size)
        + bytes(4)
    )


def flac(data: bytes, samples: int, rate: int, channels: int) -> bytes:
    """Return a FLAC file that states another length, rate and number of channels."""
    stated = rate << 44 | channels - 1 << 41 | 15 << 36 | samples
    return data[:18] + stated.to_bytes(8, "big") + data[26:]


def svg(body: str, before: str = "") -> bytes:
    """Return a vector picture, with a document type before it."""
    space = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'{before}<svg {space} viewBox="0 0 20 10">{body}</svg>'.encode()


def _masks(depth: int) -> str:
    shapes = ['<rect width="20" height="10" fill="#fff"/>']
    shapes += [f'<rect width="20" height="10" fill="#fff" mask="url(#m{number})"/>' * 2 for number in range(depth)]
    return (
        "".join(f'<mask id="m{number}">{shape}</mask>' for number, shape in enumerate(shapes)) + f'<rect mask="url(#m{depth})"/>'
    )


_LAUGHS = "".join(f'<!ENTITY a{number} "{f"&a{number - 1};" * 10}">' for number in range(1, 12))
_BOMB = base64.b64encode(png(12000, 12000)).decode()

PICTURES: dict[str, tuple[bytes, str]] = {
    "profile.png": (png(extra=chunk(b"iCCP", b"a\0\0" + deflated(1 << 28))), "picture is damaged"),
    "text.png": (png(extra=chunk(b"zTXt", b"a\0\0" + deflated(1 << 28))), "picture is damaged"),
    "huge.png": (png(60000, 60000), "picture has too many pixels"),
    "huge.gif": (gif(65535, 65535), "picture has too many pixels"),
    "huge.tiff": (tiff(1 << 30, 1 << 30), "picture has too many pixels"),
    "huge.webp": (webp(16384, 16384), "picture has too many pixels"),
    "laughs.svg": (svg("<desc>&a11;</desc>", f'<!DOCTYPE svg [<!ENTITY a0 "ha">{_LAUGHS}]>'), "picture is damaged"),
    "external.svg": (svg("<desc>&a;</desc>", '<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]>'), "picture is damaged"),
    "masks.svg": (svg(_masks(30)), "vector picture takes too long to draw"),
    "octaves.svg": (
        svg('<filter id="f"><feTurbulence baseFrequency="1" numOctaves="999999999"/></filter>'),
        "vector picture takes too long to draw",
    ),
    "matrix.svg": (svg('<filter id="f"><feConvolveMatrix order="5000"/></filter>'), "vector picture takes too long to draw"),
    "embedded.svg": (svg(f'<image href="data:image/png;base64,{_BOMB}"/>'), "picture has too many pixels"),
    "encoding.svg": (b'<?xml version="1.0" encoding="x"?>' + svg(""), "picture is damaged"),
    "deep.svg": (svg("<g>" * 5000 + "</g>" * 5000), "vector picture is nested too deeply"),
}
"""Pictures that ask for more than they are, and why each is turned away."""
