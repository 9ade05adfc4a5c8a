"""Pixels and boxes of `image.resize`, `image.crop` and `image.pad` against Albumentations, OpenCV and Pillow."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Pillow

from mmdata.rng import rng_for
from mmdata.stages.base import FieldStage
from mmdata.stages.image import Resize
from mmdata.stages.image_crop import Crop
from mmdata.stages.image_pad import Pad
from mmdata.values import Box, Image, Point
from tests.stages.pictures import noise, smooth

RNG = rng_for(0, "test")
SIDES = st.tuples(st.integers(20, 90), st.integers(20, 90))
UNIT = st.floats(0, 1)


@pytest.fixture(scope="module")
def albumentations() -> ModuleType:
    """The library, kept from asking the network for news of itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
        return pytest.importorskip("albumentations")


def boxes_in(sides: tuple[int, int], corners: list[tuple[float, float, float, float]]) -> tuple[Box, ...]:
    """Return boxes of at least one pixel, inside the picture, from corners in [0, 1]."""
    boxes = []
    for number, (a, b, c, d) in enumerate(corners):
        left, right = sorted((a * (sides[0] - 1), b * (sides[0] - 1)))
        top, bottom = sorted((c * (sides[1] - 1), d * (sides[1] - 1)))
        boxes.append(Box(left, top, right + 1, bottom + 1, str(number)))
    return tuple(boxes)


def reference(library: ModuleType, transform: Any, image: Image) -> tuple[NDArray[np.uint8], dict[str, Any], dict[str, Any]]:
    """Return what the library makes of a picture: pixels, and boxes and points by label."""
    compose = library.Compose(
        [transform],
        bbox_params=library.BboxParams("pascal_voc", label_fields=["labels"], min_area=1e-6),
        keypoint_params=library.KeypointParams("xy", label_fields=["names"], remove_invisible=False),
    )
    made = compose(
        image=image.pixels,
        bboxes=[(box.left, box.top, box.right, box.bottom) for box in image.boxes],
        labels=[box.label for box in image.boxes],
        keypoints=[(point.x, point.y) for point in image.points],
        names=[point.label for point in image.points],
    )
    boxes = dict(zip(made["labels"], made["bboxes"], strict=True))
    return made["image"], boxes, dict(zip(made["names"], made["keypoints"], strict=True))


def assert_same(library: ModuleType, transform: Any, stage: FieldStage[Image], image: Image) -> None:
    """Check that a stage and the library's transform give the same boxes and points."""
    ours = stage.apply(image, RNG)
    assert isinstance(ours, Image)
    pixels, boxes, points = reference(library, transform, image)
    assert ours.pixels.shape == pixels.shape
    # The library computes boxes as float32 shares of the sides.
    assert {box.label for box in ours.boxes if (box.right - box.left) * (box.bottom - box.top) > 0.01} <= set(boxes)
    for box in ours.boxes:
        if box.label in boxes:
            np.testing.assert_allclose((box.left, box.top, box.right, box.bottom), boxes[box.label], atol=1e-3)
    for point in ours.points:
        np.testing.assert_allclose((point.x, point.y), points[point.label], atol=1e-3)


CORNERS = st.lists(st.tuples(UNIT, UNIT, UNIT, UNIT), min_size=1, max_size=4)


@settings(deadline=None, max_examples=40)
@given(sides=SIDES, to=SIDES, corners=CORNERS)
def test_resize_moves_boxes_as_albumentations(
    albumentations: ModuleType, sides: tuple[int, int], to: tuple[int, int], corners: list[tuple[float, float, float, float]]
) -> None:
    """Both take the exact ratio of the sizes."""
    image = Image(smooth(*sides), boxes_in(sides, corners), (Point(sides[0] / 2, 3.0, "p"),))
    assert_same(albumentations, albumentations.Resize(to[1], to[0]), Resize(size=to, mode="exact"), image)


@settings(deadline=None, max_examples=40)
@given(sides=SIDES, share=st.tuples(st.floats(0.2, 1), st.floats(0.2, 1)), corners=CORNERS)
def test_crop_moves_boxes_as_albumentations(
    albumentations: ModuleType,
    sides: tuple[int, int],
    share: tuple[float, float],
    corners: list[tuple[float, float, float, float]],
) -> None:
    """Both shift boxes and cut them at the border; the pixels are the same."""
    size = max(1, int(sides[0] * share[0])), max(1, int(sides[1] * share[1]))
    image = Image(smooth(*sides), boxes_in(sides, corners), (Point(sides[0] / 2, sides[1] / 2, "p"),))
    # The library rounds the odd pixel the other way, so the rectangle is given to it.
    left, top = (sides[0] - size[0]) // 2, (sides[1] - size[1]) // 2
    transform = albumentations.Crop(left, top, left + size[0], top + size[1])
    assert_same(albumentations, transform, Crop(size=size), image)
    np.testing.assert_array_equal(Crop(size=size).apply(image, RNG).pixels, reference(albumentations, transform, image)[0])  # type: ignore[union-attr]


