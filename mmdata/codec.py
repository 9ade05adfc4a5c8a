"""The codec: a record to the members of a shard, and back.

It holds the part of the contract that concerns one record: which members there are, what the json member says, and which
measures go to the index. `docs/format.md` describes all of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ArgsKwargs

from mmdata.errors import RecipeError, RecordError
from mmdata.files import canonical_json
from mmdata.formats import DEFAULTS, Format, holds
from mmdata.keys import LONGEST_KEY
from mmdata.latest import Latest
from mmdata.lineage import Step
from mmdata.measures import measure_types, measures_of
from mmdata.record import Origin, Provenance, Record, Scalar
from mmdata.schema import ScalarName, Schema
from mmdata.values import Array, Box, FrameBox, Point, Segment, Span, Tokens, Value, Video

METADATA_MEMBER = "json"
_LONGEST_EXTENSION = 100 - LONGEST_KEY - 1  # a name in a USTAR header has 100 characters
_BARE_NAMES = {"image": "image", "audio": "audio", "text": "text", "video": "video"}
_ZERO: dict[str, Scalar] = {"int": 0, "float": 0.0, "str": "", "bool": False, "json": "null"}
_ANNOTATIONS: dict[str, Any] = {"spans": Span, "boxes": Box, "points": Point, "segments": Segment, "frame_boxes": FrameBox}


@dataclass(frozen=True)
class Codec:
    """Encodes records of one schema; `members` maps each extension to its field and format, `inputs` name the raw inputs."""

    schema: Schema
    members: Mapping[str, tuple[str, Format[Any]]]
    inputs: tuple[str, ...]

    @classmethod
    def plan(cls, schema: Schema, output: Mapping[str, Format[Any]], inputs: tuple[str, ...]) -> Codec:
        """Choose the member of every field. Raises RecipeError where a field cannot be written as asked."""
        for name in output:
            if name not in schema.fields:
                raise RecipeError(f"output.{name}: there is no field {name!r}; the fields are {', '.join(schema.fields)}")
        formats = {name: _format(schema, name, output.get(name)) for name in schema.fields}
        _one_format_a_kind(schema, formats)
        kinds = Counter(type_.kind for type_ in schema.fields.values())
        members: dict[str, tuple[str, Format[Any]]] = {}
        for name, type_ in schema.fields.items():
            bare = type_.kind in _BARE_NAMES and formats[name].format != "npy" and (name == type_.kind or kinds[type_.kind] == 1)
            extension = formats[name].format if bare else f"{name}.{formats[name].format}"
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
                raise RecipeError(f"field {name!r}: a name is made of letters, digits and _, and begins with a letter")
            if len(extension) > _LONGEST_EXTENSION:
                raise RecipeError(f"the name of field {name!r} is too long for a member of a tar: {extension!r}; rename it")
            if (other := next((one for one in members if one.lower() == extension.lower()), None)) is not None:
                raise RecipeError(f"fields {members[other][0]!r} and {name!r}: to some readers these names are one; rename one")
            members[extension] = (name, formats[name])
        return cls(schema, dict(sorted(members.items())), inputs)

    @property
    def extensions(self) -> list[str]:
        """The extensions of every record's members, sorted as they stand in the tar."""
        return sorted([*self.members, METADATA_MEMBER])

    @property
    def measures(self) -> dict[str, ScalarName]:
        """Names and types of the measures of every record: `FIELD.MEASURE`."""
        return measure_types(self.schema)

    def measure(self, record: Record) -> dict[str, Scalar]:
        """Return the record's measures; those of an absent field are zero."""
        found = measures_of(record)
        return {name: found.get(name, _ZERO[type_]) for name, type_ in self.measures.items()}

    def encode(self, record: Record) -> dict[str, bytes]:
        """Return the payload of every member by extension, sorted; an absent field gives an empty payload."""
        payloads = {}
        for extension, (name, _) in self.members.items():
            value = record.fields.get(name)
            payloads[extension] = b"" if value is None else self._encoders[extension](value)
        payloads[METADATA_MEMBER] = self._describe(record).encode()
        return dict(sorted(payloads.items()))

    @cached_property
    def _encoders(self) -> dict[str, Latest[Value, bytes]]:
        return {extension: Latest(_encoder(format_)) for extension, (_, format_) in self.members.items()}

    def _describe(self, record: Record) -> str:
        origin = record.origin
        described: dict[str, Any] = {
            "key": record.key,
            "source_key": origin.source_key,
            "split": origin.split,
            "group": origin.group,
            "inputs": {name: vars(origin.inputs[name]) for name in self.inputs},
            "annotations": canonical_json({name: notes for name, value in record.fields.items() if (notes := _notes(value))}),
            "lineage": canonical_json({name: steps for name, value in record.fields.items() if (steps := _steps(value))}),
        }
        # An object without keys has no type that other readers could infer, so it is left out of every record.
        if self.schema.metadata:
            described["metadata"] = {name: record.metadata[name] for name in self.schema.metadata}
        if measures := self.measure(record):
            described["measures"] = measures
        return canonical_json(described)

    def decode(self, payloads: Mapping[str, bytes], row: int = -1) -> Record:
        """Return the record that these payloads (by extension) hold. Raises RecordError for a payload that is damaged.

        The number of its input row stands in the index alone, so that a shard stays as it is where rows before it come and go.
        """
        try:
            described = _DESCRIBED.validate_json(payloads[METADATA_MEMBER], strict=True)
            notes = _ANNOTATED.validate_json(described.annotations, strict=True)
            steps = _TAKEN.validate_json(described.lineage, strict=True)
        except ValidationError as error:
            raise _malformed(error) from error
        fields = {}
        for extension, (name, format_) in self.members.items():
            if payloads[extension]:
                value = self._typed(name, format_.decode(payloads[extension]), notes.get(name, {}), described)
                fields[name] = _annotated(value, notes.get(name, {}), steps.get(name, []))
        said = described
        origin = Origin(row, said.source_key, said.split, said.group, said.inputs)
        return Record(said.key, fields, origin, said.metadata, said.measures)

    def _typed(self, name: str, value: Value, notes: Mapping[str, Any], described: _Described) -> Value:
        """Return a value with what of it stands in the json member."""
        kind = self.schema.fields[name].kind
        if kind == "tokens":
            return _tokens(cast("Array", value), notes.get("offsets", []))
        if kind != "video" or not isinstance(value, Array):
            return value
        return clip_of(value, notes.get("times", []), cast("float", described.measures.get(f"{name}.seconds", 0.0)))


