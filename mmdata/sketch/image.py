"""The perceptual hash of a picture: 64 bits that stay nearly the same when it is encoded again or resized."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

BITS = 64
_SIDE, _KEPT = 32, 8
_FLAT = 4  # of 255
_BANDS, _BAND_BITS = 4, 16
FARTHEST = 3 * _BANDS - 1


def perceptual_hash(pixels: NDArray[np.uint8]) -> int:
    """Return the perceptual hash (pHash) of pixels uint8 [height, width, 3]: a whole number of 64 bits.

    The picture becomes 32 x 32 grey pixels (Lanczos); a bit says whether one of the 8 x 8 lowest coefficients of its discrete
    cosine transform is above their median, row by row, the highest bit first (C. Zauner, "Implementation and benchmarking of
    perceptual image hash functions", 2010). It is the same as that of the library `imagehash`.
    """
    import scipy.fft

    waves = scipy.fft.dctn(_small(pixels).astype(np.float64), type=2)[:_KEPT, :_KEPT]
    above = waves > np.median(waves)
    return int.from_bytes(np.packbits(above).tobytes(), "big")


def is_flat(pixels: NDArray[np.uint8]) -> bool:
    """Whether pixels uint8 [height, width, 3] have nearly one brightness: then rounding alone decides the bits of the hash."""
    return bool(np.ptp(_small(pixels)) <= _FLAT)


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return grey pixels uint8 [32, 32]."""
    import PIL.Image

    grey = PIL.Image.fromarray(pixels).convert("L")
    return np.asarray(grey.resize((_SIDE, _SIDE), PIL.Image.Resampling.LANCZOS))


def distance(one: int, other: int) -> int:
    """Return how many bits of two hashes differ, 0 to 64."""
    return (one ^ other).bit_count()


def band_keys(found: int, limit: int) -> list[int]:
    """Return keys, of which every hash within `limit` bits (0 to 11) of this one has one among its own `band_keys(…, 0)`.

    Of four bands of 16 bits, one differs by at most a quarter of the bits that differ (multi-index hashing: Norouzi, Punjani,
    Fleet, "Fast search in Hamming space with multi-index hashing", CVPR 2012).
    """
    masks = list(_masks(limit // _BANDS))
    bands = [(found >> (_BAND_BITS * band)) & 0xFFFF for band in range(_BANDS)]
    return [band << _BAND_BITS | (value ^ mask) for band, value in enumerate(bands) for mask in masks]


def _masks(radius: int) -> Iterator[int]:
    """Give every number of 16 bits with at most `radius` bits set."""
    for count in range(radius + 1):
        for bits in combinations(range(_BAND_BITS), count):
            yield sum(1 << bit for bit in bits)
