"""Gaussian blur of a part of a picture, strong enough to make it unrecognizable at little cost."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_WIDEST = 8.0  # standard deviation in pixels above which a region is blurred at a lower resolution


def blurred(region: NDArray[np.uint8], deviation: float) -> NDArray[np.uint8]:
    """Return a region blurred by a Gaussian; it depends on the region alone, whose border is continued outwards.

    A wide Gaussian leaves no detail that a lower resolution would lose, so the region is blurred at one: the difference is of a
    few levels, the cost no longer grows with the width, and less is left for whoever would undo it.

    Args:
        region: uint8 [height, width, 3], not empty; left unchanged.
        deviation: standard deviation of the Gaussian in pixels, above 0.
    """
    height, width = region.shape[:2]
    factor = max(1.0, deviation / _WIDEST)
    small_size = max(1, round(width / factor)), max(1, round(height / factor))
    small = region if factor == 1.0 else cv2.resize(region, small_size, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), deviation / factor, borderType=cv2.BORDER_REPLICATE)
    if factor > 1.0:
        soft = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(soft, np.uint8)
