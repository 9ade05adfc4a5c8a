"""The perceptual hash against the library `imagehash`, and the keys under which near hashes meet."""

from __future__ import annotations

import imagehash
import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdata.sketch.image import WINDOWS, band_keys, distances, hashes


def pictures(size: tuple[int, int]) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], ...]:
    """Make a picture of noise, and one with smooth slopes: uint8 [*size, 3]."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    slopes = np.cumsum(np.cumsum(rng.normal(size=(*size, 3)), axis=0), axis=1)
    return noise, np.interp(slopes, (slopes.min(), slopes.max() + 1e-9), (0, 255)).astype(np.uint8)


@pytest.mark.parametrize("size", [(7, 200), (32, 32), (64, 48), (300, 417)])
def test_it_is_the_hash_of_imagehash(size: tuple[int, int]) -> None:
    """Bit for bit, for sizes below, at and above that of the reduced picture; with windows or without."""
    for pixels in pictures(size):
        for windows in (False, True):
            found = hashes(pixels, windows=windows)
            assert found is not None
            assert len(found) == (1 + len(WINDOWS) if windows else 1)
            assert f"{found[0]:016x}" == str(imagehash.phash(PIL.Image.fromarray(pixels)))


def test_windows_show_what_crops_show() -> None:
    """The hash of a window is near that of the picture cut out by hand, and the picture as a whole is farther."""
    pixels = pictures((300, 400))[1]
    found = hashes(pixels, windows=True)
    assert found is not None
    for window, seen in zip(WINDOWS, found[1:], strict=True):
        left, top, right, bottom = (round(share * side) for share, side in zip(window, (400, 300, 400, 300), strict=True))
        cut = hashes(pixels[top:bottom, left:right], windows=True)
        assert cut is not None
        assert int(seen ^ cut[0]).bit_count() <= 4
        assert distances(found, cut[None])[0] == distances(cut, found[None])[0] <= 4


def test_a_picture_of_one_colour_has_none() -> None:
    """Its hash would be noise; a picture with a shape in it has one, and its flat windows have that of the whole."""
    pixels = np.full((40, 60, 3), 255, np.uint8)
    assert hashes(pixels, windows=True) is None
    pixels[:2, :2] = 0
    found = hashes(pixels, windows=True)
    assert found is not None
    assert found[-1] == found[0]


def test_the_distance_is_that_of_the_whole_to_the_nearest_view() -> None:
    """From none to all bits; windows are not compared with windows."""
    one = np.array([0, 0b1111], np.uint64)
    others = np.array([[0, 2**64 - 1], [0b1011, 2**64 - 1], [2**64 - 1, 0b1111], [2**64 - 1, 2**64 - 1]], np.uint64)
    assert distances(one, others).tolist() == [0, 1, 4, 60]


@given(st.integers(0, 2**64 - 1), st.sets(st.integers(0, 63), max_size=11))
def test_every_hash_within_the_limit_is_met(found: int, flipped: set[int]) -> None:
    """No near pair is missed: one of the keys looked up is one of those stored under."""
    pair = np.array([found, found ^ sum(1 << bit for bit in flipped)], np.uint64)
    assert np.intersect1d(band_keys(pair[:1], len(flipped)), band_keys(pair[1:], 0)).size


def test_bands_are_told_apart() -> None:
    """The same 16 bits at another place give another key."""
    assert len(np.unique(band_keys(np.zeros(1, np.uint64), 0))) == 4
    assert len(np.unique(band_keys(np.array([0x0123_4567_89AB_CDEF], np.uint64), 7))) == 4 * 17
