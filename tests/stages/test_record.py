"""`record.require`: records that lack something are rejected, and the reject says what."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from mmdata.errors import RecipeError
from mmdata.record import Origin, Provenance, Record, Reject
from mmdata.schema import FieldType, Schema
from mmdata.stages.record import Require
from mmdata.values import Array, Audio, Image, Text, Tokens, Value, Video

_RNG = np.random.default_rng(0)
_SCHEMA = Schema({"image": FieldType("image", encoded=True), "text": FieldType("text")})


def record(**fields: Value) -> Record:
    """Make a record of these fields."""
    return Record("k", fields, Origin(0, "k", "train", "k"))


def tokens(count: int) -> Tokens:
    """Make so many tokens."""
    return Tokens(np.zeros(count, dtype=np.int32), np.zeros((count, 2), dtype=np.int32))


@pytest.mark.parametrize(
    "empty",
    [
        Text(""),
        Text(" \n\u3000"),
        tokens(0),
        Image(b""),
        Image(np.zeros((0, 4, 3), dtype=np.uint8)),
        Audio(b""),
        Audio(np.zeros((1, 0), dtype=np.float32), 8),
        Video(b""),
        Array(np.zeros((0, 3))),
    ],
)
def test_an_empty_value_is_rejected(empty: Value) -> None:
    """Whatever its kind; the reason names the field."""
    assert Require(fields=("it",))(record(it=empty), _RNG) == Reject("filtered", "it is empty")


@pytest.mark.parametrize(
    "full",
    [
        Text("a"),
        tokens(1),
        Image(b"x"),
        Image(np.zeros((1, 1, 3), dtype=np.uint8)),
        Audio(b"x"),
        Audio(np.zeros((1, 1), dtype=np.float32), 8),
        Video(b"x"),
        Array(np.zeros(1)),
    ],
)
def test_a_value_that_holds_something_passes(full: Value) -> None:
    """The record goes on as the same object."""
    given = record(it=full)
    assert Require(fields=("it",))(given, _RNG) is given


def test_a_missing_field_is_rejected() -> None:
    """The first one that is missing, in the order of the recipe."""
    stage = Require(fields=("text", "image"))
    assert stage(record(text=Text("a")), _RNG) == Reject("filtered", "image is missing")


def test_without_names_every_raw_field_is_required() -> None:
    """The record knows its raw fields by their inputs, those included that its row does not have; a worker's copy agrees."""
    nothing = Provenance("", "", 0)
    origin = Origin(0, "k", "train", "k", {"text": nothing, "image": nothing})
    again = pickle.loads(pickle.dumps(Require()))
    assert again(Record("k", {"text": Text("a")}, origin), _RNG) == Reject("filtered", "image is missing")
    full = Record("k", {"text": Text("a"), "image": Image(b"x")}, origin)
    assert again(full, _RNG) is full


def test_a_field_that_is_not_named_may_be_missing() -> None:
    """Only the named ones are looked at."""
    given = record(text=Text("a"))
    stage = Require(fields=("text",))
    stage.infer(_SCHEMA)
    assert stage(given, _RNG) is given


def test_infer_refuses_unknown_fields() -> None:
    """The error lists the fields that there are."""
    with pytest.raises(RecipeError, match="there is no field 'sound'; the fields here are 'image', 'text'"):
        Require(fields=("sound",)).infer(_SCHEMA)


def test_reads_what_it_looks_at() -> None:
    """The named fields, or a star for all."""
    assert Require(fields=("text",)).reads() == {"text"}
    assert Require().reads() == {"*"}
