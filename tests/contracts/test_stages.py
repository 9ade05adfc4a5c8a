"""The contract of stages, held by every one in the table."""

from __future__ import annotations

import inspect
import pickle
import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import yaml

from mmdata.codec import Codec
from mmdata.record import Origin, Provenance, Record, Reject
from mmdata.rng import Undrawn, rng_for
from mmdata.schema import FieldType, Schema
from mmdata.stages import STAGES, name_of, stage_class
from mmdata.stages.base import FitStage, Stage
from mmdata.values import Array, Audio, Box, FrameBox, Image, Point, Segment, Span, Text, Tokens, Value, Video
from tests.corpus import picture, recording
from tests.stages.films import Film

OPTIONS: dict[str, list[dict[str, Any]]] = {
    "text.normalize": [{}, {"form": "NFKD", "case": "fold"}],
    "text.tokenize": [{"vocabulary": 300}, {"vocabulary": 300, "max_tokens": 4, "add_special": True}],
    "text.words": [{}, {"language_column": "lang"}],
    "text.redact": [{"language": "en"}, {"language_column": "lang"}, {"reject": True}],
    "text.language": [{}, {"languages": ["en", "fr", "ja"]}],
    "text.quality": [{}, {"rules": "caption", "minimum": {"words": 1}}],
    "text.sentences": [{}, {"language": "ja"}],
    "text.chunk": [{"most": 8}, {"most": 6, "overlap": 2, "border": "character", "others": "keep"}],
    "image.decode": [{}, {"background": "#000000"}],
    "image.resize": [{"size": 20}, {"size": [12, 30], "mode": "exact"}, {"size": 64, "mode": "long", "only_shrink": True}],
    "image.crop": [
        {"size": 16},
        {"size": [50, 20], "mode": "random"},
        {"mode": "box", "margin": 0.1},
        {"size": 12, "mode": "salient"},
        {"size": 16, "mode": "grid", "stride": 10, "rest": "cover"},
    ],
    "image.pad": [{"aspect": [1, 1]}, {"size": [90, 80], "place": "top left"}],
    "image.filter": [{}, {"minimum_width": 8, "maximum_broken": 0.9}],
    "image.blur": [{}, {"label": "thing", "margin": 0.2}, {"region": "picture"}],
    "image.blur_faces": [{}, {"confidence": 0.3, "keep_boxes": False}],
    "image.hash": [{}, {"methods": ["phash", "dhash"]}],
    "image.normalize": [{}, {"output": "array"}],
    "audio.decode": [{}, {"channels": "keep"}],
    "audio.resample": [{}, {"rate": 8000, "quality": "LQ"}],
    "audio.channels": [{}, {"to": 2}],
    "audio.filter": [{}, {"minimum_snr": -20}],
    "audio.denoise": [{}, {"strength": 0.5, "keep_raw": "raw"}],
    "audio.speech": [{}, {"threshold": 0.3, "label": "voice"}],
    "audio.trim": [{}, {"threshold_db": -10, "margin": 0.0}, {"by": "segments", "label": "one"}],
    "audio.clip": [{"minimum": 0.1}, {"minimum": 0.1, "maximum": 0.25, "text": "text"}],
    "audio.loudness": [{}, {"target": -30}],
    "video.cut": [
        {"max_seconds": 1.5, "text": "words"},
        {"by": "length", "max_seconds": 1.5},
        {"by": "scenes", "min_seconds": 0.1},
    ],
    "video.decode": [{}, {"take": "key", "size": 24, "sound": True}],
    "video.audio": [{}, {"into": "heard", "channels": "keep"}],
    "audio.features": [{}, {"bins": 128, "dtype": "float16"}],
    "record.require": [{}, {"fields": ["text"]}],
    "record.where": [{"expression": "audio.seconds < 20 and lang in ['fr']"}],
    "record.rename": [{"fields": {"text": "caption"}, "metadata": {"lang": "language"}}],
    "record.drop": [{"fields": ["text"], "metadata": ["lang"]}],
    "record.sample": [{}, {"share": 0.5}],
    "record.balance": [{"by": "lang", "most": 2}],
    "record.deduplicate": [{}, {"fields": ["text"]}, {"method": "near", "fields": ["text"]}],
}
EXTRAS = {"audio.speech": ("onnxruntime", "silero_vad")}
"""The modules that a stage cannot do without, and that not everyone installs."""


