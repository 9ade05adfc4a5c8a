"""`image.filter`: measures, limits, and the reasons for which pictures are turned away."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from mmdata.errors import RecipeError
from mmdata.record import Record, Reject
from mmdata.rng import rng_for
from mmdata.schema import FieldType, Schema
from mmdata.stages.image_filter import Filter
from mmdata.values import Box, Image
from tests.stages.pictures import SCHEMA, noise, record_of, smooth

RNG = rng_for(0, "test")


def measured(image: Image) -> Record:
    """The record of a picture with its measures."""
    result = Filter()(record_of(image), RNG)
    assert isinstance(result, Record)
    return result


def test_without_limits_it_only_measures() -> None:
    """The picture and its annotations stay the same object; the measures are those that `infer` declares."""
    image = Image(smooth(60, 40), (Box(1, 1, 5, 5),))
    record = measured(image)
    assert record["image"] is image
    assert record.measures["image.aspect"] == 1.5
    assert {name: type(value).__name__ for name, value in record.measures.items()} == Filter().infer(SCHEMA).measures


def test_measures_of_a_picture_without_anything() -> None:
    """One level has no sharpness, no entropy, no deviation, and nothing missing."""
    measures = measured(Image(np.full((8, 8, 3), 77, np.uint8))).measures
    assert measures == {
        "image.aspect": 1.0, "image.sharpness": 0.0, "image.entropy": 0.0, "image.deviation": 0.0, "image.broken": 0.0,
    }  # fmt: skip


def test_measures_are_those_of_their_definitions() -> None:
    """The deviation and entropy of noise in grey are those of its grey levels."""
    grey = np.random.default_rng(1).integers(0, 256, (50, 40), dtype=np.uint8)
    measures = measured(Image(np.repeat(grey[..., None], 3, axis=2))).measures
    assert measures["image.deviation"] == round(float(grey.std()), 3)
    shares = np.unique(grey, return_counts=True)[1] / grey.size
    assert measures["image.entropy"] == pytest.approx(-(shares * np.log2(shares)).sum(), abs=0.001)


@pytest.mark.parametrize(
    ("options", "reason", "detail"),
    [
        ({"minimum_width": 61}, "width below minimum", "60, not 61"),
        ({"maximum_width": 59}, "width above maximum", "60, not 59"),
        ({"minimum_height": 41}, "height below minimum", "40, not 41"),
        ({"maximum_height": 39}, "height above maximum", "40, not 39"),
        ({"minimum_aspect": 1.6}, "aspect below minimum", "1.5, not 1.6"),
        ({"maximum_aspect": 1.4}, "aspect above maximum", "1.5, not 1.4"),
        ({"minimum_sharpness": 1e5}, "sharpness below minimum", "not 100000"),
        ({"minimum_entropy": 8}, "entropy below minimum", "not 8"),
        ({"minimum_deviation": 127}, "deviation below minimum", "not 127"),
    ],
)
def test_each_limit_turns_pictures_away(options: dict[str, Any], reason: str, detail: str) -> None:
    """A measure beyond its limit is named with what was found; `apply` says the same."""
    image = Image(smooth(60, 40))
    result = Filter(**options)(record_of(image), RNG)
    assert isinstance(result, Reject)
    assert (result.kind, result.reason) == ("filtered", reason)
    assert result.detail.endswith(detail)
    assert Filter(**options).apply(image, RNG) == result


def test_a_broken_picture_is_turned_away() -> None:
    """A lower part of mid grey is found by its share."""
    pixels = noise(60, 40)
    pixels[30:] = 128
    assert Filter(maximum_broken=0.2)(record_of(Image(pixels)), RNG) == Reject(
        "filtered", "broken above maximum", "0.25, not 0.2"
    )


def test_a_measure_at_its_limit_passes() -> None:
    """Limits are part of what is allowed."""
    stage = Filter(
        minimum_width=60, maximum_width=60, minimum_height=40, minimum_aspect=1.5, maximum_aspect=1.5, maximum_broken=0
    )
    image = Image(smooth(60, 40))
    assert isinstance(stage(record_of(image), RNG), Record)
    assert stage.apply(image, RNG) is image


@pytest.mark.parametrize("options", [{"minimum_width": 5, "maximum_width": 4}, {"minimum_aspect": 2, "maximum_aspect": 0.5}])
def test_limits_that_leave_nothing_are_refused(options: dict[str, Any]) -> None:
    """A minimum above its maximum is a mistake in the recipe."""
    with pytest.raises(ValueError, match="is above"):
        Filter(**options)


def test_it_is_pure_and_can_be_pickled() -> None:
    """Same picture, same measures, input unchanged; a record without a picture passes; encoded pictures are refused."""
    image, stage = Image(noise(30, 20)), Filter(minimum_entropy=1)
    before = image.pixels.copy()
    assert measured(image).measures == measured(image).measures
    np.testing.assert_array_equal(image.pixels, before)
    assert pickle.loads(pickle.dumps(stage)) == stage
    record = record_of(None)
    assert stage(record, RNG) is record
    with pytest.raises(RecipeError, match=r"decode it first \(image.decode\)"):
        stage.infer(Schema({"image": FieldType("image", encoded=True)}))
