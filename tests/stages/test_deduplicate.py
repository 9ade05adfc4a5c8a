"""`record.deduplicate`: the first of equal, or nearly equal, records stays; the later ones say which it was."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from mmdata.errors import RecipeError
from mmdata.record import Origin, Record, Reject
from mmdata.schema import FieldType, Schema
from mmdata.sketch.near import ImageLikeness, near_repeats
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
    """The reject is of kind duplicate; the detail names the key of the first, and so does what is learned: no row numbers."""
    records = [record(row, text=Text(text)) for row, text in enumerate(["a", "b", "a", "c", "a", "b"])]
    fitted = fit(Deduplicate(), records)
    assert fitted(records[0], _RNG) is records[0]
    assert fitted(records[4], _RNG) == Reject("duplicate", "same content as an earlier row", "k0")
    assert fitted(records[5], _RNG) == Reject("duplicate", "same content as an earlier row", "k1")
    assert [json.loads(line) for line in fitted.learned["duplicates.jsonl"].splitlines()] == [
        ["k2", "k0"],
        ["k4", "k0"],
        ["k5", "k1"],
    ]
    assert fitted.verdicts(fitted.observe(records)) == ["", "", "k0", "", "k0", "k1"]


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


def photo(seed: int, side: int = 96) -> NDArray[np.uint8]:
    """Make a smooth picture, uint8 [side, side, 3]."""
    import cv2

    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)


def near(*fields: str, **options: float) -> Deduplicate:
    """Make the stage that finds near duplicates in these fields."""
    return Deduplicate.model_validate({"method": "near", "fields": fields, **options})


def test_near_pictures_texts_and_sounds_are_found() -> None:
    """A smaller picture, a retyped text and a softer sound are near; others are not."""
    noise = np.random.default_rng(0).standard_normal((3, 1, 32000)).astype(np.float32) / 10
    records = [
        record(number, image=Image(photo(number)), text=Text(f"a boat and {number} red ducks on a lake")) for number in (0, 1)
    ]
    records += [record(2, image=Image(photo(0, 64)), text=Text("three green apples in a bowl"))]
    records += [record(3, image=Image(photo(3)), text=Text("  A boat and 0 red ducks, on a lake!"))]
    assert kept(near("image"), records) == [0, 1, 3]
    assert kept(near("text", text_similarity=0.9), records) == [0, 1, 2]
    sounds = [record(number, audio=Audio(samples, 16000)) for number, samples in enumerate([*noise, noise[1] / 3])]
    assert kept(near("audio"), sounds) == [0, 1, 2]


def test_all_fields_must_be_near() -> None:
    """A picture with another caption is another record, and so is one that lacks its caption."""
    records = [
        record(0, image=Image(photo(0)), text=Text("a red boat")),
        record(1, image=Image(photo(0)), text=Text("two ducks")),
    ]
    records += [record(2, image=Image(photo(0, 64)), text=Text("A red boat.")), record(3, image=Image(photo(0)))]
    assert kept(near("image", "text"), records) == kept(near(), records) == [0, 1, 3]
    assert kept(near("image"), records) == [0]


def test_a_near_reject_names_the_kept_record() -> None:
    """The reason tells it from an exact duplicate."""
    records = [record(0, text=Text("three ducks on the lake")), record(7, text=Text("Three ducks on the lake."))]
    assert fit(near("text"), records)(records[1], _RNG) == Reject("duplicate", "nearly the same content as an earlier row", "k0")


def test_likeness_is_not_handed_on() -> None:
    """Of a chain in which each is near the next, a record stays that is far from every one that stayed before."""
    words = [f"word{number * number}" for number in range(20)]
    records = [record(number, text=Text(" ".join(words[number : number + 8]))) for number in range(8)]
    stage = near("text", text_similarity=0.6)
    fitted = fit(stage, records)
    lines = [json.loads(line) for line in fitted.learned["duplicates.jsonl"].splitlines()]
    stayed = kept(stage, records)
    assert 1 < len(stayed) < 8
    assert {int(first.removeprefix("k")) for _, first in lines} <= set(stayed)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.sampled_from(["a red boat", "A red boat!", "a red boats", "猫坐在栅栏上", "猫坐在栅栏下", " ", "?"]), max_size=20
    ),
    st.integers(1, 7),
)
def test_near_does_not_depend_on_how_rows_are_cut(texts: list[str], size: int) -> None:
    """What is learned is the same for tasks of any size; what is the same is always near."""
    records = [record(row, text=Text(text)) for row, text in enumerate(texts)]
    assert fit(near("text"), records, size).learned == fit(near("text"), records, 1).learned
    assert len({texts[place] for place in kept(near("text"), records)}) == len(kept(near("text"), records))


def test_what_has_no_sketch_must_be_the_same() -> None:
    """Tokens, arrays and clips are compared byte for byte; so are blank pictures, blips of sound and texts of punctuation."""
    blank, other = np.full((8, 8, 3), 255, np.uint8), np.full((8, 8, 3), 0, np.uint8)
    values: list[Value] = [Image(blank), Image(other), Text("?"), Text("!"), Video(b"a"), Video(b"b")]
    values += [Audio(np.zeros((1, 800), np.float32), 8000), Audio(np.full((1, 800), 0.1, np.float32), 8000)]
    values += [Array(np.zeros(2)), Array(np.ones(2))]
    records = [record(row, it=value) for row, value in enumerate([*values, *values])]
    assert kept(near("it"), records) == list(range(len(values)))


def test_near_needs_decoded_fields_and_options_belong_to_it() -> None:
    """Both are said when the plan is made."""
    with pytest.raises(RecipeError, match="field 'image' is encoded; decode it first"):
        near().infer(Schema({"text": FieldType("text"), "image": FieldType("image", encoded=True)}))
    with pytest.raises(ValidationError, match="image_bits is for method near"):
        Deduplicate(image_bits=3)
    assert Deduplicate.model_validate(Deduplicate().model_dump()) == Deduplicate()


def test_a_picture_that_was_cut_out_of_another_is_near() -> None:
    """Whichever of the two comes first; and only where crops are looked for, and only up to about a tenth."""
    whole = photo(0, 200)
    cut, small = whole[14:194, 3:183].copy(), whole[40:160, 40:160].copy()
    for order in ([whole, cut], [cut, whole]):
        records = [record(row, image=Image(pixels)) for row, pixels in enumerate(order)]
        assert kept(near("image"), records) == [0]
        assert kept(near("image", image_crops=False), records) == [0, 1]
    assert kept(near("image"), [record(0, image=Image(whole)), record(1, image=Image(small))]) == [0, 1]


@pytest.mark.parametrize(("crops", "most"), [(False, 30), (True, 300)])
def test_the_time_grows_with_the_records_not_with_their_pairs(crops: bool, most: int) -> None:  # noqa: FBT001 - a case
    """Of many records that are far from each other, only few pairs are compared."""
    compared = 0

    class Counting(ImageLikeness):
        def near(self, one: bytes, others: Sequence[bytes]) -> Sequence[bool]:
            nonlocal compared
            compared += len(others)
            return super().near(one, others)

    likeness = Counting(7, crops)
    hashes = np.random.default_rng(0).integers(0, 2**64, (5000, 14 if crops else 1), dtype=np.uint64)
    sketches = [{"image": b"image:" + found.astype(">u8").tobytes()} for found in hashes]
    assert list(near_repeats(sketches, {"image": likeness})) == []
    assert compared < 5000 * most