def case(name: str, options: dict[str, Any]) -> Any:
    """Return a stage with its options as a parameter; skipped where an extra is missing."""
    missing = [module for module in EXTRAS.get(name, ()) if find_spec(module) is None]
    marks = [pytest.mark.skipif(bool(missing), reason=f"{missing} not installed")]
    return pytest.param(name, options, id=f"{name} {options}", marks=marks)


CASES = [case(name, options) for name, each in OPTIONS.items() for options in each]

SEGMENTS = (Segment(0.05, 0.2, "one"), Segment(0.3, 0.5, "two"))
FRAME_BOXES = (FrameBox(0.4, 4, 3, 20, 18, "thing"), FrameBox(2.0, 25, 10, 60, 40, "thing"))
FILM = Film(times=tuple(number / 25 for number in range(60)), flashes=(1.0,)).encoded()
SPANS = (Span(2, 7, "word"), Span(9, 14, "other"))
BOXES = (Box(4, 3, 20, 18, "thing"), Box(25, 10, 39, 29, "thing"))


def raw(row: int) -> Record:
    """Return a record as a source gives it, with annotations."""
    fields: dict[str, Value] = {
        "image": Image(picture(row), BOXES, (Point(10, 10, "eye"),)),
        "audio": Audio(recording(row), 0, SEGMENTS),
        "text": Text(f"  Caf\u0065\u0301  \uff21\uff22 日本\t{row}", SPANS),
    }
    inputs = {name: Provenance(f"{row}.{name}", "0" * 64, 1) for name in fields}
    return Record(f"key-{row}", fields, Origin(row, f"key-{row}", "train", "g", inputs), {"lang": "fr"})


RAW_SCHEMA = Schema(
    {
        "image": FieldType("image", encoded=True),
        "audio": FieldType("audio", encoded=True),
        "text": FieldType("text", dtype="str"),
    },
    {"lang": "str"},
)


def filmed(schema: Schema, records: list[Record]) -> tuple[Schema, list[Record]]:
    """Return them with an encoded clip in the place of the recording, which `video.audio` makes anew."""
    clip = Video(FILM, segments=(Segment(0.2, 0.9, "one"), Segment(1.5, 2.2, "two")), frame_boxes=FRAME_BOXES)
    records = [record.without("audio").with_fields(video=clip) for record in records]
    return schema.without("audio").with_field("video", FieldType("video", encoded=True)), records


def decoded() -> tuple[Schema, list[Record]]:
    """Return the schema and the records after both decoders."""
    schema, records = RAW_SCHEMA, [raw(row) for row in range(3)]
    for name in ("image.decode", "audio.decode"):
        stage = stage_class(name)()
        schema = stage.infer(schema)
        records = [only(stage(record, rng_for(0))) for record in records]
    return schema, records


def only(outcome: Any) -> Record:
    """Return an outcome that must be one record."""
    assert isinstance(outcome, Record), outcome
    return outcome


def prepared(name: str, options: dict[str, Any]) -> tuple[Stage, Schema, list[Record]]:
    """Return a stage, fitted where it must be, with a schema and records that it takes."""
    stage = stage_class(name).model_validate(options)
    schema, records = (RAW_SCHEMA, [raw(row) for row in range(3)]) if name.endswith(".decode") else decoded()
    if name.startswith("video."):
        schema, records = filmed(schema, records)
    if name == "audio.features":
        resample = stage_class("audio.resample")()
        schema, records = resample.infer(schema), [only(resample(record, rng_for(0))) for record in records]
    stage.infer(schema)
    if isinstance(stage, FitStage) and stage.needs_fit:
        stage = stage.fitted(stage.reduce(stage.observe(records)))
    return stage, schema, records


