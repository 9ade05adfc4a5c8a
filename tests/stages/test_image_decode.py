"""`image.decode`: every format and kind of colour, orientation, damage, limits and vector pictures."""

from __future__ import annotations

import base64
import io
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageCms, ImageFont, ImageOps

from mmdata.errors import RecipeError, RecordError
from mmdata.record import Origin, Record
from mmdata.rng import rng_for
from mmdata.schema import FieldType, Schema
from mmdata.stages.image_decode import Decode
from mmdata.values import Box, Image, Point

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


# Formats and kinds of colour


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


# Orientation


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


# Damage and limits


def test_empty_data_is_an_error() -> None:
    """No bytes are no picture."""
    with pytest.raises(RecordError, match="picture is empty"):
        decoded(b"")


def noise() -> NDArray[np.uint8]:
    """A picture that does not compress, so that every part of the file holds pixels."""
    return rng_for(0, "noise").integers(0, 256, (64, 64, 3), dtype=np.uint8)


FILES = {
    "JPEG": saved(noise(), "JPEG"),
    "progressive JPEG": saved(noise(), "JPEG", progressive=True),
    "CMYK JPEG": saved(Pillow.fromarray(noise()).convert("CMYK"), "JPEG"),
    "PNG": saved(noise(), "PNG"),
    "WEBP": saved(noise(), "WEBP", lossless=True),
    "GIF": saved(noise(), "GIF"),
    "BMP": saved(noise(), "BMP"),
    "TIFF": saved(noise(), "TIFF"),
    "16-bit PNG": cv2.imencode(".png", noise().astype(np.uint16) * 257)[1].tobytes(),
    "SVG": svg("<rect width='5' height='5'/>" * 20),
}


@pytest.mark.parametrize("kind", list(FILES))
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_truncated_file_is_an_error(kind: str, share: float) -> None:
    """A file that is cut off is never a half grey picture."""
    data = FILES[kind]
    with pytest.raises(RecordError, match="picture is (truncated|damaged)"):
        decoded(data[: int(len(data) * share)])


@pytest.mark.parametrize("kind", ["JPEG", "progressive JPEG", "PNG", "WEBP", "16-bit PNG", "SVG"])
def test_the_last_bytes_count_as_well(kind: str) -> None:
    """A file that lacks only its last two bytes is called truncated, by every decoder alike."""
    with pytest.raises(RecordError, match="picture is truncated"):
        decoded(FILES[kind][:-2])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "16-bit PNG"])
def test_damaged_bytes_are_an_error(kind: str) -> None:
    """Bytes changed in the middle of the file are found."""
    data = bytearray(FILES[kind])
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(range(190, 254))
    with pytest.raises(RecordError, match="picture is (truncated|damaged)"):
        decoded(bytes(data))


@pytest.mark.parametrize("magic", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"RIFF\4\0\0\0WEBP"])
def test_garbage_behind_a_known_beginning_is_an_error(magic: bytes) -> None:
    """A known beginning alone is no picture, and the error text is the same in every process."""
    with pytest.raises(RecordError, match="picture is (truncated|damaged)") as caught:
        decoded(magic + b"garbage" * 10)
    assert "0x" not in caught.value.detail


