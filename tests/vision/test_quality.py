"""Measures of quality: each tells the picture it is meant for from the others."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageFile

from mmdata.vision.quality import broken_share, entropy, sharpness
from tests.stages.pictures import disc, noise, smooth


def textured(width: int = 160, height: int = 120) -> NDArray[np.uint8]:
    """Make a picture as photos are: soft, with some noise."""
    soft = cv2.GaussianBlur(noise(width, height), (0, 0), 2).astype(np.float64)
    levels = (soft - soft.mean()) * 5 + smooth(width, height)
    return np.clip(levels, 0, 255).astype(np.uint8)


def jpeg(pixels: NDArray[np.uint8], quality: int = 90) -> bytes:
    """Encode a picture as a baseline JPEG."""
    sink = io.BytesIO()
    Pillow.fromarray(pixels).save(sink, "JPEG", quality=quality)
    return sink.getvalue()


def test_blur_takes_sharpness_away() -> None:
    """Each step of blur lowers it; one level has none."""
    grey = cv2.cvtColor(textured(), cv2.COLOR_RGB2GRAY)
    found = [sharpness(grey), *(sharpness(np.asarray(cv2.GaussianBlur(grey, (0, 0), s), np.uint8)) for s in (1, 2, 4))]
    assert found == sorted(found, reverse=True)
    assert found[0] > 10 * found[2]
    assert sharpness(np.full((9, 9), 7, np.uint8)) == 0


def test_entropy_counts_bits() -> None:
    """None for one level, one for two alike, eight for all 256 alike."""
    assert entropy(np.full((8, 8), 9, np.uint8)) == 0
    assert entropy((np.indices((8, 8)).sum(axis=0) % 2).astype(np.uint8)) == pytest.approx(1)
    assert entropy(np.arange(256, dtype=np.uint8).reshape(16, 16)) == pytest.approx(8)


@pytest.mark.parametrize("share", [0.4, 0.6, 0.8])
@pytest.mark.parametrize("quality", [None, 75, 95])
def test_a_file_that_ended_early_is_broken(share: float, quality: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a tolerant decoder fills in is found, even after the picture was compressed again."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = jpeg(textured())
    pixels = np.asarray(Pillow.open(io.BytesIO(data[: int(len(data) * share)])).convert("RGB"))
    if quality is not None:
        pixels = np.asarray(Pillow.open(io.BytesIO(jpeg(pixels, quality))))
    assert 0.05 < broken_share(pixels) < 1


@pytest.mark.parametrize("quality", [None, 90])
def test_a_repeated_row_is_broken(quality: int | None) -> None:
    """A lower part that is one row again and again is found, and its share is right to one JPEG unit of 16 rows."""
    pixels = textured()
    pixels[72:] = pixels[71]
    if quality is not None:
        pixels = np.asarray(Pillow.open(io.BytesIO(jpeg(pixels, quality))))
    assert broken_share(pixels) == pytest.approx(0.4, abs=16 / 120)


@pytest.mark.parametrize(
    "pixels",
    [
        textured(),
        noise(40, 30),
        disc(160, 120, (80, 40), 20),  # on grey, but not on mid grey
        np.full((40, 40, 3), 128, np.uint8),
        np.full((40, 40, 3), 255, np.uint8),
        np.repeat(noise(60, 1), 40, axis=0),  # stripes from the top on
        np.pad(textured(), ((20, 20), (20, 20), (0, 0)), constant_values=128),
        np.pad(textured(), ((0, 60), (0, 0), (0, 0)), constant_values=0),
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((1, 9, 3), np.uint8),
    ],
)
def test_whole_pictures_are_not_broken(pixels: NDArray[np.uint8]) -> None:
    """Photos, noise, drawings, even pictures, stripes, frames and black bars have nothing missing."""
    assert broken_share(pixels) == 0
