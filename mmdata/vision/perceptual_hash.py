"""Perceptual hashes: 64 bits that stay nearly the same when a picture is scaled, compressed or slightly recoloured.

Both give what `imagehash` gives. The number of bits in which two hashes differ says how far apart the pictures are: 0 to about
10 of 64 for versions of one picture, about 32 for two that have nothing in common.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import PIL.Image
from numpy.typing import NDArray

_SIDE = 8  # bits in a row, and rows


def phash(pixels: NDArray[np.uint8]) -> str:
    """Return the hash by discrete cosine transform, as 16 hexadecimal digits.

    A bit says whether one of the 64 lowest frequencies is above their median (N. Krawetz, "Looks like it", 2011).

    Args:
        pixels: uint8 [height, width, 3] in RGB; left unchanged.
    """
    import scipy.fft

    grey = _grey(pixels, 4 * _SIDE, 4 * _SIDE).astype(np.float64)
    low = scipy.fft.dct(scipy.fft.dct(grey, axis=0), axis=1)[:_SIDE, :_SIDE]
    return _hexadecimal(low > np.median(low))


def dhash(pixels: NDArray[np.uint8]) -> str:
    """Return the hash by differences, as 16 hexadecimal digits.

    A bit says whether a pixel of the picture at 9 x 8 is brighter than its left neighbour (N. Krawetz, "Kind of like that",
    2013).

    Args:
        pixels: uint8 [height, width, 3] in RGB; left unchanged.
    """
    grey = _grey(pixels, _SIDE + 1, _SIDE)
    return _hexadecimal(grey[:, 1:] > grey[:, :-1])


def _grey(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    # Pillow computes both steps in whole numbers: the same on every platform.
    small = PIL.Image.fromarray(pixels).convert("L").resize((width, height), PIL.Image.Resampling.LANCZOS)
    return cast("NDArray[np.uint8]", np.asarray(small))


def _hexadecimal(bits: NDArray[np.bool_]) -> str:
    return np.packbits(bits).tobytes().hex()