def test_harmless_oddities_of_a_jpeg_header_are_forgiven() -> None:
    """Some cameras write wrong scan parameters that no decoder looks at: the pixels are whole."""
    data = bytearray(FILES["JPEG"])
    scan = data.index(b"\xff\xda")
    last = scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big") - 1
    data[last - 1] = 0
    np.testing.assert_array_equal(decoded(bytes(data)), decoded(FILES["JPEG"]))
    with pytest.raises(RecordError, match="picture is truncated"):
        decoded(bytes(data[: len(data) // 2]))


def test_bytes_behind_the_end_of_a_picture_do_no_harm() -> None:
    """Cameras and editors append data; the picture itself is whole."""
    for kind in ("JPEG", "PNG", "GIF"):
        assert decoded(FILES[kind] + b"appended").shape == (64, 64, 3)


def test_too_many_pixels_are_refused_before_decoding() -> None:
    """A header that claims more pixels than allowed is enough to refuse the file."""
    with pytest.raises(RecordError, match="picture has too many pixels"):
        decoded(FILES["PNG"], max_pixels=64 * 64 - 1)
    assert decoded(FILES["PNG"], max_pixels=64 * 64).shape == (64, 64, 3)
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")
    with pytest.raises(RecordError, match="picture has too many pixels"):
        decoded(bomb)


# Vector pictures


def test_svg_is_drawn_at_the_size_asked_for() -> None:
    """The long side gets the size, boxes follow by the scale from the picture's own size."""
    data = svg('<rect x="4" y="2" width="6" height="4" fill="#f00"/>')
    picture = Decode(svg_size=100).apply(Image(data, (Box(4, 2, 10, 6, "red"),)), RNG)
    assert picture.pixels.shape == (50, 100, 3)
    rows, columns = np.nonzero(picture.pixels[..., 1] < 128)
    assert picture.boxes == (Box(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1, "red"),)
    assert picture.pixels[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("attributes", "shape", "block"),
    [
        ('width="1in" height="48"', (50, 100), (0, 0, 4, 4)),
        ('viewBox="0 0 20 40"', (100, 50), (0, 0, 10, 10)),
        ('width="40" viewBox="0 0 20 40"', (100, 50), (0, 0, 10, 10)),
        ('height="10" viewBox="0 0 20 40"', (100, 50), (0, 0, 10, 10)),
        ('width="100%" height="100%" viewBox="0 0 20 40"', (100, 50), (0, 0, 10, 10)),
        ('width="20" height="10" viewBox="-2 0 20 10"', (50, 100), (10, 0, 30, 20)),
        ('width="20" height="20" viewBox="0 0 20 10"', (100, 100), (0, 25, 20, 45)),
        ("", (50, 100), (0, 0, 1, 1)),
    ],
)
def test_svg_viewports(attributes: str, shape: tuple[int, int], block: tuple[int, int, int, int]) -> None:
    """Units, percentages, view boxes and missing sizes give the viewport that CSS gives."""
    pixels = decoded(svg('<rect width="4" height="4"/>', attributes), svg_size=100)
    assert pixels.shape[:2] == shape
    rows, columns = np.nonzero(pixels[..., 0] < 128)
    found = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    np.testing.assert_allclose(found, block, atol=1)


def test_svg_with_odd_sides_is_filled_to_the_border() -> None:
    """Fractions of a pixel in the size leave no bare edge, and the scale is that of the rounded size."""
    data = svg('<rect width="20.4" height="10.6" fill="#00f"/>', 'width="20.4" height="10.6"')
    picture = Decode(svg_size=101).apply(Image(data), RNG)
    assert picture.pixels.shape == (52, 101, 3)
    assert (picture.pixels == BLUE).all()
    assert picture.lineage[0].map.to_json() == [101 / 20.4, 0, 0, 0, 52 / 10.6, 0]


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A red picture on the disk that no vector picture may show."""
    Pillow.new("RGB", (10, 10), RED).save(tmp_path / "secret.png")
    return tmp_path / "secret.png"


@pytest.mark.parametrize(
    "body",
    [
        '<image href="{path}" width="20" height="10"/>',
        '<image xlink:href="{path}" width="20" height="10"/>',
        '<image href=" {path} " width="20" height="10"/>',
        '<image href="file://{path}" width="20" height="10"/>',
        '<image href="secret.png" width="20" height="10"/>',
        '<image href="http://localhost/secret.png" width="20" height="10"/>',
        '<defs><image id="i" href="{path}" width="20" height="10"/></defs><use href="#i"/>',
        '<pattern id="p" width="1" height="1"><image href="{path}"/></pattern><rect width="20" height="10" fill="url(#p)"/>',
        '<filter id="f"><feImage href="{path}"/></filter><rect width="20" height="10" filter="url(#f)"/>',
        '<use href="{path}#a"/>',
        '<style>@import url("{path}"); rect {{ fill: url("{path}"); }}</style>',
    ],
)
def test_svg_loads_nothing_from_outside(body: str, outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference to a file or the network has no effect: nothing of it is drawn."""
    monkeypatch.chdir(outside.parent)
    pixels = decoded(svg(body.format(path=outside)))
    assert not ((pixels[..., 0] > 128) & (pixels[..., 1] < 128)).any()


def test_svg_entities_load_nothing(outside: Path) -> None:
    """Entities inside the file are resolved, and what they name is cut as well; external ones are refused."""
    inner = f'<!DOCTYPE svg [<!ENTITY p "{outside}">]>'.encode() + svg('<image href="&p;" width="20" height="10"/>')
    assert (decoded(inner) == 255).all()
    external = f'<!DOCTYPE svg [<!ENTITY p SYSTEM "file://{outside}">]>'.encode() + svg("<desc>&p;</desc>")
    with pytest.raises(RecordError, match="picture is damaged"):
        decoded(external)


def test_svg_scripts_have_no_effect() -> None:
    """A script, an event handler or foreign content changes no pixel."""
    plain = decoded(svg('<rect width="5" height="5"/>'))
    scripted = svg(
        "<script>document.documentElement.remove()</script>"
        '<rect width="5" height="5" onload="this.remove()"/>'
        '<foreignObject width="20" height="10"><p xmlns="http://www.w3.org/1999/xhtml">text</p></foreignObject>'
    )
    np.testing.assert_array_equal(decoded(scripted), plain)


def test_svg_draws_pictures_that_it_holds_itself() -> None:
    """An embedded picture is drawn; one with too many pixels, or of another kind, is an error."""
    inner = base64.b64encode(saved(Pillow.new("RGB", (10, 10), RED), "PNG")).decode()
    body = f'<image href="data:image/png;base64,{inner}" width="20" height="10" preserveAspectRatio="none"/>'
    assert decoded(svg(body), svg_size=20)[5, 10].tolist() == [255, 0, 0]
    with pytest.raises(RecordError, match="too many pixels"):
        decoded(svg(body), svg_size=4, max_pixels=99)
    for target in ("data:image/svg+xml;base64,AAAA", "data:image/png;base64,AAAA", "data:text/plain,x"):
        with pytest.raises(RecordError, match="vector picture embeds what cannot be drawn"):
            decoded(svg(f'<image href="{target}"/>'))


def test_svg_text_is_drawn_with_the_fonts_that_are_named(tmp_path: Path) -> None:
    """Text is drawn with the font file of the option, also where the picture asks for a font that is not there."""
    font = ImageFont.load_default(9)
    assert isinstance(font, ImageFont.FreeTypeFont)
    assert isinstance(font.path, io.BytesIO)
    path = tmp_path / "font.ttf"
    path.write_bytes(font.path.getvalue())
    pixels = decoded(svg("<text y='9' font-size='9' font-family='Missing'>Hi</text>"), svg_fonts=(str(path),))
    assert (pixels < 100).any()


def test_svg_text_needs_a_font() -> None:
    """Text would vanish without a font and differ with the system's, so it is an error that says what to do."""
    with pytest.raises(RecordError, match="vector picture holds text") as caught:
        decoded(svg("<text y='8'>Hello</text>"))
    assert "svg_fonts" in caught.value.detail
    schema = Schema({"image": FieldType("image", encoded=True)})
    with pytest.raises(RecipeError, match="svg_fonts"):
        Decode(svg_fonts=("missing.ttf",)).infer(schema)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (svg("", 'width="0" height="10"'), "vector picture has no size"),
        (svg("", 'width="-5" height="10"'), "vector picture has no size"),
        (svg("<g></h>"), "picture is damaged"),
        (svg("<g>" * 3000 + "</g>" * 3000), "(nested too deeply|damaged)"),
        (b"<svg width='5' height='5'/>", "not a known picture format"),
        (b"<html><svg></svg></html>", "not a known picture format"),
    ],
)
def test_svg_that_cannot_be_drawn_is_an_error(data: bytes, reason: str) -> None:
    """Vector pictures without a size, with broken XML or without their namespace are refused."""
    with pytest.raises(RecordError, match=reason):
        decoded(data)


def test_svg_is_found_behind_declarations_and_in_utf_16() -> None:
    """An XML declaration, a byte order mark, comments and UTF-16 are all allowed before the svg element."""
    text = svg('<rect width="20" height="10" fill="#0f0"/>').decode()
    declared = f"<?xml version='1.0'?>\n<!-- drawn by hand -->\n{text}"
    for data in (declared.encode(), b"\xef\xbb\xbf" + declared.encode(), declared.encode("utf-16")):
        assert decoded(data)[0, 0].tolist() == [0, 255, 0]
    with pytest.raises(RecordError, match="too many pixels"):
        decoded(text.encode(), svg_size=100, max_pixels=10)


# The contract of every stage


def test_the_record_keeps_its_bytes_and_the_schema_agrees() -> None:
    """The stage leaves its input as it is, gives the same pixels twice, and makes what it said it would."""
    stage, picture = Decode(), Image(FILES["JPEG"])
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
