"""The measures that every field has by its kind: width and height, seconds, tokens, characters.

The codec writes them to the index, and `record.where` compares them; measures that stages compute stand beside them in the
record itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from mmdata.record import Record, Scalar
from mmdata.schema import ScalarName, Schema
from mmdata.values import Audio, Image, Kind, Text, Tokens, Value, Video

BUILT_IN: Mapping[Kind, Mapping[str, ScalarName]] = {
    "image": {"width": "int", "height": "int"},
    "audio": {"seconds": "float"},
    "video": {"seconds": "float", "frames": "int", "width": "int", "height": "int"},
    "tokens": {"tokens": "int"},
    "text": {"characters": "int"},
}


def measure_types(schema: Schema) -> dict[str, ScalarName]:
    """Return names (`FIELD.MEASURE`, sorted) and types of all measures of such records, built-in and computed."""
    built_in = {
        f"{name}.{measure}": scalar
        for name, type_ in schema.fields.items()
        for measure, scalar in BUILT_IN.get(type_.kind, {}).items()
    }
    return dict(sorted({**built_in, **schema.measures}.items()))


def measures_of(record: Record) -> dict[str, Scalar]:
    """Return the measures that a record has, by `FIELD.MEASURE`; a field that is absent or still encoded has none built in."""
    built_in = {f"{name}.{key}": value for name, held in record.fields.items() for key, value in measured(held).items()}
    return {**built_in, **record.measures}


def measured(value: Value) -> dict[str, Scalar]:
    """Return the built-in measures of a value: pixels, seconds, counts; none while it is encoded."""
    match value:
        case Image(data=data) if not isinstance(data, bytes):
            height, width = data.shape[:2]
            return {"width": width, "height": height}
        case Audio(data=data) if not isinstance(data, bytes):
            return {"seconds": value.seconds}
        case Video(data=data) if not isinstance(data, bytes):
            count, height, width = data.shape[:3]
            return {"seconds": value.seconds, "frames": count, "width": width, "height": height}
        case Tokens():
            return {"tokens": len(value.ids)}
        case Text():
            return {"characters": len(value.text)}
        case _:
            return {}
