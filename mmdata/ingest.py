"""Makes a record of an input row: reads the raw files it names, with their sha256, and the annotations beside them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mmdata.errors import MmdataError, RecordError
from mmdata.files import canonical_json
from mmdata.latest import Latest
from mmdata.listing import ListedRows
from mmdata.plan import PlannedRow
from mmdata.raw import FileDigests, Place, RawInput, places_of, read_place, unreadable
from mmdata.recipe import FieldSpec, Recipe
from mmdata.record import Origin, Provenance, Record, Reject, Scalar
from mmdata.schema import ScalarName
from mmdata.sources.base import Source
from mmdata.subtitles import parse_subtitles
from mmdata.values import Audio, Box, FrameBox, Image, Point, Segment, Span, Text, Value, Video

_LARGEST = 2**63
_NOTES: dict[str, Callable[..., Any]] = {
    "boxes": Box,
    "points": Point,
    "segments": Segment,
    "frame_boxes": FrameBox,
    "spans": Span,
}
_NUMBERS = {"boxes": 4, "points": 2, "segments": 2, "frame_boxes": 5, "spans": 2}


@dataclass(frozen=True)
class Ingested:
    """What reading a row gave: its record, or why there is none; and what its files hold."""

    result: Record | Reject
    files: FileDigests


class Ingest:
    """Reads rows of one recipe. A raw file that follows itself, as a picture with many captions does, is read once."""

    def __init__(self, recipe: Recipe, source: Source, fields: Iterable[str] | None = None) -> None:
        """Read only `fields`, by default all that the recipe names."""
        wanted = set(recipe.fields if fields is None else fields)
        self._recipe = recipe
        self._fields = {name: spec for name, spec in recipe.fields.items() if name in wanted}
        self._inputs = [name for name in recipe.raw_inputs if name.partition(".")[0] in wanted]
        self._source = source
        self._rows = ListedRows(recipe, source)
        self._latest: dict[str, tuple[str, RawInput]] = {}
        self._values = {name: Latest(_reader(spec.kind)) for name, spec in self._fields.items()}

    def __call__(self, planned: PlannedRow) -> Ingested:
        """Return the record of a row; a field whose column is empty is left out, and its provenance is empty.

        Raises SourceError where the source changed since it was planned.
        """
        columns = self._rows[planned]
        found: dict[str, RawInput] = {}
        files: dict[str, str] = {}
        errors: list[RecordError | MemoryError] = []
        for name, place in places_of(self._recipe, self._fields, columns).items():
            try:
                found[name] = self._read(name, place)
                held = found[name].provenance.sha256
            except RecordError as error:
                errors.append(error)
                held = unreadable(error)
            except MemoryError as error:
                errors.append(error)
                continue  # nothing is known of the file: where there is more memory, it can be read
            if place.is_file:
                files[name] = held
        try:
            return Ingested(Reject.of(errors[0], "source") if errors else self._record(planned, columns, found), files)
        except Exception as error:
            if isinstance(error, MmdataError) and not isinstance(error, RecordError):
                raise
            # Whatever a row holds costs the row, never the build.
            return Ingested(Reject.of(error, "source"), files)

    def _read(self, name: str, place: Place) -> RawInput:
        if not place.is_file:
            return read_place(self._source, place)
        latest = self._latest.get(name)
        if latest is None or latest[0] != place.content:
            latest = self._latest[name] = place.content, read_place(self._source, place)
        return latest[1]

    def _record(self, planned: PlannedRow, columns: Mapping[str, Any], found: Mapping[str, RawInput]) -> Record:
        fields = {
            name: _noted(self._values[name](found[name]), spec, _with_subtitles(spec, columns, found.get(f"{name}.segments")))
            for name, spec in self._fields.items()
            if name in found
        }
        inputs = {name: found[name].provenance if name in found else Provenance("", "", 0) for name in self._inputs}
        metadata = {name: _scalar(name, columns.get(name), type_) for name, type_ in self._recipe.metadata.items()}
        origin = Origin(planned.row, planned.source_key, planned.split, planned.group, inputs)
        return Record(planned.key, fields, origin, metadata)


def _with_subtitles(spec: FieldSpec, columns: Mapping[str, Any], subtitles: RawInput | None) -> Mapping[str, Any]:
    """Return the columns in which subtitles, a file or a text, stand as segments."""
    if not spec.segments or subtitles is None:
        return columns
    segments = [[segment.start, segment.end, segment.label] for segment in parse_subtitles(subtitles.content)]
    return {**columns, spec.segments: segments}


def _reader(kind: str) -> Callable[[RawInput], Value]:
    return lambda raw: _value(kind, raw.content)


def _value(kind: str, raw: bytes) -> Value:
    if kind == "image":
        return Image(raw)
    if kind == "audio":
        return Audio(raw)
    if kind == "video":
        return Video(raw)
    try:
        return Text(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise RecordError("text is not UTF-8", f"byte {error.start}: {error.reason}") from error


def _noted(value: Value, spec: FieldSpec, columns: Mapping[str, Any]) -> Value:
    notes = {kind: _read_notes(kind, columns.get(column)) for kind, column in spec.annotations.items()}
    if not any(notes.values()):
        return value
    match value:
        case Image():
            return Image(value.data, notes.get("boxes", ()), notes.get("points", ()))
        case Audio():
            return Audio(value.data, value.rate, notes.get("segments", ()))
        case Video():
            return Video(value.data, segments=notes.get("segments", ()), frame_boxes=notes.get("frame_boxes", ()))
        case Text():
            spans = notes.get("spans", ())
            if any(not 0 <= span.start <= span.end <= len(value.text) for span in spans):
                raise RecordError("spans do not fit the text", f"the text has {len(value.text)} characters")
            return Text(value.text, spans)
        case _:
            return value


def _read_notes(kind: str, items: object) -> tuple[Any, ...]:
    """Read `[[number, …, label], …]`, or its JSON text as a cell of a CSV file holds it; the label may be left out."""
    if items is None or items == "":
        return ()
    try:
        found = json.loads(items) if isinstance(items, str) else items
        assert isinstance(found, list)
        return tuple(_read_note(kind, item) for item in found)
    except (AssertionError, TypeError, ValueError, OverflowError, RecursionError) as error:
        expected = f"a list of [{_NUMBERS[kind]} numbers, label]"
        raise RecordError(f"{kind} are malformed", f"expected {expected}, found {str(items)[:80]!r}") from error


def _read_note(kind: str, item: Any) -> Any:  # noqa: ANN401 - plain data in, an annotation out
    count = _NUMBERS[kind]
    numbers, label = item[:count], item[count:]
    assert len(numbers) == count
    assert len(label) <= 1
    assert all(isinstance(text, str) and text.encode() is not None for text in label)
    allowed = int if kind == "spans" else (int, float)
    assert all(isinstance(number, allowed) and not isinstance(number, bool) and math.isfinite(number) for number in numbers)
    # All but points end in a range, or in two corners; a range that runs backwards is a mistake in the corpus.
    sides = {"boxes": ((0, 2), (1, 3)), "frame_boxes": ((1, 3), (2, 4)), "segments": ((0, 1),), "spans": ((0, 1),)}.get(kind, ())
    assert all(numbers[low] <= numbers[high] for low, high in sides)
    return _NOTES[kind](*(numbers if kind == "spans" else map(float, numbers)), *label)


def _scalar(name: str, value: object, type_: ScalarName) -> Scalar:
    """Return a metadata value as its type; only a text or a `json` may be missing."""
    try:
        return _READERS[type_](value)
    except (TypeError, ValueError, OverflowError) as error:
        detail = f"column {name!r} must be {type_}, found {str(value)[:80]!r}"
        raise RecordError("metadata has the wrong type", detail) from error


def _string(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list | dict | bytes):
        raise TypeError
    text = str(value)
    text.encode()
    return text


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str) or "_" in str(value):
        raise ValueError
    if not -_LARGEST <= (number := int(value)) < _LARGEST:
        raise ValueError
    return number


def _real(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str) or not math.isfinite(number := float(value)):
        raise ValueError
    return number


def _truth(value: object) -> bool:
    words = {"true": True, "false": False}
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or value.lower() not in words:
        raise ValueError
    return words[value.lower()]


def _json_text(value: object) -> str:
    text = canonical_json(value)
    text.encode()
    return text


_READERS: dict[str, Callable[[object], Scalar]] = {
    "str": _string, "int": _integer, "float": _real, "bool": _truth, "json": _json_text,
}  # fmt: skip