def contents(record: Record) -> Iterator[object]:
    """Yield everything of a record in a form that compares by value."""
    yield from (record.key, dict(record.metadata), dict(record.measures), record.origin)
    for name, value in sorted(record.fields.items()):
        yield name
        for part in (getattr(value, part, None) for part in ("data", "text", "ids", "offsets", "array", "rate", "times")):
            yield (part.shape, part.dtype.str, part.tobytes()) if isinstance(part, np.ndarray) else part
        yield [getattr(value, part, None) for part in ("boxes", "points", "segments", "frame_boxes", "spans", "lineage")]


def outcomes(stage: Stage, record: Record) -> list[Record | Reject]:
    """Return what a stage makes of a record, as a list; one that does not say that it draws numbers gets none."""
    outcome = stage(record, rng_for(7, record.key) if stage.random else Undrawn(stage.stage))
    return list(outcome) if isinstance(outcome, list) else [outcome]


def test_every_stage_of_the_table_is_here() -> None:
    """A stage that is added must enter this suite."""
    assert OPTIONS.keys() == STAGES.keys()


@pytest.mark.parametrize("name", STAGES)
def test_describes_itself(name: str) -> None:
    """Its name leads back to it, every option has a description, and its example is one that works."""
    kind = stage_class(name)
    assert name_of(kind) == name
    assert all(field.description or option == "field" for option, field in kind.model_fields.items())
    document = inspect.cleandoc(kind.__doc__ or "")
    example = re.search(r"^Example:\n((?: +.*\n?)+)", document, re.MULTILINE)
    assert example, "the docstring has no example"
    found = yaml.safe_load(inspect.cleandoc("\n" + example.group(1)))
    items = found["stages"] if isinstance(found, dict) else found
    assert all(
        stage_class(next(iter(item))).model_validate(next(iter(item.values())) or {}) for item in items if isinstance(item, dict)
    )


@pytest.mark.parametrize(("name", "options"), CASES)
def test_crosses_process_borders(name: str, options: dict[str, Any]) -> None:
    """A pickled stage, with what it learned, does the same."""
    stage, _, records = prepared(name, options)
    again = pickle.loads(pickle.dumps(stage))
    assert again == stage
    for record in records:
        first, second = outcomes(stage, record), outcomes(again, record)
        assert [list(contents(one)) for one in first if isinstance(one, Record)] == [
            list(contents(one)) for one in second if isinstance(one, Record)
        ]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_same_key_same_bytes_and_input_unchanged(name: str, options: dict[str, Any]) -> None:
    """Twice the same record gives twice the same, down to the payloads, and the record given stays as it was."""
    stage, _, records = prepared(name, options)
    for record in records:
        before = list(contents(record))
        first, second = outcomes(stage, record), outcomes(stage, record)
        assert list(contents(record)) == before
        assert [type(one) for one in first] == [type(one) for one in second]
        for one, two in zip(first, second, strict=True):
            if isinstance(one, Record) and isinstance(two, Record):
                assert list(contents(one)) == list(contents(two))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_one_that_keeps_all_turns_nothing_away(name: str, options: dict[str, Any]) -> None:
    """A stage that says so gives one record for each, or fails; one that rejects or makes several must not say it."""
    stage, _, records = prepared(name, options)
    found = [outcomes(stage, record) for record in records]
    if stage.keeps_all:
        assert all(len(one) == 1 and isinstance(one[0], Record) for one in found)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_schema_agrees_with_the_data(name: str, options: dict[str, Any]) -> None:
    """What `infer` says of fields, metadata and measures is what the records hold."""
    stage, schema, records = prepared(name, options)
    after = stage.infer(schema)
    passed = 0
    for record in records:
        for outcome in outcomes(stage, record):
            if isinstance(outcome, Record):
                passed += 1
                check_record(outcome, after)
    assert passed, "no record came through"


def check_record(record: Record, schema: Schema) -> None:
    """Check a record against its schema."""
    assert record.fields.keys() == schema.fields.keys()
    assert record.metadata.keys() == schema.metadata.keys()
    assert record.measures.keys() == schema.measures.keys()
    kinds: dict[str, type] = {"str": str, "json": str, "int": int, "float": float, "bool": bool}
    for name, measure in record.measures.items():
        assert type(measure) is kinds[schema.measures[name]]
    for name, value in record.fields.items():
        check_value(value, schema.fields[name])


