"""`record.require`, `where`, `rename`, `drop` and `sample`: what goes on, what is rejected and why, and what the schema says."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from mmdata.errors import RecipeError
from mmdata.record import Origin, Provenance, Record, Reject
from mmdata.rng import rng_for
from mmdata.schema import FieldType, Schema
from mmdata.stages.base import Stage
from mmdata.stages.record import Drop, Rename, Require, Sample, Where
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


_TALK = Schema(
    {"audio": FieldType("audio", dtype="float32"), "text": FieldType("text"), "tokens": FieldType("tokens", text="text")},
    {"lang": "str", "count": "int", "score": "float"},
    {"audio.loudness": "float"},
)


def talk(key: str = "k", lang: str = "fr", seconds: float = 2.0) -> Record:
    """Make a record of that schema."""
    fields: dict[str, Value] = {"audio": Audio(np.zeros((1, int(8 * seconds)), np.float32), 8), "text": Text("a b")}
    metadata = {"lang": lang, "count": 3, "score": 0.5}
    return Record(key, {**fields, "tokens": tokens(2)}, Origin(0, key, "train", key), metadata, {"audio.loudness": -20.0})


def agrees(stage: Stage, given: Record, schema: Schema = _TALK) -> Record:
    """Return what a stage makes of a record; fields, metadata and measures must be those that `infer` promised."""
    before = (dict(given.fields), dict(given.metadata), dict(given.measures))
    made, again = stage(given, rng_for(0)), pickle.loads(pickle.dumps(stage))(given, rng_for(0))
    assert isinstance(made, Record)
    assert isinstance(again, Record)
    promised = stage.infer(schema)
    assert sorted(made.fields) == sorted(promised.fields) == sorted(again.fields)
    assert sorted(made.metadata) == sorted(promised.metadata)
    assert sorted(made.measures) == sorted(promised.measures)
    assert all(made[name].kind == promised.fields[name].kind for name in made.fields)
    assert before == (given.fields, given.metadata, given.measures)
    return made


def test_where_keeps_and_rejects() -> None:
    """A record for which it is true goes on as the same object; the reject shows expression and values."""
    stage = Where(expression='audio.seconds < 20 and lang in ["fr", "de"]')
    assert stage(talk(), _RNG) is not None
    kept = talk()
    assert stage(kept, _RNG) is kept
    rejected = stage(talk(lang="it"), _RNG)
    reason = 'where: audio.seconds < 20 and lang in ["fr", "de"] is false'
    assert rejected == Reject("filtered", reason, "audio.seconds is 2.0, lang is 'it'")
    agrees(stage, kept)


def test_where_sees_measures_of_every_origin() -> None:
    """Those of a field by its kind, and those that a stage computed."""
    stage = Where(expression="audio.loudness > -21 and text.characters == 3 and tokens.tokens == 2")
    stage.infer(_TALK)
    given = talk()
    assert stage(given, _RNG) is given
    assert stage.reads() == {"audio", "text", "tokens"}
    assert Where(expression="count < 3").reads() == set()


def test_where_lets_a_record_without_the_field_pass() -> None:
    """An absent field has no measure to judge it by; `record.require` turns such a record away."""
    given = talk().without("audio")
    assert Where(expression="audio.seconds < 1")(given, _RNG) is given


def test_where_is_checked_when_the_plan_is_made() -> None:
    """Names, types, and that what is measured is decoded."""
    with pytest.raises(RecipeError, match="did you mean 'audio.seconds'"):
        Where(expression="audio.second < 1").infer(_TALK)
    with pytest.raises(RecipeError, match="count is a number and 'a' is a text"):
        Where(expression="count == 'a'").infer(_TALK)
    with pytest.raises(RecipeError, match="field 'image' is encoded; decode it first"):
        Where(expression="image.width > 9").infer(_SCHEMA)
    with pytest.raises(ValidationError, match="is not allowed"):
        Where(expression="open('x')")


def test_rename_takes_measures_and_tokens_along() -> None:
    """The measures of a field have its new name, and tokens point to the text by its new name."""
    stage = Rename(fields={"audio": "speech", "text": "caption"}, metadata={"lang": "language"})
    made = agrees(stage, talk())
    assert made.measures == {"speech.loudness": -20.0}
    assert made.metadata == {"language": "fr", "count": 3, "score": 0.5}
    assert stage.infer(_TALK).fields["tokens"].text == "caption"
    assert stage.carried({"audio": 1, "tokens": 2}) == {"speech": 1, "tokens": 2}
    assert stage.reads() == {"audio", "text"}


def test_rename_can_exchange_names() -> None:
    """Two fields, or two columns, swap."""
    schema = Schema({"a": FieldType("text"), "b": FieldType("text")})
    made = agrees(Rename(fields={"a": "b", "b": "a"}), record(a=Text("1"), b=Text("2")), schema)
    assert isinstance(made["a"], Text)
    assert made["a"].text == "2"


def test_rename_of_an_absent_field_does_nothing() -> None:
    """A record that lacks it passes."""
    made = Rename(fields={"audio": "speech"})(record(text=Text("a")), _RNG)
    assert isinstance(made, Record)
    assert list(made.fields) == ["text"]


@pytest.mark.parametrize(
    ("fields", "metadata", "says"),
    [
        ({"sound": "x"}, {}, "there is no field 'sound'"),
        ({}, {"language": "x"}, "there is no metadata column 'language'; the columns here are 'lang', 'count', 'score'"),
        ({"audio": "text"}, {}, "two fields would have the name 'text'"),
        ({"audio": "x", "text": "x"}, {}, "two fields would have the name 'x'"),
        ({}, {"lang": "count"}, "two metadata columns would have the name 'count'"),
    ],
)
def test_rename_refuses_names_that_do_not_fit(fields: dict[str, str], metadata: dict[str, str], says: str) -> None:
    """Unknown old names, and new names that are taken."""
    with pytest.raises(RecipeError, match=says):
        Rename(fields=fields, metadata=metadata).infer(_TALK)


def test_new_names_have_the_form_of_names() -> None:
    """No dots, which part measures from fields."""
    with pytest.raises(ValidationError, match="should match pattern"):
        Rename(fields={"audio": "my.audio"})


def test_drop_takes_measures_along() -> None:
    """Fields go with their measures, and columns go."""
    stage = Drop(fields=("audio",), metadata=("count", "score"))
    made = agrees(stage, talk())
    assert sorted(made.fields) == ["text", "tokens"]
    assert made.measures == {}
    assert made.metadata == {"lang": "fr"}
    assert stage.carried({"audio": 1, "tokens": 2}) == {"tokens": 2}


def test_drop_refuses_what_breaks_the_record() -> None:
    """Unknown names, every field, and a text that tokens point into."""
    with pytest.raises(RecipeError, match="there is no field 'sound'"):
        Drop(fields=("sound",)).infer(_TALK)
    with pytest.raises(RecipeError, match="there is no metadata column 'tongue'"):
        Drop(metadata=("tongue",)).infer(_TALK)
    with pytest.raises(RecipeError, match="drop every field"):
        Drop(fields=("audio", "text", "tokens")).infer(_TALK)
    with pytest.raises(RecipeError, match="the tokens in 'tokens' point into 'text'; drop both"):
        Drop(fields=("text",)).infer(_TALK)
    agrees(Drop(fields=("text", "tokens")), talk())


def test_require_after_rename_and_drop() -> None:
    """A raw field that was renamed or dropped is not missing; one that the row does not have still is."""
    there, nothing = Provenance("a.wav", "", 1), Provenance("", "", 0)
    given = Record("k", {"audio": Audio(b"x"), "text": Text("a")}, Origin(0, "k", "", "", {"audio": there, "text": there}))
    moved = Drop(fields=("text",))(Rename(fields={"audio": "speech"})(given, _RNG), _RNG)  # type: ignore[arg-type]
    assert isinstance(moved, Record)
    assert Require()(moved, _RNG) is moved
    absent = replace(given.without("text"), origin=Origin(0, "k", "", "", {"audio": there, "text": nothing}))
    assert Require()(absent, _RNG) == Reject("filtered", "text is missing")


def sampled(stage: Sample, count: int = 2000, lang: str = "fr") -> set[str]:
    """Return the keys that a sample keeps."""
    records = [talk(f"{lang}{number}", lang, 0.5) for number in range(count)]
    return {given.key for given in records if isinstance(stage(given, rng_for(0, "record.sample", given.key)), Record)}


def test_sample_keeps_its_share_and_grows_by_inclusion() -> None:
    """About a share, within five deviations of a binomial; a larger sample holds the smaller one."""
    small, large = sampled(Sample(share=0.2)), sampled(Sample(share=0.5))
    assert small < large
    assert abs(len(small) - 400) < 5 * (2000 * 0.2 * 0.8) ** 0.5
    assert sampled(Sample(share=0.0)) == set()
    assert len(sampled(Sample())) == 2000


def test_sample_by_label() -> None:
    """Labels that are named have their own share, the others the general one."""
    stage = Sample(share=0.0, by="lang", shares={"fr": 1.0, "be": 0.5})
    agrees(stage, talk())
    assert len(sampled(stage, 50)) == 50
    assert sampled(stage, 50, "de") == set()
    assert 5 < len(sampled(stage, 50, "be")) < 45
    assert stage(talk(lang="de"), _RNG) == Reject("filtered", "not in the sample", "share 0.0 of lang 'de'")


def test_sample_refuses_columns_that_hold_no_labels() -> None:
    """A float is no label, and shares need a column."""
    with pytest.raises(RecipeError, match="'score' is of type float; labels are str, int or bool"):
        Sample(by="score", shares={"1": 0.5}).infer(_TALK)
    with pytest.raises(RecipeError, match="there is no metadata column 'tongue'"):
        Sample(by="tongue", shares={"fr": 0.5}).infer(_TALK)
    with pytest.raises(ValidationError, match="by and shares must be given together"):
        Sample(by="lang")
