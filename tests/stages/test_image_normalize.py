"""`image.normalize`: exact statistics whatever the division of rows, and both outputs."""

from __future__ import annotations

import json
import math
import pickle
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mmdata.errors import RecipeError
from mmdata.record import Origin, Record
from mmdata.rng import rng_for
from mmdata.schema import FieldType, Schema
from mmdata.stages.image_normalize import Normalize
from mmdata.values import Array, Image

RNG = rng_for(0, "test")
FILE = "image-statistics.json"


def noise(key: int, width: int = 7, height: int = 5) -> NDArray[np.uint8]:
    """Random pixels."""
    return rng_for(key, "noise").integers(0, 256, (height, width, 3), dtype=np.uint8)


def record(pixels: NDArray[np.uint8]) -> Record:
    """A record with one picture."""
    return Record("a", {"image": Image(pixels)}, Origin(0, "a", "train", "a"))


RECORDS = [record(noise(key, 3 + key, 9 - key)) for key in range(6)]


def learned(stage: Normalize, parts: list[list[Record]]) -> dict[str, bytes]:
    """What the stage learns from records divided into these parts."""
    return stage.reduce(pa.concat_tables([stage.observe(part) for part in parts]))


def test_statistics_are_those_of_all_pixels() -> None:
    """Mean and deviation agree with numpy's over all pixels of all pictures, each pixel counting the same."""
    found = json.loads(learned(Normalize(), [RECORDS])[FILE])
    pixels = np.concatenate([one["image"].pixels.reshape(-1, 3) for one in RECORDS]) / 255  # type: ignore[union-attr]
    np.testing.assert_allclose(found["mean"], pixels.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found["deviation"], pixels.std(axis=0), rtol=1e-12)
    assert found["pixels"] == len(pixels)


@given(cuts=st.lists(st.integers(0, 6), max_size=4), order=st.permutations(range(6)))
def test_any_division_and_order_of_rows_gives_the_same_bytes(cuts: list[int], order: list[int]) -> None:
    """The learned file is the same bytes for any tasks, empty ones among them."""
    shuffled = [RECORDS[number] for number in order]
    borders = [0, *sorted(cuts), 6]
    parts = [shuffled[low:high] for low, high in pairwise(borders)]
    assert learned(Normalize(), parts) == learned(Normalize(), [RECORDS])


def test_observations_are_whole_numbers_and_exact() -> None:
    """One row a record: the count of pixels, sums and sums of squares, as int64."""
    pixels = noise(1, 640, 480)
    table = Normalize().observe([record(pixels)])
    assert set(table.schema.types) == {pa.int64()}
    wide = pixels.reshape(-1, 3).astype(np.int64)
    assert list(table.to_pylist()[0].values()) == [640 * 480, *wide.sum(axis=0), *(wide**2).sum(axis=0)]


def test_many_pixels_do_not_overflow() -> None:
    """Sums beyond 64 bits are still exact: the totals are taken in unbounded integers."""
    pixels = 1 << 46
    row = {"pixels": pixels} | {f"sum_{c}": 255 * pixels for c in ("red", "green", "blue")}
    row |= {f"squares_{c}": 255 * 255 * pixels for c in ("red", "green", "blue")}
    found = json.loads(Normalize().reduce(pa.Table.from_pylist([row] * 5))[FILE])
    assert found == {"mean": [1.0] * 3, "deviation": [0.0] * 3, "pixels": 5 * pixels}


def test_the_file_is_canonical_json() -> None:
    """Sorted keys and no spaces, so that equal statistics are equal bytes."""
    content = learned(Normalize(), [RECORDS])[FILE]
    assert content == json.dumps(json.loads(content), sort_keys=True, separators=(",", ":")).encode()


def test_a_corpus_without_pictures_is_refused() -> None:
    """Statistics of nothing would be no numbers."""
    with pytest.raises(RecipeError, match="no picture of field 'image'"):
        learned(Normalize(), [[]])


def test_records_without_a_picture_teach_nothing_and_pass() -> None:
    """A part of a text that has lost its picture to the first part is one, for instance."""
    bare = record(noise(0)).without("image")
    with_it = [record(noise(1)), record(noise(2))]
    assert learned(Normalize(), [[with_it[0], bare, with_it[1]], [bare]]) == learned(Normalize(), [with_it])
    for output in ("statistics", "array"):
        stage = Normalize(output=output, mean=(0.5, 0.5, 0.5), deviation=(0.2, 0.2, 0.2))
        assert stage(bare, rng_for(0)) is bare


def test_output_statistics_leaves_the_record_as_it_is() -> None:
    """By default the pixels stay; the statistics are for the loader and for the description of the dataset."""
    stage = Normalize()
    assert stage.needs_fit
    fitted = stage.fitted(learned(stage, [RECORDS]))
    assert not fitted.needs_fit
    assert fitted(RECORDS[0], RNG) is RECORDS[0]
    found = json.loads(fitted.learned[FILE])
    assert fitted.statistics() == {"image": {"mean": found["mean"], "deviation": found["deviation"]}}


