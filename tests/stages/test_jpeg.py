"""The header of a JPEG file is read as Pillow reads it, and left to Pillow where it is out of the common."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms

from mmdata.rng import rng_for
from mmdata.stages.image_decode import Decode
from mmdata.stages.jpeg import JpegHeader, read_header
from mmdata.values import Image

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
UPSIDE_DOWN = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta tiff:Orientation="3"/>'


def jpeg(mode: str = "RGB", **options: Any) -> bytes:
    """Return a file of 40 x 24 pixels, with a light left half."""
    pixels = np.zeros((24, 40), np.uint8)
    pixels[:, :20] = 200
    out = io.BytesIO()
    Pillow.fromarray(pixels).convert(mode).save(out, "JPEG", **options)
    return out.getvalue()


def with_segment(data: bytes, marker: int, payload: bytes) -> bytes:
    """Return the file with a further segment at its beginning."""
    return data[:2] + struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload + data[2:]


def exif(orientation: int) -> bytes:
    """Return Exif data with an orientation."""
    data = Pillow.Exif()
    data[0x0112] = orientation
    return data.tobytes()


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {}),
        ("L", {}),
        ("RGB", {"progressive": True}),
        ("RGB", {"comment": b"\xff\xda"}),
        ("RGB", {"exif": exif(6)}),
        ("RGB", {"icc_profile": PROFILE}),
        ("L", {"icc_profile": PROFILE, "exif": exif(1)}),
    ],
)
def test_the_header_is_that_which_pillow_finds(mode: str, options: dict[str, Any]) -> None:
    """Size, components, Exif data and profile, for every kind of file that is common."""
    data = jpeg(mode, **options)
    found = Pillow.open(io.BytesIO(data))
    told = found.info.get("exif", b""), found.info.get("icc_profile", b"")
    assert read_header(data) == JpegHeader(*found.size, len(found.getbands()), *told)


@pytest.mark.parametrize(
    "data",
    [
        jpeg("CMYK"),
        jpeg()[:40],
        jpeg()[:2] + b"garbage",
        jpeg().replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"),
        with_segment(jpeg(exif=exif(6)), 0xE1, exif(3)),
        with_segment(jpeg(), 0xE1, UPSIDE_DOWN),
        jpeg(icc_profile=PROFILE + bytes(70_000)),
    ],
    ids=["four colours", "cut off", "garbage", "12 bits", "Exif twice", "turned by XMP", "profile in parts"],
)
def test_what_is_out_of_the_common_is_left_alone(data: bytes) -> None:
    """There is no header to go by, and the stage asks Pillow."""
    assert read_header(data) is None


def test_an_orientation_in_xmp_counts() -> None:
    """Editors write it there; it is honoured where the Exif data name none."""
    pixels = Decode().apply(Image(with_segment(jpeg(), 0xE1, UPSIDE_DOWN)), rng_for(0)).pixels
    assert pixels[:, :10].mean() < 60
    assert pixels[:, 30:].mean() > 140


def test_a_number_that_looks_like_the_tag_turns_nothing() -> None:
    """Only an entry of the directory is an orientation, not the same two bytes elsewhere."""
    data = Pillow.Exif()
    data[0x010F] = "\x01\x12\x12\x01"
    plain, marked = (Decode().apply(Image(jpeg(**options)), rng_for(0)) for options in ({}, {"exif": data.tobytes()}))
    np.testing.assert_array_equal(plain.pixels, marked.pixels)
