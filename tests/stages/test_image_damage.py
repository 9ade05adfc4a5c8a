"""`image.decode`: damaged and overlarge files are errors, harmless oddities are none."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from mmdata.errors import RecordError
from tests.stages.picture_files import decoded, png_chunk, saved, svg
from tests.stages.pictures import noise


def test_empty_data_is_an_error() -> None:
    """No bytes are no picture."""
    with pytest.raises(RecordError, match="picture is empty"):
        decoded(b"")


NOISE = noise(64, 64)  # it does not compress, so every part of a file holds pixels
FILES = {
    "JPEG": saved(NOISE, "JPEG"),
    "progressive JPEG": saved(NOISE, "JPEG", progressive=True),
    "CMYK JPEG": saved(Pillow.fromarray(NOISE).convert("CMYK"), "JPEG"),
    "PNG": saved(NOISE, "PNG"),
    "WEBP": saved(NOISE, "WEBP", lossless=True),
    "GIF": saved(NOISE, "GIF"),
    "BMP": saved(NOISE, "BMP"),
    "TIFF": saved(NOISE, "TIFF"),
    "16-bit PNG": cv2.imencode(".png", NOISE.astype(np.uint16) * 257)[1].tobytes(),
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
