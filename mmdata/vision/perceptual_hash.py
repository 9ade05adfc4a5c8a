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
GREY_SIDE = 4 * _SIDE


def phash(pixels: NDArray[np.uint8]) -> str:
    """Return the hash by discrete cosine transform, as 16 hexadecimal digits.

    A bit says whether one of the 64 lowest frequencies is above their median (N. Krawetz, "Looks like it", 2011).

    Args:
        pixels: uint8 [height, width, 3] in RGB; left unchanged.
    """
    return _hexadecimal(dct_bits(grey(pixels, GREY_SIDE, GREY_SIDE)))


def dct_bits(views: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the bits of the hash by discrete cosine transform, bool [..., 64], of grey views uint8 [..., 32, 32]."""
    import scipy.fft

    waves = scipy.fft.dctn(views.astype(np.float64), type=2, axes=(-2, -1))[..., :_SIDE, :_SIDE]
    low = waves.reshape(*views.shape[:-2], _SIDE * _SIDE)
    return np.asarray(low > np.median(low, axis=-1, keepdims=True))


def dhash(pixels: NDArray[np.uint8]) -> str:
    """Return the hash by differences, as 16 hexadecimal digits.

    A bit says whether a pixel of the picture at 9 x 8 is brighter than its left neighbour (N. Krawetz, "Kind of like that",
    2013).

    Args:
        pixels: uint8 [height, width, 3] in RGB; left unchanged.
    """
    small = grey(pixels, _SIDE + 1, _SIDE)
    return _hexadecimal(small[:, 1:] > small[:, :-1])


def grey(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Return the grey levels of pixels uint8 [height, width, 3], scaled to a size (Lanczos): uint8 [height, width]."""
    # Pillow computes both steps in whole numbers: the same on every platform.
    small = PIL.Image.fromarray(pixels).convert("L").resize((width, height), PIL.Image.Resampling.LANCZOS)
    return cast("NDArray[np.uint8]", np.asarray(small))


def _hexadecimal(bits: NDArray[np.bool_]) -> str:
    return np.packbits(bits).tobytes().hex()
