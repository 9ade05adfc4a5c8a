"""`image.decode`: every format and kind of colour, colour profiles, and the contract of the stage."""

from __future__ import annotations

import pickle
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms

from mmdata.errors import RecipeError, RecordError
from mmdata.record import Origin, Record
from mmdata.schema import FieldType, Schema
from mmdata.stages.image_decode import Decode
from mmdata.values import Image
from tests.stages.picture_files import BLUE, RED, RNG, WHITE, decoded, png16, png_chunk, saved, smooth


@pytest.mark.parametrize(("format_", "options"), [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
def test_lossless_formats_give_the_same_pixels(format_: str, options: dict[str, Any]) -> None:
    """A lossless file gives exactly the pixels that went in."""
    np.testing.assert_array_equal(decoded(saved(smooth(), format_, **options)), smooth())


@pytest.mark.parametrize(
    ("format_", "options"),
    [("JPEG", {"quality": 95}), ("JPEG", {"quality": 95, "progressive": True}), ("WEBP", {"quality": 95}), ("GIF", {})],
)
def test_lossy_formats_give_nearly_the_same_pixels(format_: str, options: dict[str, Any]) -> None:
    """A lossy file gives the pixels that went in, but for what the format loses."""
    difference = np.abs(decoded(saved(smooth(), format_, **options)).astype(int) - smooth())
    assert difference.mean() < 8


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_grey_pictures_become_three_equal_channels(format_: str) -> None:
    """A grey picture has the same value in red, green and blue."""
    grey = smooth()[..., 0]
    pixels = decoded(saved(grey, format_))
    assert pixels.shape == (16, 24, 3)
    assert np.abs(pixels.astype(int) - grey[..., None]).max() <= 4


@pytest.mark.parametrize("format_", ["PNG", "BMP", "TIFF", "GIF"])
def test_one_bit_pictures_are_black_and_white(format_: str) -> None:
    """A picture of one bit gives 0 and 255."""
    bits = Pillow.fromarray(np.tile(np.array([[0, 255], [255, 255]], np.uint8), (4, 4))).convert("1")
    pixels = decoded(saved(bits, format_))
    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert pixels[1, 0].tolist() == [255, 255, 255]


def test_the_format_is_found_by_content() -> None:
    """A file whose first bytes are of no known format is an error, and a known one needs no name."""
    for data in (b"plain text", b"<html><body>no</body></html>", b"%PDF-1.7", bytes(100)):
        with pytest.raises(RecordError, match="not a known picture format"):
            decoded(data)


def test_palettes_are_resolved_with_and_without_transparency() -> None:
    """A palette gives its colours; a transparent entry shows the background."""
    picture = Pillow.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putdata([0, 1])
    for format_ in ("PNG", "GIF"):
        assert decoded(saved(picture, format_)).tolist() == [[[255, 0, 0], [0, 0, 255]]]
        clear = saved(picture, format_, transparency=1)
        assert decoded(clear, background="#00ff00").tolist() == [[[255, 0, 0], [0, 255, 0]]]
    half = saved(picture, "PNG", transparency=bytes([255, 0]))
    assert decoded(half).tolist() == [[[255, 0, 0], [255, 255, 255]]]


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_composited_over_the_background(format_: str) -> None:
    """Transparent parts show the background, half transparent parts a mixture."""
    picture = np.array([[[200, 100, 0, 255], [200, 100, 0, 0], [200, 100, 0, 51]]], np.uint8)
    options = {"lossless": True, "exact": True} if format_ == "WEBP" else {}
    pixels = decoded(saved(picture, format_, **options), background="#0000ff")
    assert pixels.tolist() == [[[200, 100, 0], [0, 0, 255], [40, 20, 204]]]


def test_grey_with_alpha_is_composited() -> None:
    """A grey picture with alpha lies over the background too, white unless told otherwise."""
    picture = Pillow.merge("LA", [Pillow.new("L", (1, 1), 10), Pillow.new("L", (1, 1), 0)])
    assert decoded(saved(picture, "PNG")).tolist() == [[[255, 255, 255]]]


def test_a_transparent_colour_of_rgb_and_grey_shows_the_background() -> None:
    """A PNG that names one colour as transparent is treated as if it had alpha."""
    rgb = saved(np.array([[RED, BLUE]], np.uint8), "PNG", transparency=BLUE)
    assert decoded(rgb).tolist() == [[[255, 0, 0], [255, 255, 255]]]
    grey = saved(np.array([[7, 9]], np.uint8), "PNG", transparency=9)
    assert decoded(grey).tolist() == [[[7, 7, 7], [255, 255, 255]]]


LEVELS = np.array([[0, 128, 129, 257, 32767, 32896, 65406, 65407, 65535]], np.uint16)
LEVELS_8 = [0, 0, 1, 1, 127, 128, 254, 255, 255]  # v / 257, to the nearest


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bit_grey_is_scaled_with_rounding(suffix: str) -> None:
    """16-bit grey becomes v / 257 to the nearest: neither clipped at 255 nor cut off."""
    data = cv2.imencode(suffix, LEVELS)[1].tobytes()
    assert decoded(data)[0, :, 1].tolist() == LEVELS_8


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bit_colour_is_scaled_with_rounding(suffix: str) -> None:
    """16-bit colour becomes v / 257 to the nearest, with the channels in their order."""
    blue_green_red = np.stack([LEVELS, np.zeros_like(LEVELS), LEVELS[:, ::-1]], axis=-1)
    pixels = decoded(cv2.imencode(suffix, blue_green_red)[1].tobytes())
    assert pixels[0, :, 2].tolist() == LEVELS_8
    assert pixels[0, :, 0].tolist() == LEVELS_8[::-1]
    assert not pixels[..., 1].any()


def test_16_bit_alpha_is_composited() -> None:
    """16-bit alpha and transparent colours work as 8-bit ones do."""
    rgba = np.array([[[65535, 0, 0, 65535], [65535, 0, 0, 0]]], np.uint16)
    assert decoded(png16(6, rgba)).tolist() == [[[255, 0, 0], [255, 255, 255]]]
    grey_alpha = np.array([[[257, 65535], [257, 0]]], np.uint16)
    assert decoded(png16(4, grey_alpha)).tolist() == [[[1, 1, 1], [255, 255, 255]]]
    grey = np.array([[5140, 257]], np.uint16)
    assert decoded(png16(0, grey, struct.pack(">H", 257))).tolist() == [[[20, 20, 20], [255, 255, 255]]]
    rgb = np.array([[[5140, 0, 0], [257, 257, 257]]], np.uint16)
    assert decoded(png16(2, rgb, struct.pack(">HHH", 257, 257, 257))).tolist() == [[[20, 0, 0], [255, 255, 255]]]


def test_16_bit_tiff_that_stores_white_as_zero_is_inverted() -> None:
    """The photometric interpretation of a grey TIFF is honoured at 16 bits as it is at 8."""
    data = bytearray(saved(Pillow.fromarray(LEVELS), "TIFF"))
    entry = data.find(struct.pack("<HHI", 262, 3, 1))
    assert entry > 0
    data[entry + 8 : entry + 10] = struct.pack("<H", 0)
    assert decoded(bytes(data))[0, :, 0].tolist() == [255 - level for level in LEVELS_8]


def test_samples_without_a_defined_range_are_an_error() -> None:
    """Floating-point samples have no white, so they are refused, not guessed."""
    with pytest.raises(RecordError, match="mode F"):
        decoded(saved(np.ones((4, 4), np.float32), "TIFF"))


def test_cmyk_is_converted() -> None:
    """A CMYK picture becomes RGB, not an inverted one."""
    cyan = Pillow.new("CMYK", (16, 16), (255, 0, 0, 0))
    for format_ in ("JPEG", "TIFF"):
        assert np.abs(decoded(saved(cyan, format_))[8, 8].astype(int) - (0, 255, 255)).max() <= 3


def test_an_animation_gives_its_first_frame() -> None:
    """Of an animated picture the first frame is taken."""
    frames = [Pillow.new("RGB", (8, 8), colour) for colour in (RED, BLUE)]
    for format_ in ("GIF", "WEBP", "PNG", "TIFF"):
        options: dict[str, Any] = {"lossless": True} if format_ == "WEBP" else {}
        data = saved(frames[0], format_, save_all=True, append_images=frames[1:], **options)
        assert decoded(data)[4, 4].tolist() == [255, 0, 0], format_


# Colour profiles


def matrix_profile(*, swapped: bool) -> bytes:
    """An RGB profile like that of sRGB; with `swapped`, its red and blue primaries are exchanged."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"tXYZ").replace(b"bXYZ", b"rXYZ").replace(b"tXYZ", b"bXYZ") if swapped else profile


@pytest.mark.parametrize(
    ("format_", "options"), [("PNG", {}), ("JPEG", {"quality": 95}), ("WEBP", {"lossless": True}), ("TIFF", {})]
)
def test_an_embedded_profile_is_applied(format_: str, options: dict[str, Any]) -> None:
    """Colours are converted from the profile in the file to sRGB."""
    data = saved(Pillow.new("RGB", (16, 16), RED), format_, icc_profile=matrix_profile(swapped=True), **options)
    assert np.abs(decoded(data)[8, 8].astype(int) - BLUE).max() <= 8


def test_a_profile_that_is_srgb_or_broken_changes_nothing() -> None:
    """An sRGB picture needs no conversion, and a profile that cannot be read, or is of other colours, is ignored."""
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for profile in (matrix_profile(swapped=False), b"broken", lab):
        np.testing.assert_array_equal(decoded(saved(smooth(), "PNG", icc_profile=profile)), smooth())


def test_a_profile_keeps_alpha_and_16_bits() -> None:
    """The profile is applied to the colours before they are laid over the background, also of 16-bit files."""
    profile = matrix_profile(swapped=True)
    rgba = np.array([[[255, 0, 0, 255], [255, 0, 0, 0]]], np.uint8)
    assert np.abs(decoded(saved(rgba, "PNG", icc_profile=profile)).astype(int) - [[BLUE, WHITE]]).max() <= 8
    plain = png16(2, np.array([[[65535, 0, 0]]], np.uint16))
    chunk = png_chunk(b"iCCP", b"test\0\0" + zlib.compress(profile))
    assert np.abs(decoded(plain[:33] + chunk + plain[33:]).astype(int) - [[BLUE]]).max() <= 8


# The contract of every stage


def test_the_record_keeps_its_bytes_and_the_schema_agrees() -> None:
    """The stage leaves its input as it is, gives the same pixels twice, and makes what it said it would."""
    stage, picture = Decode(), Image(saved(smooth(), "JPEG"))
    record = Record("a", {"image": picture}, Origin(0, "a", "train", "a"))
    first, second = (stage(record, RNG) for _ in range(2))
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert record["image"] is picture
    np.testing.assert_array_equal(first["image"].pixels, second["image"].pixels)  # type: ignore[union-attr]
    made = stage.infer(Schema({"image": FieldType("image", encoded=True)})).fields["image"]
    assert made == FieldType("image", dtype="uint8", shape=(None, None, 3))
    assert not first["image"].pixels.flags.writeable  # type: ignore[union-attr]


def test_the_stage_refuses_fields_that_do_not_fit() -> None:
    """A field that is missing, of another kind or decoded already is found at plan time."""
    for fields, message in (
        ({}, "no field 'image'"),
        ({"image": FieldType("audio", encoded=True)}, "is of kind audio"),
        ({"image": FieldType("image")}, "already decoded"),
    ):
        with pytest.raises(RecipeError, match=message):
            Decode().infer(Schema(fields))


def test_the_stage_can_be_pickled() -> None:
    """A stage crosses process borders unchanged."""
    stage = Decode(background="#102030", svg_size=64)
    assert pickle.loads(pickle.dumps(stage)) == stage


def test_a_wrong_colour_is_refused() -> None:
    """The background must be a hexadecimal colour."""
    with pytest.raises(ValueError, match="background"):
        Decode(background="white")
