"""Finds faces in pictures with YuNet, OpenCV's own detector.

The method is that of W. Wu, H. Peng, S. Yu, "YuNet: a tiny millisecond-level face detector", Machine Intelligence Research 20,
2023. The model of the OpenCV Zoo (MIT licence, 233 kB) stands beside this file, so nothing is downloaded. It was trained for
faces of some 10 to 300 pixels; a picture is therefore searched at several sizes, each half of the one before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

_MODEL = Path(__file__).with_name("face_detection_yunet_2023mar.onnx")
_LARGEST, _SMALLEST = 1280, 320  # pixels of the long side of the largest and of the smallest size that is searched
_TINY = 160  # pixels of the long side up to which a picture is searched at twice its size
_LEAST_SIDE = 16  # pixels; less has no room for a face
_OVERLAP = 0.3  # intersection over union from which two finds are one face: the default of cv2.FaceDetectorYN
_MOST_FINDS = 5000

Rectangle = tuple[int, int, int, int]


def find_faces(pixels: NDArray[np.uint8], confidence: float) -> list[Rectangle]:
    """Return the faces as (left, top, right, bottom) in whole pixels inside the picture, from the top down.

    Args:
        pixels: uint8 [height, width, 3] in RGB; left unchanged.
        confidence: the least score of a face, 0 to 1.
    """
    import cv2

    height, width = pixels.shape[:2]
    detector = _detector(confidence)
    finds = [find for size in _sizes(width, height) for find in _found_at(detector, pixels, size)]
    if not finds:
        return []
    every = np.array(finds)
    kept = cv2.dnn.NMSBoxes(every[:, :4].tolist(), every[:, 4].tolist(), confidence, _OVERLAP)
    faces = [_whole_pixels(every[index], width, height) for index in np.asarray(kept).ravel()]
    return sorted(faces, key=lambda face: (face[1], face))


def _sizes(width: int, height: int) -> Iterator[tuple[int, int]]:
    """Yield each (width, height) at which a picture is searched, the largest first; a tiny one is enlarged."""
    long_side = max(width, height)
    target = 2 * long_side if long_side <= _TINY else min(long_side, _LARGEST)
    while True:
        yield max(1, width * target // long_side), max(1, height * target // long_side)
        if target <= _SMALLEST:
            return
        target //= 2


def _found_at(detector: Any, pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float64]:  # noqa: ANN401
    """Return what is found at one size, [n, 5]: left, top, width, height in pixels of the whole picture, and the score."""
    import cv2

    if min(size) < _LEAST_SIDE:
        return np.empty((0, 5))
    height, width = pixels.shape[:2]
    method = cv2.INTER_CUBIC if size[0] > width else cv2.INTER_AREA
    scaled = cv2.resize(pixels, size, interpolation=method) if size != (width, height) else pixels
    detector.setInputSize(size)
    _, found = detector.detect(cv2.cvtColor(scaled, cv2.COLOR_RGB2BGR))
    if found is None:
        return np.empty((0, 5))
    scale = np.array([width / size[0], height / size[1]] * 2 + [1.0])
    return cast("NDArray[np.float64]", found[:, [0, 1, 2, 3, 14]].astype(np.float64) * scale)


def _whole_pixels(find: NDArray[np.float64], width: int, height: int) -> Rectangle:
    """Return (left, top, right, bottom) rounded to whole pixels, at least one pixel large, inside the picture."""
    left, top = (min(max(0, round(float(low))), side - 1) for low, side in zip(find[:2], (width, height), strict=True))
    right, bottom = (round(float(low + extent)) for low, extent in zip(find[:2], find[2:4], strict=True))
    return left, top, min(max(right, left + 1), width), min(max(bottom, top + 1), height)


def _detector(confidence: float) -> Any:  # noqa: ANN401 - OpenCV ships no types
    """Return a detector; it keeps a state, so each call makes its own, in some 3 ms."""
    import cv2

    with _quiet():
        return cv2.FaceDetectorYN.create(str(_MODEL), "", (_SMALLEST, _SMALLEST), confidence, _OVERLAP, _MOST_FINDS)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep OpenCV 5 from warning that its new engine knows no other target than the processor."""
    from cv2.utils import logging

    before = logging.setLogLevel(logging.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        logging.setLogLevel(before)
