"""The perceptual hash against the library `imagehash`, and the keys under which near hashes meet."""

from __future__ import annotations

import imagehash
import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdata.sketch.image import band_keys, distance, is_flat, perceptual_hash


@pytest.mark.parametrize("size", [(7, 200), (32, 32), (64, 48), (300, 417)])
def test_it_is_the_hash_of_imagehash(size: tuple[int, int]) -> None:
    """Bit for bit, for sizes below, at and above that of the reduced picture; a picture of noise, and one with smooth slopes."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    slopes = np.cumsum(np.cumsum(rng.normal(size=(*size, 3)), axis=0), axis=1)
    smooth = np.interp(slopes, (slopes.min(), slopes.max() + 1e-9), (0, 255)).astype(np.uint8)
    for pixels in (noise, smooth):
        assert f"{perceptual_hash(pixels):016x}" == str(imagehash.phash(PIL.Image.fromarray(pixels)))


def test_a_picture_of_one_colour_is_flat() -> None:
    """Its hash would be noise; a picture with a shape in it is not flat."""
    pixels = np.full((40, 60, 3), 255, np.uint8)
    assert is_flat(pixels)
    pixels[10:30, 20:40] = 0
    assert not is_flat(pixels)


def test_distance_counts_bits() -> None:
    """From none to all."""
    assert distance(0, 0) == 0
    assert distance(0b1011, 0b0001) == 2
    assert distance(0, 2**64 - 1) == 64


@given(st.integers(0, 2**64 - 1), st.sets(st.integers(0, 63), max_size=11))
def test_every_hash_within_the_limit_is_met(found: int, flipped: set[int]) -> None:
    """No near pair is missed: one of the keys looked up is one of those stored under."""
    other = found ^ sum(1 << bit for bit in flipped)
    assert set(band_keys(found, len(flipped))) & set(band_keys(other, 0))


def test_bands_are_told_apart() -> None:
    """The same 16 bits at another place give another key."""
    assert len(set(band_keys(0, 0))) == 4
    assert len(set(band_keys(0x0123_4567_89AB_CDEF, 7))) == 4 * 17
