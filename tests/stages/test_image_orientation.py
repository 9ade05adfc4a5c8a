"""`image.decode`: pictures are turned as a viewer shows them, and annotations with them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps

from mmdata.stages.image_decode import Decode
from mmdata.values import Box, Image, Point
from tests.stages.picture_files import RNG, decoded, saved, smooth


def marked() -> NDArray[np.uint8]:
    """A black picture, 40 x 24, with a white block at [8, 16) x [0, 8): off both middles."""
    pixels = np.zeros((24, 40, 3), np.uint8)
    pixels[0:8, 8:16] = 255
    return pixels


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_turns_pixels_boxes_and_points(format_: str, orientation: int) -> None:
    """The picture is turned as a viewer shows it, and a box on the stored pixels lands on the same things."""
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    options: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}
    data = saved(marked(), format_, exif=exif, **options.get(format_, {}))
    picture = Decode().apply(Image(data, (Box(8, 0, 16, 8, "block"),), (Point(12, 4, "middle"),)), RNG)
    assert picture.pixels.shape == ((24, 40, 3) if orientation < 5 else (40, 24, 3))
    rows, columns = np.nonzero(picture.pixels[..., 0] > 128)
    found = Box(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1, "block")
    assert picture.boxes == (found,)
    assert picture.points == (Point((found.left + found.right) / 2, (found.top + found.bottom) / 2, "middle"),)
    back = picture.lineage[0].map.backward(np.array([[picture.points[0].x, picture.points[0].y]]))  # type: ignore[arg-type]
    np.testing.assert_allclose(back, np.array([[12, 4]]))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_agrees_with_pillow(orientation: int) -> None:
    """Turning gives the same pixels as Pillow's own transposition, also for 16-bit TIFF, which OpenCV reads."""
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(Pillow.open(io.BytesIO(saved(smooth(), "PNG", exif=exif)))))
    np.testing.assert_array_equal(decoded(saved(smooth(), "PNG", exif=exif)), expected)
    deep = Pillow.fromarray(smooth()[..., 0].astype(np.uint16) * 257)
    tiff = saved(deep, "TIFF", tiffinfo={0x0112: orientation})
    np.testing.assert_array_equal(decoded(tiff)[..., 0], expected[..., 0])


@pytest.mark.parametrize("exif", [b"Exif\0\0broken", b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0\0\0\0\0"])
def test_broken_or_unknown_orientation_counts_as_upright(exif: bytes) -> None:
    """EXIF data that cannot be read, or an orientation that is none, leaves the picture as it is."""
    assert decoded(saved(smooth(), "JPEG", exif=exif)).shape == (16, 24, 3)


def test_boxes_outside_the_picture_are_removed_and_counted() -> None:
    """A box beyond the stored picture is no annotation of it; the lineage counts it."""
    picture = Decode().apply(Image(saved(smooth(), "PNG"), (Box(100, 100, 120, 120),)), RNG)
    assert (picture.boxes, picture.lineage[0].removed) == ((), 1)
