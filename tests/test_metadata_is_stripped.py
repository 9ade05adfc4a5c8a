"""What a picture file says beside its pixels reaches no dataset: decoding and encoding drop it, whatever the formats."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms
from PIL.PngImagePlugin import PngInfo

from mmdata.formats import Jpg, Png, Webp
from mmdata.rng import rng_for
from mmdata.stages.image_decode import Decode
from mmdata.stages.image_pad import Pad
from mmdata.values import Image

SECRET = "Geheimnis-4711"
MAKER, GPS, LATITUDE = 0x010F, 0x8825, 2
XMP = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><creator>{SECRET}</creator></x:xmpmeta>'.encode()


def picture() -> Pillow.Image:
    """Make a picture to hide things beside."""
    pixels = np.random.default_rng(5).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    return Pillow.fromarray(pixels)


def exif() -> Pillow.Exif:
    """Make EXIF data with a maker and a place."""
    data = Pillow.Exif()
    data[MAKER] = SECRET
    data.get_ifd(GPS).update({1: "N", LATITUDE: (48.0, 12.0, 30.0), 29: SECRET})
    return data


def profile() -> bytes:
    """Make an sRGB profile that holds the secret, after its last tag."""
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    padded = made + SECRET.encode() + b"\0" * (-len(SECRET) % 4)
    return struct.pack(">I", len(padded)) + padded[4:]


def raw_jpg() -> bytes:
    """A JPEG with EXIF, XMP, a profile, and a comment."""
    sink = io.BytesIO()
    picture().save(sink, "JPEG", exif=exif(), xmp=XMP, icc_profile=profile(), comment=SECRET)
    return sink.getvalue()


def raw_png() -> bytes:
    """A PNG with EXIF, a profile, and text of all three kinds, XMP among it; and more after its end."""
    texts = PngInfo()
    texts.add_text("Author", SECRET)
    texts.add_text("Comment", SECRET, zip=True)
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
    sink = io.BytesIO()
    picture().save(sink, "PNG", exif=exif(), icc_profile=profile(), pnginfo=texts, dpi=(300, 300))
    return sink.getvalue() + SECRET.encode()


def raw_webp() -> bytes:
    """A WebP with EXIF, XMP and a profile."""
    sink = io.BytesIO()
    picture().save(sink, "WEBP", exif=exif(), xmp=XMP, icc_profile=profile(), lossless=True)
    return sink.getvalue()


def raw_gif() -> bytes:
    """A GIF with a comment."""
    sink = io.BytesIO()
    picture().save(sink, "GIF", comment=SECRET)
    return sink.getvalue()


def raw_tiff() -> bytes:
    """A TIFF with a maker, a place and a description."""
    sink = io.BytesIO()
    picture().save(sink, "TIFF", exif=exif(), description=SECRET, icc_profile=profile())
    return sink.getvalue()


def jpg_parts(data: bytes) -> set[str]:
    """Name the segments of a JPEG before its scan."""
    parts, place = set(), 2
    while data[place + 1] != 0xDA:
        marker, length = struct.unpack(">xBH", data[place : place + 4])
        parts.add(f"{marker:02x}")
        place += 2 + length
    return parts


def png_parts(data: bytes) -> set[str]:
    """Name the chunks of a PNG."""
    parts, place = set(), 8
    while place < len(data):
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        parts.add(kind.decode())
        place += 12 + length
    return parts


def webp_parts(data: bytes) -> set[str]:
    """Name the chunks of a WebP."""
    parts, place = set(), 12
    while place < len(data):
        kind, length = struct.unpack("<4sI", data[place : place + 8])
        parts.add(kind.decode())
        place += 8 + length + length % 2
    return parts


RAW = {"jpg": raw_jpg, "png": raw_png, "webp": raw_webp, "gif": raw_gif, "tiff": raw_tiff}
STORED = {
    # JFIF's header (e0), tables (db, c4) and the frame (c0): no e1 (EXIF, XMP), no e2 (profile), no fe (comment)
    "jpg": (Jpg(), jpg_parts, {"e0", "db", "c4", "c0"}),
    "png": (Png(), png_parts, {"IHDR", "IDAT", "IEND"}),
    "webp": (Webp(), webp_parts, {"VP8 "}),
    "webp, lossless": (Webp(lossless=True), webp_parts, {"VP8L"}),
}


@pytest.mark.parametrize("raw", RAW.values(), ids=RAW)
def test_the_raw_files_do_hold_it(raw: Callable[[], bytes]) -> None:
    """Otherwise the next test would prove nothing."""
    opened = Pillow.open(io.BytesIO(raw()))
    held = repr({**opened.info, "maker": opened.getexif().get(MAKER)})
    assert SECRET in held


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("raw", RAW.values(), ids=RAW)
def test_nothing_but_pixels_is_stored(raw: Callable[[], bytes], stored: str) -> None:
    """No EXIF, no place, no XMP, no profile, no comment, no text: only the parts that decoding needs."""
    format_, parts_of, allowed = STORED[stored]
    # A stage in between makes no difference; without one, the raw file must not be passed through either.
    decoded = Decode().apply(Image(raw()), rng_for(0))
    for image in (decoded, Pad(size=40).apply(decoded, rng_for(0))):
        data = format_.encode(image)
        assert parts_of(data) <= allowed
        assert SECRET.encode() not in data
        opened = Pillow.open(io.BytesIO(data))
        assert not opened.getexif()
        assert not {"exif", "xmp", "icc_profile", "comment", "Author"} & set(opened.info)


def test_the_parts_of_a_file_with_metadata_are_seen() -> None:
    """The three readers of parts name what must not be there, so their silence means something."""
    assert {"e1", "e2", "fe"} <= jpg_parts(raw_jpg())
    assert {"tEXt", "zTXt", "iTXt", "eXIf", "iCCP", "pHYs"} <= png_parts(raw_png()[: -len(SECRET)])
    assert {"VP8X", "EXIF", "XMP ", "ICCP"} <= webp_parts(raw_webp())
