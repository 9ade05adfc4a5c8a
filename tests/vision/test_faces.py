"""The face detector: finds the face of a photo at every size, nothing in what has none, and the same each time.

The photo is a part of NASA's portrait of Eileen Collins, which is in the public domain.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mmdata.vision.faces import find_faces
from tests.stages.pictures import noise, smooth

FACE = (60, 40, 150, 146)  # left, top, right, bottom, in the photo of 200 x 200


def photo() -> NDArray[np.uint8]:
    """Read the photo."""
    found = cv2.imread(str(Path(__file__).with_name("astronaut.jpg")), cv2.IMREAD_COLOR_RGB)
    assert found is not None
    return np.asarray(found, np.uint8)


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Return intersection over union."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, across) * max(0.0, down)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (areas - shared)


@pytest.mark.parametrize("scale", [0.25, 0.5, 1, 2.3, 6, 12])
def test_a_face_is_found_at_every_size(scale: float) -> None:
    """From some 25 pixels to more than a thousand, in its place."""
    side = round(200 * scale)
    faces = find_faces(np.asarray(cv2.resize(photo(), (side, side), interpolation=cv2.INTER_AREA), np.uint8), 0.7)
    assert len(faces) == 1
    assert overlap(tuple(edge / scale for edge in faces[0]), FACE) > 0.7


def test_each_face_is_found_once() -> None:
    """Two faces of different sizes in one picture, from the top down."""
    pixels = np.full((700, 900, 3), 90, np.uint8)
    pixels[20:220, 600:800] = photo()
    pixels[280:680, 50:450] = cv2.resize(photo(), (400, 400))
    faces = find_faces(pixels, 0.7)
    assert [face[0] > 600 for face in faces] == [True, False]


def test_a_face_at_the_border_stays_inside() -> None:
    """Edges are whole pixels inside the picture."""
    pixels = np.ascontiguousarray(photo()[60:, 75:])
    for left, top, right, bottom in find_faces(pixels, 0.3):
        assert 0 <= left < right <= pixels.shape[1]
        assert 0 <= top < bottom <= pixels.shape[0]


@pytest.mark.parametrize(
    "pixels", [noise(64, 48), smooth(300, 200), np.zeros((1, 1, 3), np.uint8), np.zeros((9, 4000, 3), np.uint8)]
)
def test_nothing_is_found_where_no_face_is(pixels: NDArray[np.uint8]) -> None:
    """Noise, gradients, and pictures with no room for a face."""
    assert find_faces(pixels, 0.7) == []


def test_finding_is_pure(capfd: pytest.CaptureFixture[str]) -> None:
    """The same picture gives the same faces, is left unchanged, and OpenCV says nothing."""
    pixels = photo()
    before = pixels.copy()
    assert find_faces(pixels, 0.7) == find_faces(pixels, 0.7)
    np.testing.assert_array_equal(pixels, before)
    assert capfd.readouterr() == ("", "")
