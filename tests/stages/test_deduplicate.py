"""`record.deduplicate`: the first of equal records stays, the later ones say which it was."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdata.errors import RecipeError
from mmdata.record import Origin, Record, Reject
from mmdata.schema import FieldType, Schema
from mmdata.stages.deduplicate import Deduplicate
from mmdata.values import Array, Audio, Box, Image, Span, Text, Tokens, Value, Video

_RNG = np.random.default_rng(0)


def record(row: int, key: str | None = None, **fields: Value) -> Record:
    """Make a record of these fields."""
    return Record(key or f"k{row}", fields, Origin(row, f"k{row}", "train", f"k{row}"))


def fit(stage: Deduplicate, records: Sequence[Record], size: int = 2) -> Deduplicate:
    """Let the stage learn from records in tasks of this size."""
    tables = [stage.observe(records[place : place + size]) for place in range(0, len(records), size)]
    return stage.fitted(stage.reduce(pa.concat_tables([stage.observe([]), *tables])))


def kept(stage: Deduplicate, records: Sequence[Record]) -> list[int]:
    """Return the places of the records that stay."""
    fitted = fit(stage, records)
    return [place for place, given in enumerate(records) if fitted(given, _RNG) is given]


def test_later_ones_are_rejected_and_name_the_first() -> None:
    """The reject is of kind duplicate; the detail names row and key."""
    records = [record(row, text=Text(text)) for row, text in enumerate(["a", "b", "a", "c", "a", "b"])]
    fitted = fit(Deduplicate(), records)
    assert fitted(records[0], _RNG) is records[0]
    assert fitted(records[4], _RNG) == Reject("duplicate", "same content as an earlier row", "row 0 (k0)")
    assert fitted(records[5], _RNG) == Reject("duplicate", "same content as an earlier row", "row 1 (k1)")
    assert [json.loads(line) for line in fitted.learned["duplicates.jsonl"].splitlines()] == [
        [2, "k2", 0, "k0"],
        [4, "k4", 0, "k0"],
        [5, "k5", 1, "k1"],
    ]


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcde"), max_size=20), st.integers(1, 7))
def test_each_content_stays_once(texts: list[str], size: int) -> None:
    """What stays is each first occurrence; how rows were cut into tasks does not show."""
    records = [record(row, text=Text(text)) for row, text in enumerate(texts)]
    assert kept(Deduplicate(), records) == sorted({text: texts.index(text) for text in texts}.values())
    assert fit(Deduplicate(), records, size).learned == fit(Deduplicate(), records, 1).learned


_ONES = np.ones((1, 6), dtype=np.float32)
_DIFFERENT: list[Value] = [
    Text("a"),
    Text("b"),
    Text("a\ud800"),
    Image(b"a"),
    Video(b"a"),
    Audio(b"a"),
    Image(np.zeros((1, 2, 3), dtype=np.uint8)),
    Image(np.zeros((2, 1, 3), dtype=np.uint8)),
    Audio(_ONES, 8),
    Audio(_ONES, 16),
    Audio(_ONES.reshape(2, 3), 8),
    Tokens(np.array([1, 2], dtype=np.int32), np.zeros((2, 2), dtype=np.int32)),
    Array(np.array([1, 2], dtype=np.int32)),
    Array(np.array([1, 2], dtype=np.uint32)),
    Array(np.array([[1, 2]], dtype=np.int32)),
]


def test_values_that_differ_in_kind_shape_or_rate_are_different() -> None:
    """No two of these read the same, though many have the same bytes."""
    records = [record(row, it=value) for row, value in enumerate(_DIFFERENT)]
    assert kept(Deduplicate(), records) == list(range(len(_DIFFERENT)))
    assert kept(Deduplicate(), [*records, *(record(90 + row, it=value) for row, value in enumerate(_DIFFERENT))]) == list(
        range(len(records))
    )


def test_content_does_not_run_over_the_border_of_fields() -> None:
    """'ab' and 'c' is not 'a' and 'bc'; a field that is absent is not an empty one."""
    records = [record(0, a=Text("ab"), b=Text("c")), record(1, a=Text("a"), b=Text("bc")), record(2, a=Text("ab"))]
    records += [record(3, a=Text("ab"), b=Text("")), record(4, b=Text("ab"))]
    records += [record(5, a=Text("abbtextc"))]
    assert kept(Deduplicate(), records) == [0, 1, 2, 3, 4, 5]


def test_annotations_and_byte_order_do_not_count() -> None:
    """Content is compared, not what is said of it, nor how memory holds it."""
    records = [record(0, it=Text("a")), record(1, it=Text("a", (Span(0, 1),))), record(2, it=Image(b"x"))]
    records += [record(3, it=Image(b"x", (Box(0, 0, 1, 1),))), record(4, it=Array(np.array([1.5], dtype="<f8")))]
    records += [record(5, it=Array(np.array([1.5], dtype=">f8")))]
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    records += [record(6, it=Image(pixels)), record(7, it=Image(np.asfortranarray(pixels)))]
    assert kept(Deduplicate(), records) == [0, 2, 4, 6]


def test_only_the_named_fields_are_compared() -> None:
    """One picture with two captions is a duplicate by its picture alone; a record that has none of the fields is not."""
    records = [record(0, image=Image(b"x"), text=Text("a")), record(1, image=Image(b"x"), text=Text("b"))]
    records += [record(2, text=Text("a")), record(3, text=Text("a"))]
    assert kept(Deduplicate(fields=("image",)), records) == [0, 2, 3]
    assert kept(Deduplicate(), records) == [0, 1, 2]


def test_the_records_of_one_row_are_told_apart() -> None:
    """Clips that an earlier stage cut out of one row have keys of their own."""
    clips = [record(0, f"k0-000{number}", audio=Audio(data)) for number, data in enumerate([b"x", b"y", b"x"])]
    assert kept(Deduplicate(), clips) == [0, 1]


def test_nothing_to_learn_from() -> None:
    """Without records there are no duplicates."""
    fitted = fit(Deduplicate(), [])
    assert fitted.learned == {"duplicates.jsonl": b""}
    given = record(0, text=Text("a"))
    assert fitted(given, _RNG) is given


def test_a_fitted_stage_can_be_sent_to_a_worker() -> None:
    """It takes what it learned along; without it, it refuses."""
    records = [record(0, text=Text("a")), record(1, text=Text("a"))]
    again = pickle.loads(pickle.dumps(fit(Deduplicate(), records)))
    assert isinstance(again(records[1], _RNG), Reject)
    with pytest.raises(RuntimeError, match="before its fit pass"):
        Deduplicate()(records[0], _RNG)


def test_infer_and_reads() -> None:
    """Unknown fields are refused; it observes what comes through every stage before, and then needs no field."""
    schema = Schema({"text": FieldType("text")})
    assert Deduplicate().infer(schema) == Deduplicate(fields=("text",)).infer(schema) == schema
    with pytest.raises(RecipeError, match="there is no field 'image'"):
        Deduplicate(fields=("image",)).infer(schema)
    assert Deduplicate(fields=("text",)).observes() == {"*"}
    assert Deduplicate().reads() == set()
