"""Picture files of pixels (JPEG, PNG, WebP, GIF, BMP, TIFF) to RGB pixels, for `image.decode`.

Pillow reads the headers, but for those of common JPEG files; the pixels come from the fastest library that is exact for the file:
simplejpeg (libjpeg-turbo) for JPEG in RGB or grey, OpenCV for PNG and WebP without transparency and for 16-bit colour, Pillow for
the rest. All of them are held to complete files: a picture that is cut off or damaged is an error, never half grey.
"""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from mmdata.errors import RecordError, is_memory_error
from mmdata.payload_heads import png_pixels
from mmdata.stages.image_colour import corrected, rgb_pixels, to_eight_bits
from mmdata.stages.jpeg import read_header

_ORIENTATION, _BITS, _PHOTOMETRIC = 0x0112, 258, 262
_ORIENTATION_BYTES = _ORIENTATION.to_bytes(2, "big"), _ORIENTATION.to_bytes(2, "little")
_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",
    b"MM\x00+": "TIFF",
}
_PNG_METADATA = frozenset([b"eXIf", b"iTXt", b"zTXt", b"tEXt"])
"""The chunks of a PNG that may tell an orientation."""
_HARMLESS = ("Invalid SOS parameters", "Warning: unknown JFIF revision", "Unknown Adobe color transform")
"""What libjpeg warns of in headers that camera makers got wrong; the pixels are whole."""


@dataclass(frozen=True, eq=False)
class Picture:
    """The pixels of a file, uint8 [height, width, 3] in sRGB, and how the stored ones are to be turned for display.

    `orientation` is the EXIF value, 1 to 8. `turned` says that the decoder applied it already, as all do for TIFF.
    """

    pixels: NDArray[np.uint8]
    orientation: int = 1
    turned: bool = False


@dataclass(frozen=True)
class _RasterFile:
    """A picture file with its header read."""

    data: bytes
    header: Pillow.Image
    format: str
    orientation: int


