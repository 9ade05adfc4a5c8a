"""Numbers that tell a usable picture from a blurred, an empty or a broken one."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_GREY = 128  # what a JPEG decoder fills in where the data end
_NEAR_GREY = 6  # greatest distance from it that compressing again leaves, in levels of a channel
_NEAR_ROW = 2  # greatest distance of a repeated row from the last one, likewise
_LEAST_CHANGES = 0.2  # share of a row's pixels that differ from their neighbour, from which it is no plain background or drawing
_BACKGROUND = 8  # rows alike at the top from which rows alike are how the picture is


def sharpness(grey: NDArray[np.uint8]) -> float:
    """Return the variance of the Laplacian, 0 or more: small where a picture is blurred.

    J. L. Pech-Pacheco and others, "Diatom autofocusing in brightfield microscopy: a comparative study", ICPR 2000. It grows with
    contrast and noise and shrinks when a picture is enlarged, so thresholds hold for pictures of about one size.

    Args:
        grey: uint8 [height, width].
    """
    laplacian = np.asarray(cv2.Laplacian(grey, cv2.CV_16S), np.int16)  # 16 bits hold it exactly
    return deviation(laplacian) ** 2


def deviation(values: NDArray[np.uint8] | NDArray[np.int16]) -> float:
    """Return the standard deviation of whole numbers, [height, width]; summed exactly, so the order of the sum cannot matter."""
    _, found = cv2.meanStdDev(values)
    return float(found[0, 0])


def entropy(grey: NDArray[np.uint8]) -> float:
    """Return the Shannon entropy of the histogram of 256 grey levels, in bits: 0 (one level) to 8 (all levels alike).

    Args:
        grey: uint8 [height, width].
    """
    shares = np.bincount(grey.ravel(), minlength=256) / grey.size
    shares = shares[shares > 0]
    return max(0.0, float(-(shares * np.log2(shares)).sum()))


def broken_share(pixels: NDArray[np.uint8]) -> float:
    """Return the share of the height, 0 to 1, that is missing at the bottom, as decoders leave it where a file ends early.

    Missing is: rows of mid grey alone, or one row with structure again and again. Where the top of the picture is of the same
    kind, that is how the picture is, and nothing is missing.

    Args:
        pixels: uint8 [height, width, 3] in RGB.
    """
    return max(_grey_rows(pixels), _repeated_rows(pixels)) / len(pixels)


def _grey_rows(pixels: NDArray[np.uint8]) -> int:
    """Count the rows at the bottom that are of mid grey alone; none where the top row is so too."""
    extremes = np.stack([pixels.min(axis=(1, 2)), pixels.max(axis=(1, 2))], axis=1).astype(np.int64)
    grey = np.abs(extremes - _GREY).max(axis=1) <= _NEAR_GREY
    return 0 if grey[0] else _run_at_end(grey)


def _repeated_rows(pixels: NDArray[np.uint8]) -> int:
    """Count the rows above the last that are like it; none where it is plain, or the rows at the top are alike as well."""
    levels = pixels.astype(np.int16)
    changes = np.abs(np.diff(levels[-1], axis=0)).max(axis=1, initial=0) > 0
    if not changes.any() or changes.mean() < _LEAST_CHANGES:
        return 0
    if _alike(levels[1 : _BACKGROUND + 1], levels[0]) == _BACKGROUND:
        return 0
    return _alike(levels[-2::-1], levels[-1])


def _alike(rows: NDArray[np.int16], row: NDArray[np.int16]) -> int:
    """Count the rows at the start that are like one row."""
    # Row by row: nearly every picture is done after the first.
    for count, other in enumerate(rows):
        if np.abs(other - row).max() > _NEAR_ROW:
            return count
    return len(rows)


def _run_at_end(marks: NDArray[np.bool_]) -> int:
    """Count the true values at the end."""
    return len(marks) if marks.all() else int(np.argmin(marks[::-1]))
