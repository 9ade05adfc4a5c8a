"""The blur of a region: as wide as a Gaussian, whatever the resolution at which it is computed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdata.vision.blur import blurred
from tests.stages.pictures import disc, noise


@pytest.mark.parametrize(("deviation", "levels"), [(1, 0), (8, 0), (20, 6), (50, 8)])
def test_it_is_a_gaussian(deviation: float, levels: int) -> None:
    """A narrow one exactly, a wide one, computed at a lower resolution, to a few levels."""
    pixels = disc(300, 240, (150, 120), 80)
    reference = cv2.GaussianBlur(pixels, (0, 0), deviation, borderType=cv2.BORDER_REPLICATE)
    assert np.abs(blurred(pixels, deviation).astype(int) - reference).max() <= levels


@settings(deadline=None)
@given(sides=st.tuples(st.integers(1, 70), st.integers(1, 70)), deviation=st.floats(0.05, 70))
def test_every_region_can_be_blurred(sides: tuple[int, int], deviation: float) -> None:
    """The shape stays, the input too, and no level leaves the range of the region."""
    pixels = noise(*sides)
    before = pixels.copy()
    made = blurred(pixels, deviation)
    assert (made.shape, made.dtype) == (pixels.shape, np.uint8)
    assert (made >= pixels.min(axis=(0, 1))).all()
    assert (made <= pixels.max(axis=(0, 1))).all()
    np.testing.assert_array_equal(pixels, before)