def format_of(data: bytes) -> str | None:
    """Return the format of a picture file by its first bytes, in Pillow's names; None where it is none of the known ones."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return next((name for magic, name in _MAGIC.items() if data.startswith(magic)), None)


def read_picture(data: bytes, format_: str, background: str, max_pixels: int) -> Picture:
    """Return the first picture of a file.

    Raises RecordError where the file is truncated or damaged, or has more than `max_pixels` pixels.
    """
    try:
        if format_ == "JPEG" and (picture := _common_jpeg(data, max_pixels)) is not None:
            return picture
        # Pillow warns of oddities that either do not touch the pixels or fail later as errors.
        with warnings.catch_warnings(action="ignore"):
            file = _opened(data, format_, max_pixels)
            return Picture(_pixels_of(file, background), file.orientation, turned=format_ == "TIFF")
    except (RecordError, MemoryError):
        raise
    except Pillow.DecompressionBombError as error:
        raise RecordError("picture has too many pixels", str(error)) from error
    except UnidentifiedImageError as error:
        # Its text holds the address of an object in memory.
        raise RecordError("picture is damaged", f"the {format_} header cannot be read") from error
    except Exception as error:  # the libraries raise nearly anything on broken files
        if is_memory_error(error):
            raise MemoryError(str(error)) from error
        raise RecordError(_reason_of(error), f"{format_}: {error}") from error


def _common_jpeg(data: bytes, max_pixels: int) -> Picture | None:
    """Return the picture of a JPEG file that is whole and like most; None where there is more to look at, or something to say."""
    header = read_header(data)
    if header is None or header.width * header.height > max_pixels or (header.components == 1 and header.profile):
        return None
    try:
        pixels = simplejpeg.decode_jpeg(data, "RGB")
    except ValueError:
        return None
    return Picture(corrected(cast("NDArray[np.uint8]", pixels), header.profile), _orientation_of(lambda: _parsed(header.exif)))


def _parsed(exif: bytes) -> Pillow.Exif:
    """Return Exif data parsed; data in which the number of the orientation stands nowhere need no parsing."""
    found = Pillow.Exif()
    if any(number in exif for number in _ORIENTATION_BYTES):
        with warnings.catch_warnings(action="ignore"):
            found.load(exif)
    return found


def _opened(data: bytes, format_: str, max_pixels: int) -> _RasterFile:
    chunks = _checked_chunks(data) if format_ == "PNG" else frozenset()
    if format_ == "WEBP" and int.from_bytes(data[4:8], "little") + 8 > len(data):
        raise RecordError("picture is truncated", "WEBP: the file is shorter than its header says")
    header = Pillow.open(io.BytesIO(data), formats=[format_])
    width, height = header.size
    if width * height > max_pixels:
        raise RecordError("picture has too many pixels", f"{width} x {height} is more than max_pixels = {max_pixels}")
    # Pillow decodes the pixels of a PNG to look for metadata behind them, so it is asked only where there is some.
    orientation = 1 if format_ == "PNG" and not chunks & _PNG_METADATA else _orientation_of(header.getexif)
    return _RasterFile(data, header, format_, orientation)


def _orientation_of(exif: Callable[[], Pillow.Exif]) -> int:
    """Return the EXIF orientation; broken EXIF data, or a value that is none, counts as upright."""
    try:
        value = exif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - broken EXIF data raises nearly anything
        return 1
    return value if value in range(1, 9) else 1


def _checked_chunks(data: bytes) -> frozenset[bytes]:
    """Return the kinds of chunks of a PNG, once each has the right checksum and the last is there: decoders do not mind."""
    view, place, kinds = memoryview(data), 8, set[bytes]()
    while b"IEND" not in kinds:
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        if end + 4 > len(data):
            raise RecordError("picture is truncated", f"PNG: the chunk at byte {place} has no end")
        kinds.add(data[place + 4 : place + 8])
        if zlib.crc32(view[place + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise RecordError("picture is damaged", f"PNG: wrong checksum of the chunk at byte {place}")
        place = end + 4
    return frozenset(kinds)


def _pixels_of(file: _RasterFile, background: str) -> NDArray[np.uint8]:
    mode, profile = file.header.mode, file.header.info.get("icc_profile")
    if file.format == "JPEG" and (mode == "RGB" or (mode == "L" and not profile)):
        return corrected(_jpeg_pixels(file), profile)
    plain = mode == "RGB" and not file.header.has_transparency_data and getattr(file.header, "n_frames", 1) == 1
    if plain and (file.format == "WEBP" or (file.format == "PNG" and _bits_of(file) == 8)):
        return corrected(_opencv_pixels(file, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION), profile)
    file.header.load()
    return rgb_pixels(_eight_bit_picture(file), background)


def _jpeg_pixels(file: _RasterFile) -> NDArray[np.uint8]:
    try:
        return cast("NDArray[np.uint8]", simplejpeg.decode_jpeg(file.data, "RGB"))
    except ValueError as error:
        if not str(error).startswith(_HARMLESS):
            raise
    return np.asarray(file.header.convert("RGB"))


def _opencv_pixels(file: _RasterFile, flags: int) -> Any:  # noqa: ANN401 - uint8 or uint16
    data = png_pixels(file.data) if file.format == "PNG" else file.data
    pixels: Any = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise ValueError("the pixels cannot be decoded")
    return pixels


def _eight_bit_picture(file: _RasterFile) -> Pillow.Image:
    """Return the loaded picture with samples of 8 bits or fewer, its profile kept."""
    header, bits = file.header, _bits_of(file)
    if header.mode.startswith("I;16"):
        picture = _grey_picture(header, bits)
    elif bits == 16 and header.mode in ("RGB", "RGBA"):  # Pillow would cut the lower 8 bits off
        pixels = _opencv_pixels(file, cv2.IMREAD_UNCHANGED)
        order = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB
        picture = Pillow.fromarray(to_eight_bits(cast("NDArray[np.uint16]", cv2.cvtColor(pixels, order))))
    else:
        return header
    picture.info["icc_profile"] = header.info.get("icc_profile")
    return picture


def _grey_picture(header: Pillow.Image, bits: int) -> Pillow.Image:
    samples = np.asarray(header).astype(np.uint16)
    if _tag(header, _PHOTOMETRIC) == 0:  # TIFF that stores white as 0, which Pillow leaves as it is
        samples = np.uint16((1 << bits) - 1) - samples
    grey = to_eight_bits(samples, bits)
    if (clear := header.info.get("transparency")) is None:
        return Pillow.fromarray(grey)
    return Pillow.fromarray(np.dstack([grey, np.where(samples == clear, 0, 255).astype(np.uint8)]))


def _bits_of(file: _RasterFile) -> int:
    if file.format == "PNG":
        return file.data[24]
    bits = _tag(file.header, _BITS)
    return int(bits[0]) if isinstance(bits, tuple) else 8


def _tag(header: Pillow.Image, number: int) -> object:
    tags = getattr(header, "tag_v2", None)
    return None if tags is None else tags.get(number)


def _reason_of(error: Exception) -> str:
    text = str(error)
    cut = isinstance(error, EOFError) or "truncated" in text or "Premature end" in text
    return "picture is truncated" if cut else "picture is damaged"
