"""The spectral residual: what stands out gets the most salience, and nothing else moves the window."""

from __future__ import annotations

import numpy as np
import pytest

from mmdata.vision.saliency import most_salient, spectral_residual
from tests.stages.pictures import disc, noise


@pytest.mark.parametrize(
    ("sides", "shape"), [((640, 480), (48, 64)), ((30, 20), (20, 30)), ((1000, 1), (1, 64)), ((1, 1), (1, 1))]
)
def test_the_map_is_small_and_finite(sides: tuple[int, int], shape: tuple[int, int]) -> None:
    """Its long side has at most 64 cells, and no size of picture gives anything but finite numbers from 0 on."""
    salience = spectral_residual(noise(*sides))
    assert salience.shape == shape
    assert np.isfinite(salience).all()
    assert salience.min() >= 0


def test_what_stands_out_is_salient() -> None:
    """The greatest salience lies on the disc."""
    salience = spectral_residual(disc(320, 240, (80, 180), 20))
    row, column = np.unravel_index(np.argmax(salience), salience.shape)
    assert abs(column * 5 - 80) <= 25
    assert abs(row * 5 - 180) <= 25


def test_a_window_of_the_whole_picture_stays() -> None:
    """There is only one place for it; where only one side has room, only that one moves."""
    pixels = disc(320, 240, (280, 120), 20)
    assert most_salient(pixels, 320, 240) == (0, 0)
    left, top = most_salient(pixels, 100, 240)
    assert (left > 110, top) == (True, 0)


def test_turning_the_picture_turns_the_window() -> None:
    """Nothing favours one side: in the mirrored picture the window lies mirrored, to one cell of the map."""
    pixels = disc(320, 240, (70, 60), 20)
    left, top = most_salient(pixels, 100, 80)
    mirrored_left, mirrored_top = most_salient(np.ascontiguousarray(pixels[::-1, ::-1]), 100, 80)
    assert abs(320 - 100 - left - mirrored_left) <= 5
    assert abs(240 - 80 - top - mirrored_top) <= 5