def test_output_array_is_normalized_by_channel() -> None:
    """The array is (pixels / 255 - mean) / deviation, float32 [3, height, width]; over the corpus it has mean 0, deviation 1."""
    stage = Normalize(output="array")
    fitted = stage.fitted(learned(stage, [RECORDS]))
    arrays = [fitted(one, RNG)["image"] for one in RECORDS]
    values = np.concatenate([one.array.reshape(3, -1) for one in arrays if isinstance(one, Array)], axis=1)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values.mean(axis=1, dtype=np.float64), 0, atol=1e-6)
    np.testing.assert_allclose(values.std(axis=1, dtype=np.float64), 1, atol=1e-6)


def test_given_statistics_need_no_fit() -> None:
    """Mean and deviation from the options are applied as they are."""
    stage = Normalize(output="array", mean=(0.5, 0.25, 0.0), deviation=(0.5, 0.5, 1.0))
    assert not stage.needs_fit
    array = stage(record(np.array([[[255, 0, 51], [0, 255, 255]]], np.uint8)), RNG)["image"]
    assert isinstance(array, Array)
    np.testing.assert_allclose(array.array, np.array([[[1, -1]], [[-0.5, 1.5]], [[0.2, 1]]]), rtol=1e-6)
    assert stage.statistics() == {"image": {"mean": [0.5, 0.25, 0.0], "deviation": [0.5, 0.5, 1.0]}}


def test_a_channel_without_any_deviation_becomes_zero() -> None:
    """Pictures of one colour give zeros, not infinities."""
    flat = record(np.full((4, 4, 3), (0, 100, 255), np.uint8))
    stage = Normalize(output="array")
    made = stage.fitted(learned(stage, [[flat]]))(flat, RNG)["image"]
    assert isinstance(made, Array)
    np.testing.assert_allclose(made.array, 0, atol=1e-7)


def test_infer_agrees_with_what_is_made() -> None:
    """With `statistics` the schema stays; with `array` the field has the shape and dtype of what is made."""
    schema = Schema({"image": FieldType("image", dtype="uint8", shape=(5, 7, 3))})
    assert Normalize().infer(schema) == schema
    stage = Normalize(output="array", mean=(0.5, 0.5, 0.5), deviation=(0.5, 0.5, 0.5))
    type_ = stage.infer(schema).fields["image"]
    assert type_ == FieldType("array", dtype="float32", shape=(3, 5, 7))
    before = noise(0)
    first, second = (stage(record(before.copy()), RNG)["image"] for _ in range(2))
    assert isinstance(first, Array)
    assert isinstance(second, Array)
    assert (first.array.shape, str(first.array.dtype)) == (type_.shape, type_.dtype)
    assert first.array.tobytes() == second.array.tobytes()
    varying = Schema({"image": FieldType("image", dtype="uint8")})
    assert stage.infer(varying).fields["image"].shape == (3, None, None)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "no field 'image'"),
        ({"image": FieldType("image", encoded=True)}, "decode it first"),
        ({"image": FieldType("text")}, "is of kind text"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields: dict[str, FieldType], message: str) -> None:
    """A field that is missing, encoded or of another kind is found at plan time."""
    with pytest.raises(RecipeError, match=message):
        Normalize().infer(Schema(fields))


@pytest.mark.parametrize(
    "options",
    [
        {"mean": (0.5, 0.5, 0.5)},
        {"deviation": (0.5, 0.5, 0.5)},
        {"mean": (0.5, 0.5, 0.5), "deviation": (0.5, 0.0, 0.5)},
        {"mean": (123.7, 116.3, 103.5), "deviation": (58.4, 57.1, 57.4)},
    ],
)
def test_wrong_statistics_are_refused(options: dict[str, Any]) -> None:
    """Mean and deviation come together, on the scale of 0 to 1, and no deviation is zero."""
    with pytest.raises(ValueError, match=r"(mean|deviation)"):
        Normalize(**options)


def test_a_fitted_stage_can_be_pickled() -> None:
    """What a stage learned crosses process borders with it."""
    stage = Normalize().fitted(learned(Normalize(), [RECORDS]))
    copy = pickle.loads(pickle.dumps(stage))
    assert copy.statistics() == stage.statistics()
    assert math.isfinite(copy.statistics()["image"]["mean"][0])


def test_the_file_is_named_after_the_field() -> None:
    """Two fields of pictures learn two files; and the stage reads only its own field."""
    stage = Normalize(field="photo")
    one = Record("a", {"photo": Image(noise(0))}, Origin(0, "a", "train", "a"))
    assert list(stage.reduce(stage.observe([one]))) == ["photo-statistics.json"]
    assert stage.reads() == {"photo"}
