"""`image.crop` by grid and by salience; its other modes stand in `test_image`."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdata.errors import RecordError
from mmdata.pipeline import Pipeline
from mmdata.record import Record
from mmdata.rng import rng_for
from mmdata.stages.image_crop import Crop
from mmdata.stages.image_hash import Hash
from mmdata.values import Box, Image, Point
from tests.stages.pictures import SCHEMA, disc, image_of, images_of, noise, record_of, smooth

RNG = rng_for(0, "test")


def cells(stage: Crop, image: Image) -> list[Image]:
    """The cells that a grid makes of a picture."""
    return images_of(stage(record_of(image), RNG))


def place_of(image: Image) -> tuple[int, int]:
    """Left and top of a crop in the picture it was cut from."""
    left, top = image.lineage[-1].map.to_json()[2::3]
    return -int(left), -int(top)  # type: ignore[call-overload]


def test_a_grid_makes_one_picture_of_each_cell() -> None:
    """Cells come row by row from the top left; what they leave at the right and the bottom is dropped."""
    pixels = noise(10, 7)
    made = cells(Crop(size=(4, 3), mode="grid"), Image(pixels))
    assert [place_of(cell) for cell in made] == [(0, 0), (4, 0), (0, 3), (4, 3)]
    for cell in made:
        left, top = place_of(cell)
        np.testing.assert_array_equal(cell.pixels, pixels[top : top + 3, left : left + 4])


def test_a_stride_makes_cells_overlap() -> None:
    """A stride shorter than the cell makes cells overlap, a longer one leaves gaps."""
    image = Image(noise(8, 6))
    assert [place_of(cell) for cell in cells(Crop(size=4, mode="grid", stride=2), image)] == [
        (0, 0), (2, 0), (4, 0), (0, 2), (2, 2), (4, 2),
    ]  # fmt: skip
    assert [place_of(cell) for cell in cells(Crop(size=2, mode="grid", stride=(5, 9)), image)] == [(0, 0), (5, 0)]


@settings(deadline=None)
@given(sides=st.tuples(st.integers(1, 60), st.integers(1, 60)), size=st.integers(1, 30), stride=st.integers(1, 30))
def test_a_covering_grid_leaves_no_pixel_out(sides: tuple[int, int], size: int, stride: int) -> None:
    """With `rest: cover` and no gaps, every pixel lies in a cell, every cell inside the picture, and no cell comes twice."""
    seen = np.zeros((sides[1], sides[0]), bool)
    made = cells(Crop(size=size, mode="grid", stride=min(stride, size), rest="cover", smaller="keep"), Image(smooth(*sides)))
    for cell in made:
        left, top = place_of(cell)
        seen[top : top + cell.pixels.shape[0], left : left + cell.pixels.shape[1]] = True
        assert cell.pixels.shape[:2] == (min(size, sides[1]), min(size, sides[0]))
    assert seen.all()
    assert len({place_of(cell) for cell in made}) == len(made)


def test_each_cell_has_its_own_annotations() -> None:
    """A box lies in the cells that it reaches into, clipped there, and is counted as removed in the others."""
    image = Image(smooth(8, 4), (Box(1, 1, 6, 3, "across"),), (Point(7, 1),))
    left, right = cells(Crop(size=4, mode="grid"), image)
    assert (left.boxes, left.points, left.lineage[-1].removed) == ((Box(1, 1, 4, 3, "across", clipped=True),), (), 1)
    assert (right.boxes, right.points) == ((Box(0, 1, 2, 3, "across", clipped=True),), (Point(3, 1),))


def test_a_grid_of_a_small_picture_is_one_cell() -> None:
    """It is padded, kept or refused, as any crop."""
    image = Image(smooth(4, 3))
    assert [cell.pixels.shape for cell in cells(Crop(size=6, mode="grid"), image)] == [(6, 6, 3)]
    assert [cell.pixels.shape for cell in cells(Crop(size=6, mode="grid", smaller="keep"), image)] == [(3, 4, 3)]
    with pytest.raises(RecordError, match="picture is smaller than the crop"):
        Crop(size=6, mode="grid", smaller="error").apply(image, RNG)


def test_a_grid_has_no_more_cells_than_keys_can_name() -> None:
    """Ten thousand cells fit into four digits; more are refused before any is cut."""
    with pytest.raises(RecordError, match="grid has too many cells: 101 x 100"):
        Crop(size=1, mode="grid").apply(Image(np.zeros((100, 101, 3), np.uint8)), RNG)


def test_the_pipeline_names_the_cells() -> None:
    """Each cell is a record of its own with a suffix on its key, and goes on through the later stages."""
    stages = [Crop(size=4, mode="grid"), Hash()]
    run = Pipeline(stages, ["crop", "hash"], 0)
    results = list(run(record_of(Image(noise(8, 4)))))
    assert [result.key for result in results if isinstance(result, Record)] == ["a-0000", "a-0001"]
    assert len({result.measures["image.phash"] for result in results if isinstance(result, Record)}) == 2


@pytest.mark.parametrize("centre", [(40, 40), (270, 60), (60, 190), (250, 180)])
def test_the_salient_place_is_where_something_stands_out(centre: tuple[int, int]) -> None:
    """The crop holds the disc, wherever in the picture it stands."""
    made = image_of(Crop(size=120, mode="salient")(record_of(Image(disc(320, 240, centre, 25))), RNG))
    assert made.pixels.shape == (120, 120, 3)
    left, top = place_of(made)
    assert left <= centre[0] - 25 < centre[0] + 25 <= left + 120
    assert top <= centre[1] - 25 < centre[1] + 25 <= top + 120


@pytest.mark.parametrize("colour", [0, 128, 255])
def test_an_even_picture_is_cropped_at_its_centre(colour: int) -> None:
    """Where nothing stands out, rounding errors do not either."""
    image = Image(np.full((90, 130, 3), colour, np.uint8))
    assert place_of(image_of(Crop(size=50, mode="salient")(record_of(image), RNG))) == (40, 20)


@settings(deadline=None)
@given(sides=st.tuples(st.integers(1, 200), st.integers(1, 200)), size=st.tuples(st.integers(1, 90), st.integers(1, 90)))
def test_a_salient_crop_lies_inside(sides: tuple[int, int], size: tuple[int, int]) -> None:
    """For every size of picture and crop; the other side is padded."""
    image = Image(noise(*sides), (Box(0, 0, *sides),))
    made = image_of(Crop(size=size, mode="salient")(record_of(image), RNG))
    assert made.pixels.shape == (size[1], size[0], 3)
    box = made.boxes[0]
    assert (box.right - box.left, box.bottom - box.top) == (min(size[0], sides[0]), min(size[1], sides[1]))


@pytest.mark.parametrize("stage", [Crop(size=8, mode="grid", stride=6), Crop(size=8, mode="salient")])
def test_a_crop_is_pure_and_infer_agrees(stage: Crop) -> None:
    """The same picture gives the same pixels, whatever the generator, is left unchanged, and has the sides `infer` says."""
    image = Image(noise(21, 17))
    before = image.pixels.copy()
    first, second = (stage(record_of(image), rng_for(seed)) for seed in (1, 2))
    made = [images_of(out if isinstance(out, list) else [out]) for out in (first, second)]
    assert stage.infer(SCHEMA).fields["image"].shape == (8, 8, 3)
    for one, other in zip(*made, strict=True):
        assert one.pixels.shape == (8, 8, 3)
        np.testing.assert_array_equal(one.pixels, other.pixels)
    np.testing.assert_array_equal(image.pixels, before)
    assert pickle.loads(pickle.dumps(stage)) == stage


@pytest.mark.parametrize("mode", ["center", "random", "salient", "grid"])
def test_a_record_without_a_picture_passes(mode: Any) -> None:
    """An optional field that is absent is no error, in modes that draw numbers and make several records too."""
    record = record_of(None)
    assert Crop(size=4, mode=mode)(record, RNG) is record
    assert list(Pipeline([Crop(size=4, mode=mode)], ["crop"], 0)(record)) == [record]


@pytest.mark.parametrize("options", [{"mode": "grid"}, {"size": 4, "stride": 2}, {"size": 4, "mode": "salient", "rest": "cover"}])
def test_options_that_do_not_fit_are_refused(options: dict[str, Any]) -> None:
    """A grid needs the size of its cells; stride and rest are its own."""
    with pytest.raises(ValueError, match=r"(needs a size|for mode grid)"):
        Crop(**options)
