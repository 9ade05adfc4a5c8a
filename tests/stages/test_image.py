"""`image.resize` and `image.crop`: pixels against references, annotations, borders, and maps that lead back."""

from __future__ import annotations

import io
import pickle
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Pillow

from mmdata.errors import RecipeError, RecordError
from mmdata.lineage import composed
from mmdata.record import Origin, Record, Reject
from mmdata.rng import rng_for
from mmdata.schema import FieldType, Schema
from mmdata.stages.base import Stage
from mmdata.stages.image import Resize
from mmdata.stages.image_crop import Crop
from mmdata.stages.image_decode import Decode
from mmdata.values import Box, Image, Point

RNG = rng_for(0, "test")


def smooth(width: int, height: int) -> NDArray[np.uint8]:
    """A picture without sharp edges, on which good filters agree."""
    x, y = np.meshgrid(np.linspace(10, 240, width), np.linspace(10, 240, height))
    return np.stack([x, y, (x + y) / 2], axis=-1).astype(np.uint8)


def applied(stage: Resize | Crop, image: Image, *place: str) -> Image:
    """The picture that a stage makes of one; it must not reject it."""
    made = stage.apply(image, rng_for(0, *place))
    assert isinstance(made, Image)
    return made


def size_of(image: Image) -> tuple[int, int]:
    """Width and height in pixels."""
    return image.pixels.shape[1], image.pixels.shape[0]


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"size": 32}, (48, 32)),
        ({"size": 32, "mode": "long"}, (32, 21)),
        ({"size": 32, "mode": "exact"}, (32, 32)),
        ({"size": (30, 10), "mode": "exact"}, (30, 10)),
        ({"size": (30, 10), "mode": "short"}, (30, 20)),
        ({"size": (30, 10), "mode": "long"}, (15, 10)),
        ({"size": 128}, (192, 128)),
        ({"size": 128, "only_shrink": True}, (96, 64)),
        ({"size": (8, 128), "mode": "exact", "only_shrink": True}, (96, 64)),
        ({"size": 32, "only_shrink": True}, (48, 32)),
        ({"size": 1, "mode": "long"}, (1, 1)),
    ],
)
def test_resize_gives_the_size_its_mode_says(options: dict[str, Any], size: tuple[int, int]) -> None:
    """The deciding side gets exactly its size, the other one keeps the ratio, to the nearest pixel; and `infer` knows it."""
    stage = Resize(**options)
    assert size_of(applied(stage, Image(smooth(96, 64)))) == size
    known = FieldType("image", dtype="uint8", shape=(64, 96, 3))
    assert stage.infer_field(known).shape == (size[1], size[0], 3)


@given(width=st.integers(1, 300), height=st.integers(1, 300), size=st.integers(1, 200), mode=st.sampled_from(["short", "long"]))
def test_the_deciding_side_is_always_exact(width: int, height: int, size: int, mode: str) -> None:
    """Whatever the picture's size, rounding never misses the size that was asked for."""
    sides = Resize(size=size, mode=mode)._target(width, height)
    assert (min if mode == "short" else max)(sides) == size