def _tokens(ids: Array, offsets: object) -> Tokens:
    try:
        return Tokens(ids.array, np.array(offsets, dtype=np.int32).reshape(-1, 2))
    except (TypeError, ValueError, OverflowError) as error:
        raise RecordError("tokens cannot be decoded", str(error)) from error


@dataclass(frozen=True)
class _Described:
    """The json member of a record, each value of the type that it must have."""

    key: str
    source_key: str
    split: str
    group: str
    inputs: dict[str, Provenance]
    annotations: str
    lineage: str
    metadata: dict[str, Scalar] = field(default_factory=dict)
    measures: dict[str, Scalar] = field(default_factory=dict)


_DESCRIBED = TypeAdapter(_Described)
_ANNOTATED = TypeAdapter(dict[str, dict[str, list[Any]]])
_TAKEN = TypeAdapter(dict[str, list[dict[str, Any]]])


def _malformed(error: ValidationError) -> RecordError:
    first = error.errors(include_url=False)[0]
    return RecordError("json member is not as a build writes it", f"{'.'.join(map(str, first['loc']))}: {first['msg']}")


def clip_of(frames: Array, times: object, seconds: float) -> Video:
    """Return a clip whose frames are stored as an array, with the times of its json member. Raises RecordError."""
    try:
        return Video(frames.array, np.array(times, dtype=np.float64), seconds=seconds)
    except (TypeError, ValueError) as error:
        raise RecordError("clip cannot be decoded", str(error)) from error


def _format(schema: Schema, name: str, wanted: Format[Any] | None) -> Format[Any]:
    type_ = schema.fields[name]
    if type_.encoded:
        raise RecipeError(f"field {name!r} is still encoded at the end; decode it first ({type_.kind}.decode)")
    if type_.kind not in DEFAULTS:
        raise RecipeError(f"field {name!r} is of kind {type_.kind}, which no format can write yet; drop it")
    default = DEFAULTS[type_.kind]
    if wanted is not None and not holds(wanted, type_.kind):
        raise RecipeError(f"output.{name}: {wanted.format} holds {wanted.kind}, but the field is of kind {type_.kind}")
    return wanted or default


def _one_format_a_kind(schema: Schema, formats: Mapping[str, Format[Any]]) -> None:
    """Readers that infer a column a file extension turn the records of a second extension into nothing."""
    for kind in ("image", "audio", "video"):
        used = sorted({formats[name].format for name, type_ in schema.fields.items() if type_.kind == kind})
        if len(used) > 1:
            raise RecipeError(f"output: the {kind} fields have the formats {', '.join(used)}; a dataset has one")


def _encoder(format_: Format[Any]) -> Callable[[Value], bytes]:
    return lambda value: format_.encode(_as_array(value) if format_.kind == "array" else value)


def _as_array(value: Value) -> Value:
    match value:
        case Tokens():
            return Array(value.ids)
        case Video(sound=None):
            return Array(value.frames)
        case Video():
            raise RecordError("npy holds no sound", "write the clip as mp4, or decode it without sound")
        case _:
            return value


def _notes(value: Value) -> dict[str, Any]:
    if isinstance(value, Tokens):
        return {"offsets": value.offsets.tolist()} if len(value.ids) else {}
    found = {kind: getattr(value, kind, ()) for kind in _ANNOTATIONS}
    times = {"times": value.times.tolist()} if isinstance(value, Video) else {}
    return times | {kind: [list(vars(note).values()) for note in notes] for kind, notes in found.items() if notes}


def _steps(value: Value) -> list[dict[str, Any]]:
    return [step.to_json() for step in getattr(value, "lineage", ())]


def _annotated(value: Value, notes: Mapping[str, Any], steps: list[dict[str, Any]]) -> Value:
    if isinstance(value, Array | Tokens):
        return value
    try:
        held = {kind: _READERS[kind](found) for kind, found in notes.items() if kind != "times"}
        lineage = tuple(Step.from_json(step) for step in steps)
        return cast("Value", replace(value, **{**held, "lineage": lineage}))  # type: ignore[arg-type]
    except ValidationError as error:
        raise _malformed(error) from error
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise RecordError("json member is not as a build writes it", f"annotations or lineage: {error!r}") from error


def _reader(kind: type[Any]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """Return what reads annotations of one kind, each a list of its values. It raises ValidationError."""
    adapter = TypeAdapter(tuple[kind, ...])  # type: ignore[valid-type]
    return lambda found: adapter.validate_python(tuple(ArgsKwargs(tuple(note)) for note in found))


_READERS = {kind: _reader(made) for kind, made in _ANNOTATIONS.items()}