@settings(deadline=None, max_examples=40)
@given(sides=SIDES, more=st.tuples(st.integers(0, 40), st.integers(0, 40)), corners=CORNERS)
def test_pad_moves_boxes_as_albumentations(
    albumentations: ModuleType,
    sides: tuple[int, int],
    more: tuple[int, int],
    corners: list[tuple[float, float, float, float]],
) -> None:
    """Both put the picture into the centre; the pixels are the same."""
    size = sides[0] + more[0], sides[1] + more[1]
    image = Image(smooth(*sides), boxes_in(sides, corners), (Point(1.0, 2.0, "p"),))
    transform = albumentations.PadIfNeeded(size[1], size[0], border_mode=cv2.BORDER_CONSTANT, fill=255)
    assert_same(albumentations, transform, Pad(size=size), image)
    np.testing.assert_array_equal(Pad(size=size).apply(image, RNG).pixels, reference(albumentations, transform, image)[0])


@pytest.mark.parametrize("make", [smooth, noise])
@pytest.mark.parametrize("size", [(48, 32), (50, 41), (7, 5), (95, 63), (1, 1)])
def test_shrinking_is_the_mean_over_areas(make: Any, size: tuple[int, int]) -> None:
    """Equal to OpenCV's to the bit, and within one level of the exact mean over each pixel's area."""
    pixels = make(96, 64)
    made = Resize(size=size, mode="exact").apply(Image(pixels), RNG).pixels
    np.testing.assert_array_equal(made, cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
    exact = np.einsum("yr,rcn,xc->yxn", shares(64, size[1]), pixels.astype(np.float64), shares(96, size[0]))
    assert np.abs(made - exact).max() <= 1


def shares(old: int, new: int) -> NDArray[np.float64]:
    """Return [new, old]: what part of each new pixel every old pixel makes up."""
    edges = np.linspace(0, old, new + 1)
    low = np.maximum(edges[:-1, None], np.arange(old)[None])
    high = np.minimum(edges[1:, None], np.arange(1, old + 1)[None])
    return np.maximum(0.0, high - low) * new / old


@pytest.mark.parametrize("make", [smooth, noise])
@pytest.mark.parametrize("size", [(48, 32), (24, 8), (1, 1)])
def test_shrinking_by_whole_ratios_is_pillows_box(make: Any, size: tuple[int, int]) -> None:
    """On noise too, to the rounding of one level: Pillow rounds after each direction."""
    pixels = make(96, 64)
    made = Resize(size=size, mode="exact").apply(Image(pixels), RNG).pixels
    box = np.asarray(Pillow.fromarray(pixels).resize(size, Pillow.Resampling.BOX))
    assert np.abs(made.astype(int) - box).max() <= 1


@pytest.mark.parametrize("make", [smooth, noise])
@pytest.mark.parametrize("size", [(192, 128), (97, 65), (300, 64)])
def test_enlarging_is_opencvs_cubic(make: Any, size: tuple[int, int]) -> None:
    """Equal to OpenCV's to the bit."""
    pixels = make(96, 64)
    made = Resize(size=size, mode="exact").apply(Image(pixels), RNG).pixels
    np.testing.assert_array_equal(made, cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC))


@settings(deadline=None, max_examples=60)
@given(sides=SIDES, size=st.integers(8, 120))
def test_modes_agree_with_albumentations(albumentations: ModuleType, sides: tuple[int, int], size: int) -> None:
    """`short` and `long` give the sizes of SmallestMaxSize and LongestMaxSize, to the rounding of a half."""
    pixels = smooth(*sides)
    for mode, transform in (("short", albumentations.SmallestMaxSize), ("long", albumentations.LongestMaxSize)):
        made = Resize(size=size, mode=mode).apply(Image(pixels), RNG).pixels
        other = transform(max_size=size)(image=pixels)["image"]
        assert np.abs(np.subtract(made.shape[:2], other.shape[:2])).max() <= 1
        assert size in made.shape[:2]
