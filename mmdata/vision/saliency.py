"""Where a picture draws the eye: the spectral residual.

X. Hou, L. Zhang, "Saliency detection: a spectral residual approach", CVPR 2007: what the logarithm of a picture's amplitude
spectrum has above its own local mean, put back with the picture's phases, stands out from the background.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

_LONG_SIDE = 64  # pixels of the map, as in the paper: salience is a matter of coarse structure
_SPREAD = 2.5  # standard deviation of the final Gaussian, in pixels of the map
_TIE = 1e-6  # windows whose salience differs by less, relative to the best, are equal


def spectral_residual(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the salience of a picture, float64 [rows, columns], not negative; the long side has at most 64 of them.

    Args:
        pixels: uint8 [height, width, 3] in RGB; left unchanged.
    """
    height, width = pixels.shape[:2]
    scale = min(1.0, _LONG_SIDE / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
    spectrum = np.fft.fft2(small.astype(np.float64))
    amplitude = np.abs(spectrum)
    # One is added to each amplitude: where there is next to none, its phase is rounding error and must not be raised.
    logarithm = np.log1p(amplitude)
    residual = logarithm - cv2.blur(logarithm, (3, 3), borderType=cv2.BORDER_REPLICATE)
    power = np.abs(np.fft.ifft2(np.exp(residual) * spectrum / (amplitude + 1.0))) ** 2
    return cast("NDArray[np.float64]", cv2.GaussianBlur(power, (0, 0), _SPREAD, borderType=cv2.BORDER_REPLICATE))


def most_salient(pixels: NDArray[np.uint8], width: int, height: int) -> tuple[int, int]:
    """Return (left, top) of the window of this size with the greatest sum of salience; of equals, the nearest to the centre.

    Args:
        pixels: uint8 [height, width, 3] in RGB; left unchanged.
        width: of the window in pixels, at most that of the picture.
        height: of the window in pixels, at most that of the picture.
    """
    salience = spectral_residual(pixels)
    lefts = _starts(pixels.shape[1] - width, salience.shape[1])
    tops = _starts(pixels.shape[0] - height, salience.shape[0])
    sums = _window_sums(salience, tops * salience.shape[0] / pixels.shape[0], height * salience.shape[0] / pixels.shape[0])
    sums = _window_sums(sums.T, lefts * salience.shape[1] / pixels.shape[1], width * salience.shape[1] / pixels.shape[1]).T
    off_centre = np.abs(tops * 2 - (pixels.shape[0] - height))[:, None] + np.abs(lefts * 2 - (pixels.shape[1] - width))[None]
    best = sums >= sums.max() * (1.0 - _TIE)
    row, column = np.unravel_index(np.argmin(np.where(best, off_centre, np.iinfo(np.int64).max)), sums.shape)
    return int(lefts[column]), int(tops[row])


def _starts(spare: int, cells: int) -> NDArray[np.int64]:
    """Return the places tried along one side, int64 in pixels: the centre, and about one for each cell of the map."""
    count = min(spare, cells) + 1
    return np.unique(np.append(np.arange(count) * spare // max(1, count - 1), spare // 2))


def _window_sums(salience: NDArray[np.float64], starts: NDArray[np.float64], extent: float) -> NDArray[np.float64]:
    """Return [starts, columns]: sums over rows [start, start + extent), in which a part of a row counts by its share."""
    total = np.pad(np.cumsum(salience, axis=0), ((1, 0), (0, 0)))
    rows = np.arange(len(total))
    ends = starts + extent
    columns = [np.interp(ends, rows, column) - np.interp(starts, rows, column) for column in total.T]
    return np.stack(columns, axis=1)
