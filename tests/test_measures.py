"""The built-in measures: what each kind has, and that the codec's list and the values agree."""

from __future__ import annotations

import numpy as np

from mmdata.measures import measure_types, measured, measures_of
from mmdata.record import Origin, Record
from mmdata.schema import FieldType, Schema
from mmdata.values import Array, Audio, Image, Text, Tokens, Video


def test_each_kind_has_its_measures() -> None:
    """Pixels across and down, seconds, counts; nothing for other kinds."""
    tokens = Tokens(np.zeros(3, np.int32), np.zeros((3, 2), np.int32))
    assert measured(Image(np.zeros((2, 5, 3), np.uint8))) == {"width": 5, "height": 2}
    assert measured(Audio(np.zeros((2, 12), np.float32), 8)) == {"seconds": 1.5}
    assert measured(Text("ab\U0001f600")) == {"characters": 3}
    assert measured(tokens) == {"tokens": 3}
    assert measured(Array(np.zeros(4))) == measured(Video(b"x")) == {}


def test_what_is_encoded_has_none() -> None:
    """Nothing is decoded to be measured."""
    assert measured(Image(b"x")) == measured(Audio(b"x")) == {}


def test_names_and_types_agree_with_what_is_measured() -> None:
    """The schema names every measure that a record has, computed ones included."""
    schema = Schema({"it": FieldType("image"), "text": FieldType("text")}, measures={"it.sharpness": "float"})
    record = Record("k", {"it": Image(np.zeros((2, 5, 3), np.uint8)), "text": Text("a")}, Origin(0, "k", "train", "k"))
    found = measures_of(record.with_measures({"it.sharpness": 0.5}))
    types = measure_types(schema)
    assert list(types) == sorted(found)
    assert {name: type(value).__name__ for name, value in found.items()} == types
