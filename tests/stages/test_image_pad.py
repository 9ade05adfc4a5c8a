"""`image.pad`: sizes, ratios, places, and annotations that follow."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageOps

from mmdata.errors import RecipeError, RecordError
from mmdata.rng import rng_for
from mmdata.schema import FieldType, Schema
from mmdata.stages.image_pad import Pad
from mmdata.values import Box, Image, Point
from tests.stages.pictures import SCHEMA, image_of, record_of, smooth

RNG = rng_for(0, "test")


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"size": 40}, (40, 40)),
        ({"size": (50, 20)}, (50, 20)),
        ({"size": (50, 5), "larger": "keep"}, (50, 20)),
        ({"aspect": (1, 1)}, (30, 30)),
        ({"aspect": (16, 9)}, (36, 20)),
        ({"aspect": (9, 16)}, (30, 54)),
        ({"aspect": (3, 2)}, (30, 20)),
    ],
)
def test_a_picture_grows_to_its_size_or_ratio(options: dict[str, Any], size: tuple[int, int]) -> None:
    """The side that is short grows, rounded up; the pixels stand in the centre, unchanged; and `infer` knows the size."""
    image = Image(smooth(30, 20))
    made = Pad(background="#0a141e", **options).apply(image, RNG)
    assert made.pixels.shape == (size[1], size[0], 3)
    left, top = (size[0] - 30) // 2, (size[1] - 20) // 2
    np.testing.assert_array_equal(made.pixels[top : top + 20, left : left + 30], image.pixels)
    border = np.ones(made.pixels.shape[:2], bool)
    border[top : top + 20, left : left + 30] = False
    assert (made.pixels[border] == (10, 20, 30)).all()
    assert Pad(**options).infer_field(FieldType("image", dtype="uint8", shape=(20, 30, 3))).shape == made.pixels.shape


def test_padding_agrees_with_pillows() -> None:
    """Where only one side grows, by an even number, `PIL.ImageOps.pad` gives the same pixels."""
    pixels = smooth(30, 20)
    made = Pad(size=30, background="#804020").apply(Image(pixels), RNG).pixels
    np.testing.assert_array_equal(made, np.asarray(ImageOps.pad(Pillow.fromarray(pixels), (30, 30), color="#804020")))


@settings(deadline=None)
@given(
    sides=st.tuples(st.integers(1, 80), st.integers(1, 80)),
    aspect=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    place=st.sampled_from(["center", "top left"]),
)
def test_annotations_follow_and_none_is_lost(sides: tuple[int, int], aspect: tuple[int, int], place: Any) -> None:
    """Whatever the ratio, boxes and points move with the pixels, whole, and the ratio is as near as whole pixels allow."""
    image = Image(smooth(*sides), (Box(0, 0, *sides, "all"),), (Point(*sides),))
    made = Pad(aspect=aspect, place=place).apply(image, RNG)
    height, width = made.pixels.shape[:2]
    assert width == sides[0] or height == sides[1]
    assert abs(width * aspect[1] - height * aspect[0]) < max(aspect)
    box, point = made.boxes[0], made.points[0]
    assert (box.right - box.left, box.bottom - box.top, box.clipped) == (*sides, False)
    assert (point.x, point.y) == (box.right, box.bottom)
    np.testing.assert_array_equal(made.pixels[int(box.top) : int(box.bottom), int(box.left) : int(box.right)], image.pixels)
    assert place == "center" or (box.left, box.top) == (0, 0)


def test_a_picture_that_fits_is_left_alone() -> None:
    """Nothing to do adds no step to the lineage."""
    image = Image(smooth(30, 20))
    assert Pad(size=(30, 20)).apply(image, RNG) is image
    assert Pad(aspect=(3, 2)).apply(image, RNG) is image


def test_pictures_too_large_are_refused() -> None:
    """A picture larger than the size, and one whose border would have no end."""
    with pytest.raises(RecordError, match="picture is larger than the padding: 30 x 20, not 40 x 10"):
        Pad(size=(40, 10)).apply(Image(smooth(30, 20)), RNG)
    with pytest.raises(RecordError, match="picture would have too many pixels"):
        Pad(aspect=(1, 1)).apply(Image(np.zeros((1, 20_000, 3), np.uint8)), RNG)


@pytest.mark.parametrize(
    "options", [{}, {"size": 4, "aspect": (1, 1)}, {"aspect": (1, 1), "larger": "keep"}, {"aspect": (0, 1)}, {"size": 0}]
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any]) -> None:
    """A size or a ratio, not both, and no side of 0."""
    with pytest.raises(ValueError, match=r"(size|aspect)"):
        Pad(**options)


def test_infer_names_the_sides_that_are_known() -> None:
    """A size fixes both sides unless larger pictures keep theirs; a ratio fixes none. Encoded pictures are refused."""
    shapes = [
        stage.infer(SCHEMA).fields["image"].shape for stage in (Pad(size=8), Pad(size=8, larger="keep"), Pad(aspect=(1, 1)))
    ]
    assert shapes == [(8, 8, 3), (None, None, 3), (None, None, 3)]
    with pytest.raises(RecipeError, match=r"decode it first \(image.decode\)"):
        Pad(size=8).infer(Schema({"image": FieldType("image", encoded=True)}))


def test_padding_is_pure() -> None:
    """The same picture gives the same pixels and is left unchanged; the stage can be pickled; no picture, no change."""
    image, stage = Image(smooth(5, 9)), Pad(aspect=(1, 1))
    before = image.pixels.copy()
    first, second = (image_of(stage(record_of(image), rng_for(seed))) for seed in (1, 2))
    np.testing.assert_array_equal(first.pixels, second.pixels)
    np.testing.assert_array_equal(image.pixels, before)
    assert pickle.loads(pickle.dumps(stage)) == stage
    record = record_of(None)
    assert stage(record, RNG) is record
