"""The perceptual hashes of a picture and of windows in it: 64 bits each, nearly the same when it is encoded again or resized."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from mmdata.vision.perceptual_hash import GREY_SIDE, dct_bits, grey

_WINDOWS_SIDE = 128
_FLAT = 4  # of 255
_BANDS, _BAND_BITS = 4, 16


def _windows() -> Iterator[tuple[float, float, float, float]]:
    """Give (left, top, right, bottom), in shares of the sides, of the windows that lose 5 % and 10 % of both sides."""
    for side, offsets in ((0.95, (0.0, 0.05)), (0.9, (0.0, 0.05, 0.1))):
        yield from ((left, top, left + side, top + side) for top, left in product(offsets, offsets))


WINDOWS = tuple(_windows())


def hashes(pixels: NDArray[np.uint8], *, windows: bool) -> NDArray[np.uint64] | None:
    """Return the perceptual hash (pHash) of pixels uint8 [height, width, 3], and those of its windows after it: uint64 [1 or 14].

    The first is the hash of `mmdata.vision.perceptual_hash.phash`. A copy that lost up to a tenth of its sides shows about what
    one of the windows shows, so its hash is near that window's. None for a picture of nearly one brightness: rounding alone would
    decide its bits; for the same reason a window of one brightness has the hash of the whole.
    """
    whole = grey(pixels, GREY_SIDE, GREY_SIDE)
    if _is_flat(whole):
        return None
    views = [whole, *_views(pixels)] if windows else [whole]
    bits = dct_bits(np.stack([whole if _is_flat(view) else view for view in views]))
    return np.packbits(bits, axis=1).view(">u8").astype(np.uint64).ravel()


def _views(pixels: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    import PIL.Image

    small = PIL.Image.fromarray(grey(pixels, _WINDOWS_SIDE, _WINDOWS_SIDE))
    for left, top, right, bottom in WINDOWS:
        box = left * _WINDOWS_SIDE, top * _WINDOWS_SIDE, right * _WINDOWS_SIDE, bottom * _WINDOWS_SIDE
        yield np.asarray(small.resize((GREY_SIDE, GREY_SIDE), PIL.Image.Resampling.LANCZOS, box=box))


def _is_flat(view: NDArray[np.uint8]) -> bool:
    return bool(np.ptp(view) <= _FLAT)


def distances(found: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return how far a picture, hashes [views], is from each of others, hashes [n, views]: uint8 [n], 0 to 64 bits.

    Compared is the whole of each with every view of the other, and the nearest counts; windows are never compared with windows.
    """
    in_others = np.bitwise_count(others ^ found[0]).min(axis=1)
    in_this = np.bitwise_count(others[:, :1] ^ found).min(axis=1)
    return np.asarray(np.minimum(in_others, in_this))


def band_keys(found: NDArray[np.uint64], limit: int) -> NDArray[np.uint64]:
    """Return keys below 2^18, of which every hash within `limit` bits (0 to 11) of one of these has one in its `band_keys(…, 0)`.

    Of four bands of 16 bits, one differs by at most a quarter of the bits that differ (multi-index hashing: Norouzi, Punjani,
    Fleet, "Fast search in Hamming space with multi-index hashing", CVPR 2012).
    """
    numbers = np.arange(_BANDS, dtype=np.uint64)
    bands = (found[:, None] >> (numbers * np.uint64(_BAND_BITS))) & np.uint64(0xFFFF)
    masks = _masks(limit // _BANDS)
    return np.asarray((numbers << np.uint64(_BAND_BITS))[:, None] | (bands[:, :, None] ^ masks)).ravel()


@cache
def _masks(radius: int) -> NDArray[np.uint64]:
    """Return every number of 16 bits with at most `radius` bits set."""
    places = (bits for count in range(radius + 1) for bits in combinations(range(_BAND_BITS), count))
    return np.array([sum(1 << bit for bit in bits) for bits in places], np.uint64)