def check_value(value: Value, type_: FieldType) -> None:
    """Check a value against the type of its field."""
    assert value.kind == type_.kind
    match value:
        case Image() | Audio() | Video():
            assert isinstance(value.data, bytes) == type_.encoded
            array = None if isinstance(value.data, bytes) else value.data
        case Tokens():
            array = value.ids
            assert type_.vocabulary is not None
            assert value.ids.max() < type_.vocabulary
        case Array():
            array = value.array
        case _:
            array = None
    if array is not None:
        assert type_.dtype == str(array.dtype)
        assert type_.shape is not None
        assert len(type_.shape) == array.ndim
        assert all(wanted in {None, found} for wanted, found in zip(type_.shape, array.shape, strict=True))
    if isinstance(value, Audio) and type_.rate is not None:
        assert value.rate == type_.rate


@pytest.mark.parametrize(("name", "options"), CASES)
def test_annotations_stay_inside_and_none_is_lost_in_silence(name: str, options: dict[str, Any]) -> None:
    """Each annotation is carried, or counted as removed in the lineage; and it lies within what it annotates."""
    stage, _, records = prepared(name, options)
    for record in records:
        for outcome in outcomes(stage, record):
            if isinstance(outcome, Record):
                check_annotations(record, outcome)


def check_annotations(before: Record, after: Record) -> None:
    """Check the annotations of every field that both records have."""
    for name in before.fields.keys() & after.fields.keys():
        old, new = before[name], after[name]
        if isinstance(new, Array) or type(old) is not type(new):
            continue
        steps = getattr(new, "lineage", ())[len(getattr(old, "lineage", ())) :]
        removed = sum(step.removed for step in steps)
        for kind in ("boxes", "points", "segments", "frame_boxes", "spans"):
            was, now = len(getattr(old, kind, ())), len(getattr(new, kind, ()))
            assert now + removed >= was
        check_inside(new)


def check_inside(value: Value) -> None:
    """Check that annotations lie within the value."""
    match value:
        case Image(data=np.ndarray() as pixels):
            height, width = pixels.shape[:2]
            assert all(0 <= box.left < box.right <= width and 0 <= box.top < box.bottom <= height for box in value.boxes)
            assert all(0 <= point.x <= width and 0 <= point.y <= height for point in value.points)
        case Audio(data=np.ndarray()):
            assert all(0 <= segment.start < segment.end <= value.seconds + 1 / value.rate for segment in value.segments)
        case Video(data=np.ndarray() as frames):
            height, width = frames.shape[1:3]
            assert all(0 <= segment.start < segment.end <= value.seconds for segment in value.segments)
            assert all(0 <= box.seconds <= value.seconds for box in value.frame_boxes)
            assert all(0 <= box.left < box.right <= width and 0 <= box.top < box.bottom <= height for box in value.frame_boxes)
        case Text():
            assert all(0 <= span.start <= span.end <= len(value.text) for span in value.spans)
        case _:
            pass


@pytest.mark.parametrize(("name", "options"), CASES)
def test_result_can_be_written_and_read(name: str, options: dict[str, Any]) -> None:
    """The codec writes what the stage made and reads the same annotations and lineage back."""
    stage, schema, records = prepared(name, options)
    after = stage.infer(schema)
    if any(type_.encoded for type_ in after.fields.values()):
        return
    codec = Codec.plan(after, {}, tuple(sorted(RAW_SCHEMA.fields)))
    for record in records:
        for outcome in outcomes(stage, record):
            if isinstance(outcome, Record):
                back = codec.decode(codec.encode(outcome))
                for field, value in outcome.fields.items():
                    for part in ("boxes", "points", "segments", "frame_boxes", "spans", "lineage", "text", "times"):
                        held, wanted = getattr(back[field], part, None), getattr(value, part, None)
                        assert np.array_equal(held, wanted) if part == "times" and held is not None else held == wanted
