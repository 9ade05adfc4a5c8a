"""Where a film cuts from one scene to the next, by the change of content from frame to frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def content_changes(frames: Iterable[Pixels]) -> Iterator[float]:
    """Yield how much each frame, uint8 [height, width, 3] in RGB, differs from the one before it; 0 for the first.

    The mean absolute difference of hue, saturation and value (OpenCV's 8-bit HSV, hue 0 to 179), each averaged over all pixels:
    the score of PySceneDetect's ContentDetector with its default weights (B. Castellano, https://www.scenedetect.com), 0 to 255.
    """
    import cv2

    before: Pixels | None = None
    for frame in frames:
        now = cast("Pixels", cv2.cvtColor(frame, cv2.COLOR_RGB2HSV))
        yield 0.0 if before is None else cv2.norm(now, before, cv2.NORM_L1) / now.size
        before = now


def scene_cuts(scored: Iterable[tuple[float, float]], threshold: float, least: float) -> list[float]:
    """Return the times at which scenes begin, but for the first: where the score reaches the threshold.

    `scored` are times in seconds with scores, in order. A cut less than `least` seconds after the one before is none.
    """
    cuts: list[float] = []
    first: float | None = None
    for seconds, score in scored:
        first = seconds if first is None else first
        if score >= threshold and seconds - (cuts[-1] if cuts else first) >= least:
            cuts.append(seconds)
    return cuts