@pytest.mark.parametrize("size", [(24, 16), (31, 17), (33, 64)])
def test_shrinking_agrees_with_pillows_box_filter(size: tuple[int, int]) -> None:
    """Shrinking averages over areas, as Pillow's box filter does."""
    pixels = smooth(96, 64)
    made = applied(Resize(size=size, mode="exact"), Image(pixels)).pixels
    reference = np.asarray(Pillow.fromarray(pixels).resize(size, Pillow.Resampling.BOX))
    assert np.abs(made.astype(int) - reference).max() <= 3
    np.testing.assert_array_equal(made, cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def test_shrinking_averages_every_pixel() -> None:
    """A chessboard shrinks to an even grey: no pixel is left out."""
    board = np.repeat((np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)
    assert np.abs(applied(Resize(size=8), Image(board)).pixels.astype(int) - 127).max() <= 1


def test_enlarging_agrees_with_pillows_cubic() -> None:
    """Enlarging interpolates by a cubic."""
    pixels = smooth(24, 16)
    made = applied(Resize(size=(72, 48), mode="exact"), Image(pixels)).pixels
    reference = np.asarray(Pillow.fromarray(pixels).resize((72, 48), Pillow.Resampling.BICUBIC))
    assert np.abs(made.astype(int) - reference).max() <= 4


def test_one_side_may_shrink_while_the_other_grows() -> None:
    """Stretching one way and shrinking the other still averages along the side that shrinks."""
    stripes = np.zeros((4, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    made = applied(Resize(size=(8, 16), mode="exact"), Image(stripes)).pixels
    assert made.shape == (16, 8, 3)
    assert np.abs(made.astype(int) - 128).max() <= 1


def test_resize_moves_boxes_by_the_ratio_of_the_sizes() -> None:
    """The scale is that of the sizes in whole pixels, so a box over all of the picture still covers all of it."""
    image = Image(smooth(97, 61), (Box(0, 0, 97, 61, "all"),), (Point(97, 61),))
    made = applied(Resize(size=20), image)
    assert made.boxes == (Box(0, 0, 32, 20, "all"),)
    assert made.points == (Point(32, 20),)
    assert made.lineage[0].map.to_json() == [32 / 97, 0, 0, 0, 20 / 61, 0]


def test_a_picture_of_the_right_size_is_left_alone() -> None:
    """Nothing to do adds no step to the lineage."""
    image = Image(smooth(48, 32))
    assert applied(Resize(size=32), image) is image


def test_a_thin_picture_is_not_blown_up_without_limit() -> None:
    """A line of pixels cannot get a long short side: that would be a picture of millions of columns."""
    with pytest.raises(RecordError, match="picture would have too many pixels"):
        Resize(size=30000).apply(Image(np.zeros((1, 4000, 3), np.uint8)), RNG)


def test_center_crop_takes_the_middle() -> None:
    """The crop is the middle of the picture; an odd pixel over is left at the right and the bottom."""
    pixels = smooth(11, 9)
    np.testing.assert_array_equal(applied(Crop(size=(4, 6)), Image(pixels)).pixels, pixels[1:7, 3:7])


def test_crop_carries_clips_and_removes_annotations() -> None:
    """Boxes inside move, boxes across the border are clipped and marked, those outside are removed and counted."""
    boxes = (Box(4, 4, 6, 6, "inside"), Box(0, 4, 6, 6, "across"), Box(0, 0, 2, 2, "outside"))
    made = applied(Crop(size=4), Image(smooth(10, 10), boxes, (Point(5, 5, "in"), Point(0, 0, "out"))))
    assert made.boxes == (Box(1, 1, 3, 3, "inside"), Box(0, 1, 3, 3, "across", clipped=True))
    assert made.points == (Point(2, 2, "in"),)
    assert made.lineage[0].removed == 2


def test_random_crop_is_a_function_of_its_generator() -> None:
    """The same generator gives the same crop, and over many every place comes up, the last ones too."""
    image = Image(smooth(12, 10))
    stage = Crop(size=8, mode="random")
    first, second = (applied(stage, image, "a").pixels for _ in range(2))
    np.testing.assert_array_equal(first, second)
    places = {tuple(applied(stage, image, str(key)).lineage[0].map.to_json()[2::3]) for key in range(300)}
    assert places == {(-x, -y) for x in range(5) for y in range(3)}


def test_box_crop_takes_the_hull_of_the_boxes_with_a_label() -> None:
    """The hull of the boxes with the label, grown by the margin, in whole pixels, inside the picture."""
    boxes = (Box(10.5, 10, 20, 20, "cat"), Box(15, 12, 30, 18, "cat"), Box(0, 0, 50, 40, "sofa"))
    image = Image(smooth(50, 40), boxes)
    made = applied(Crop(mode="box", label="cat"), image)
    np.testing.assert_array_equal(made.pixels, image.pixels[10:20, 10:30])
    assert made.boxes[:2] == (Box(0.5, 0, 10, 10, "cat"), Box(5, 2, 20, 8, "cat"))
    assert size_of(applied(Crop(mode="box", label="cat", margin=0.5), image)) == (40, 20)
    assert size_of(applied(Crop(mode="box", label="cat", margin=10), image)) == (50, 40)
    assert size_of(applied(Crop(mode="box"), image)) == (50, 40)


def test_box_crop_without_a_box_is_filtered() -> None:
    """A picture without a box of the label is rejected as filtered, not as an error."""
    image = Image(smooth(50, 40), (Box(0, 0, 5, 5, "dog"),))
    assert Crop(mode="box", label="cat").apply(image, RNG) == Reject("filtered", "no box to crop to", "label 'cat'")
    assert Crop(mode="box").apply(Image(smooth(5, 5)), RNG) == Reject("filtered", "no box to crop to")


def test_a_smaller_picture_is_padded_evenly() -> None:
    """Padding has the background's colour, stands on both sides, and shifts the boxes."""
    image = Image(smooth(4, 10), (Box(0, 0, 4, 10, "all"),))
    made = applied(Crop(size=(9, 6), background="#0a141e"), image)
    assert size_of(made) == (9, 6)
    np.testing.assert_array_equal(made.pixels[:, 2:6], image.pixels[2:8])
    assert (made.pixels[:, [0, 1, 6, 7, 8]] == (10, 20, 30)).all()
    assert made.boxes == (Box(2, 0, 6, 6, "all", clipped=True),)


def test_padding_does_not_bring_removed_boxes_back() -> None:
    """A box that lies beyond the cut side of a padded picture is removed."""
    made = applied(Crop(size=(9, 6)), Image(smooth(4, 10), (Box(0, 0, 4, 2, "above"),)))
    assert (made.boxes, made.lineage[0].removed) == ((), 1)


def test_a_smaller_picture_may_be_kept_or_refused() -> None:
    """`keep` crops only the sides that are larger, `error` rejects the picture."""
    image = Image(smooth(4, 10))
    assert size_of(applied(Crop(size=6, smaller="keep"), image)) == (4, 6)
    with pytest.raises(RecordError, match="picture is smaller than the crop"):
        Crop(size=6, smaller="error").apply(image, RNG)


@pytest.mark.parametrize(
    "options",
    [{"mode": "box", "size": 4}, {}, {"mode": "random"}, {"size": 0}, {"size": (4, 4, 4)}, {"size": 4, "label": "cat"}],
)
def test_crop_options_that_do_not_fit_are_refused(options: dict[str, Any]) -> None:
    """A size is needed where it decides and is an error where the boxes do; a label needs the mode that looks at it."""
    with pytest.raises(ValueError, match=r"(size|label)"):
        Crop(**options)


@pytest.mark.parametrize(
    ("stage", "shape"),
    [
        (Resize(size=32), (None, None, 3)),
        (Resize(size=(32, 16), mode="exact"), (16, 32, 3)),
        (Resize(size=(32, 16), mode="exact", only_shrink=True), (None, None, 3)),
        (Crop(size=(32, 16)), (16, 32, 3)),
        (Crop(size=(32, 16), mode="random", smaller="error"), (16, 32, 3)),
        (Crop(size=(32, 16), smaller="keep"), (None, None, 3)),
        (Crop(mode="box"), (None, None, 3)),
    ],
)
def test_infer_agrees_with_what_is_made(stage: Resize | Crop, shape: tuple[int | None, ...]) -> None:
    """The sides that `infer` names are those of every picture made; the input stays as it is, the same bytes come twice."""
    type_ = stage.infer(Schema({"image": FieldType("image", dtype="uint8", shape=(None, None, 3))})).fields["image"]
    assert type_ == FieldType("image", dtype="uint8", shape=shape)
    for width, height in ((40, 30), (100, 64), (33, 90)):
        image = Image(smooth(width, height), (Box(1, 1, 9, 9),))
        before, record = image.pixels.copy(), Record("a", {"image": image}, Origin(0, "a", "train", "a"))
        first, second = (stage(record, rng_for(1)) for _ in range(2))
        assert isinstance(first, Record)
        assert isinstance(second, Record)
        made = first["image"]
        assert isinstance(made, Image)
        assert all(expected in (None, found) for expected, found in zip(shape, made.pixels.shape, strict=True))
        np.testing.assert_array_equal(made.pixels, second["image"].pixels)  # type: ignore[union-attr]
        np.testing.assert_array_equal(image.pixels, before)


def test_crop_infers_from_sides_that_are_known() -> None:
    """Where the picture's sides are fixed, `keep` has fixed sides too."""
    known = FieldType("image", dtype="uint8", shape=(10, 4, 3))
    assert Crop(size=6, smaller="keep").infer_field(known).shape == (6, 4, 3)
    assert Crop(size=6).infer_field(known).shape == (6, 6, 3)


@pytest.mark.parametrize("stage", [Resize(size=8), Crop(size=8)])
def test_fields_that_do_not_fit_are_refused(stage: Stage) -> None:
    """An encoded picture must be decoded first, and the error says by which stage; other kinds are refused."""
    with pytest.raises(RecipeError, match=r"decode it first \(image.decode\)"):
        stage.infer(Schema({"image": FieldType("image", encoded=True)}))
    with pytest.raises(RecipeError, match="is of kind audio"):
        stage.infer(Schema({"image": FieldType("audio")}))


@pytest.mark.parametrize("stage", [Resize(size=(8, 9), mode="exact"), Crop(mode="box", label="cat")])
def test_stages_can_be_pickled(stage: Stage) -> None:
    """A stage crosses process borders unchanged."""
    assert pickle.loads(pickle.dumps(stage)) == stage


STAGES = st.one_of(
    st.builds(Resize, size=st.integers(20, 90), mode=st.sampled_from(["short", "long"]), only_shrink=st.booleans()),
    st.builds(Resize, size=st.tuples(st.integers(20, 90), st.integers(20, 90)), mode=st.just("exact")),
    st.builds(
        Crop,
        size=st.integers(10, 90),
        mode=st.sampled_from(["center", "random"]),
        smaller=st.sampled_from(["pad", "keep"]),
    ),
)


@given(
    size=st.tuples(st.integers(8, 80), st.integers(8, 80)),
    orientation=st.integers(1, 8),
    stages=st.lists(STAGES, max_size=4),
    corners=st.lists(st.floats(0, 1), min_size=4, max_size=4),
    seed=st.integers(0, 1000),
)
def test_boxes_lead_back_to_the_raw_picture(
    size: tuple[int, int], orientation: int, stages: list[Resize | Crop], corners: list[float], seed: int
) -> None:
    """Through any chain of stages, a box that was not clipped comes back to its raw place within one pixel."""
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    Pillow.new("RGB", size).save(out, "PNG", exif=exif)
    left, right = sorted((corners[0] * size[0], corners[1] * size[0]))
    top, bottom = sorted((corners[2] * size[1], corners[3] * size[1]))
    image = Decode().apply(Image(out.getvalue(), (Box(left, top, right, bottom, "box"),)), RNG)
    for stage in stages:
        image = applied(stage, image, str(seed))
    for box in image.boxes:
        assert 0 <= box.left < box.right <= image.pixels.shape[1]
        assert 0 <= box.top < box.bottom <= image.pixels.shape[0]
        if not box.clipped:
            places = composed(image.lineage).backward(np.array([[box.left, box.top], [box.right, box.bottom]]))  # type: ignore[union-attr, arg-type]
            np.testing.assert_allclose(np.sort(places, axis=0), np.array([[left, top], [right, bottom]]), atol=1)
