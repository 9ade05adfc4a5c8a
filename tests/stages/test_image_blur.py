"""`image.blur` and `image.blur_faces`: what is blurred, what stays, and that faces are gone."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mmdata.errors import RecipeError
from mmdata.record import Record
from mmdata.rng import rng_for
from mmdata.schema import FieldType, Schema
from mmdata.stages.base import Stage
from mmdata.stages.image_blur import Blur, BlurFaces
from mmdata.values import Box, Image, Point
from mmdata.vision.faces import find_faces
from tests.stages.pictures import SCHEMA, image_of, noise, record_of

RNG = rng_for(0, "test")
BOXES = (Box(4, 6, 20, 18, "plate"), Box(30, 2, 44, 30, "car"))


def changed(before: Image, after: Image) -> tuple[int, int, int, int]:
    """The hull of the pixels that differ: left, top, right, bottom."""
    rows, columns = np.nonzero((before.pixels != after.pixels).any(axis=2))
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def portrait() -> NDArray[np.uint8]:
    """NASA's portrait of Eileen Collins, in the public domain; one face."""
    path = Path(__file__).parent.parent / "vision" / "astronaut.jpg"
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB), np.uint8)


@pytest.mark.parametrize(
    ("options", "hull"),
    [
        ({"label": "plate"}, (4, 6, 20, 18)),
        ({"label": "car"}, (30, 2, 44, 30)),
        ({}, (4, 2, 44, 30)),
        ({"label": "plate", "margin": 0.5}, (0, 0, 28, 24)),
        ({"region": "picture"}, (0, 0, 50, 40)),
    ],
)
def test_only_the_regions_change(options: dict[str, Any], hull: tuple[int, int, int, int]) -> None:
    """Pixels inside of the boxes change, those outside stay, and so do boxes, points and lineage."""
    image = Image(noise(50, 40), BOXES, (Point(1, 1),))
    made = Blur(**options).apply(image, RNG)
    assert changed(image, made) == hull
    assert (made.boxes, made.points, made.lineage) == (image.boxes, image.points, image.lineage)


def test_a_stronger_blur_leaves_less() -> None:
    """The deviation of the levels inside falls with the strength, and the result does not hang on what is outside."""
    image = Image(noise(50, 40), BOXES[:1])
    left = [Blur(strength=s).apply(image, RNG).pixels[6:18, 4:20].std() for s in (0.05, 0.1, 0.25, 1)]
    assert left == sorted(left, reverse=True)
    other = image.pixels.copy()
    other[:, 25:] = 0
    np.testing.assert_array_equal(
        Blur().apply(image, RNG).pixels[6:18, 4:20], Blur().apply(Image(other, BOXES[:1]), RNG).pixels[6:18, 4:20]
    )


@settings(deadline=None)
@given(edges=st.lists(st.floats(0, 40), min_size=4, max_size=4), strength=st.floats(0.01, 1), margin=st.floats(0, 1))
def test_every_box_can_be_blurred(edges: list[float], strength: float, margin: float) -> None:
    """Boxes between pixels, thin ones and ones at the border: no pixel farther away than the margin changes."""
    left, right = sorted(edges[:2])
    top, bottom = sorted(edges[2:])
    image = Image(noise(40, 40), (Box(left, top, right, bottom),))
    made = Blur(strength=strength, margin=margin).apply(image, RNG)
    outside = np.ones((40, 40), bool)
    across, down = (right - left) * margin + 1, (bottom - top) * margin + 1
    outside[max(0, int(top - down)) : int(bottom + down) + 1, max(0, int(left - across)) : int(right + across) + 1] = False
    np.testing.assert_array_equal(made.pixels[outside], image.pixels[outside])


def test_a_picture_without_such_boxes_is_left_alone() -> None:
    """No box of the label, no copy."""
    image = Image(noise(50, 40), BOXES)
    assert Blur(label="face").apply(image, RNG) is image


def test_a_face_is_blurred_counted_and_kept_as_a_box() -> None:
    """The box of the face joins the others; what it holds, with the margin, changes and is no longer found as a face."""
    image = Image(portrait(), (Box(0, 0, 9, 9, "corner"),))
    record = BlurFaces()(record_of(image), RNG)
    assert isinstance(record, Record)
    assert record.measures == {"image.faces": 1}
    made = image_of(record)
    corner, face = made.boxes
    assert (corner.label, face.label, face.clipped) == ("corner", "face", False)
    left, top, right, bottom = changed(image, made)
    assert (left, top, right, bottom) == pytest.approx((face.left - 13, face.top - 16, face.right + 13, face.bottom + 16), abs=3)
    assert find_faces(made.pixels, 0.7) == []
    assert made.lineage == ()


def test_boxes_of_faces_may_be_left_out_or_renamed() -> None:
    """The measure stays either way."""
    image = Image(portrait())
    without = BlurFaces(keep_boxes=False)(record_of(image), RNG)
    assert (image_of(without).boxes, without.measures) == ((), {"image.faces": 1})  # type: ignore[union-attr]
    assert [box.label for box in BlurFaces(label="person").apply(image, RNG).boxes] == ["person"]


def test_a_picture_without_faces_is_left_alone() -> None:
    """It is the same object, and its count is 0."""
    image = Image(noise(60, 50))
    record = BlurFaces()(record_of(image), RNG)
    assert isinstance(record, Record)
    assert record["image"] is image
    assert record.measures == {"image.faces": 0}


def test_infer_declares_the_measure() -> None:
    """`blur_faces` adds a count, `blur` nothing; the type of the picture stays."""
    assert BlurFaces().infer(SCHEMA).measures == {"image.faces": "int"}
    assert Blur().infer(SCHEMA) == SCHEMA
    assert BlurFaces().infer(SCHEMA).fields == SCHEMA.fields


@pytest.mark.parametrize("stage", [Blur(label="plate"), BlurFaces()])
def test_blurring_is_pure(stage: Stage) -> None:
    """Same picture, same pixels, input unchanged; picklable; a record without a picture passes; encoded ones are refused."""
    image = Image(portrait(), BOXES)
    before = image.pixels.copy()
    first, second = (image_of(stage(record_of(image), rng_for(seed))) for seed in (1, 2))
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert (first.pixels != before).any()
    np.testing.assert_array_equal(image.pixels, before)
    assert pickle.loads(pickle.dumps(stage)) == stage
    record = record_of(None)
    assert stage(record, RNG) is record
    with pytest.raises(RecipeError, match=r"decode it first \(image.decode\)"):
        stage.infer(Schema({"image": FieldType("image", encoded=True)}))


@pytest.mark.parametrize("options", [{"region": "picture", "label": "a"}, {"region": "picture", "margin": 0.1}, {"strength": 0}])
def test_options_that_do_not_fit_are_refused(options: dict[str, Any]) -> None:
    """Labels and margins belong to boxes; a blur of no width is none."""
    with pytest.raises(ValueError, match=r"(region|strength)"):
        Blur(**options)
