"""Perceptual hashes: equal to imagehash's, near for near copies."""

from __future__ import annotations

import io

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from mmdata.vision.perceptual_hash import dhash, phash
from tests.stages.pictures import disc, noise, smooth


@settings(max_examples=40, deadline=None)  # the first call imports a library
@given(sides=st.tuples(st.integers(1, 120), st.integers(1, 120)), seed=st.integers(0, 1000))
def test_both_agree_with_imagehash(sides: tuple[int, int], seed: int) -> None:
    """Digit for digit, for every size of picture."""
    pixels = noise(*sides, seed)
    picture = Pillow.fromarray(pixels)
    assert phash(pixels) == str(imagehash.phash(picture))
    assert dhash(pixels) == str(imagehash.dhash(picture))


@pytest.mark.parametrize("pixels", [smooth(64, 48), disc(64, 48, (20, 20), 9), np.zeros((9, 9, 3), np.uint8)])
def test_both_agree_with_imagehash_on_pictures(pixels: np.ndarray) -> None:  # type: ignore[type-arg]
    """Smooth, drawn and black pictures too, where many bits tie."""
    picture = Pillow.fromarray(pixels)
    assert (phash(pixels), dhash(pixels)) == (str(imagehash.phash(picture)), str(imagehash.dhash(picture)))


def test_near_copies_have_near_hashes() -> None:
    """Half the size and strong compression change few bits; another picture changes about half of them."""
    pixels = disc(320, 240, (100, 90), 50)
    sink = io.BytesIO()
    Pillow.fromarray(pixels).resize((160, 120)).save(sink, "JPEG", quality=40)
    copy = np.asarray(Pillow.open(sink))
    for method, other in ((phash, noise(320, 240)), (dhash, noise(320, 240))):
        near, far = ((int(method(pixels), 16) ^ int(method(one), 16)).bit_count() for one in (copy, other))
        assert near <= 10 < far
