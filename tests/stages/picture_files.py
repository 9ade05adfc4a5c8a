"""Picture files of every kind, made as they are needed, for the tests of `image.decode`."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from mmdata.rng import rng_for
from mmdata.stages.image_decode import Decode
from mmdata.values import Image

RNG = rng_for(0, "test")
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


def smooth(width: int = 24, height: int = 16) -> NDArray[np.uint8]:
    """A picture without sharp edges, so that lossy formats keep it nearly as it is."""
    x, y = np.meshgrid(np.linspace(30, 220, width), np.linspace(30, 220, height))
    return np.stack([x, y, (x + y) / 2], axis=-1).astype(np.uint8)


def saved(picture: Pillow.Image | NDArray[Any], format_: str, **options: Any) -> bytes:
    """The bytes of a file that Pillow writes."""
    out = io.BytesIO()
    (picture if isinstance(picture, Pillow.Image) else Pillow.fromarray(picture)).save(out, format_, **options)
    return out.getvalue()


def decoded(data: bytes, **options: Any) -> NDArray[np.uint8]:
    """The pixels that the stage makes."""
    return Decode(**options).apply(Image(data), RNG).pixels


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16(colour_type: int, samples: NDArray[np.uint16], transparent: bytes = b"") -> bytes:
    """A PNG file of 16-bit samples, written by hand: Pillow cannot."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    clear = png_chunk(b"tRNS", transparent) if transparent else b""
    body = png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + clear + body


def svg(body: str, attributes: str = 'width="20" height="10"') -> bytes:
    """An SVG file."""
    return f"<svg {NAMESPACES} {attributes}>{body}</svg>".encode()
