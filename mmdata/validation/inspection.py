"""`mmdata inspect`: all that is known of one record, with its annotations taken back to the raw data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmdata.errors import DatasetError, RecordError
from mmdata.files import publish
from mmdata.keys import is_key
from mmdata.lineage import Step
from mmdata.validation.annotations import KINDS, raw_places
from mmdata.validation.movements import moved, raw_part
from mmdata.validation.samples import Sample
from mmdata.values import Array, Audio, Image, Text, Tokens, Value, Video


def inspected(sample: Sample) -> dict[str, Any]:
    """Return a record as plain data: members with their sizes, fields with annotations and lineage, and its origin.

    Each annotation has `raw`, its numbers in coordinates of the raw data, where stages moved it. Each step of a lineage also says
    in `words` what it did; `raw_part` says which part of the raw data the field holds, or is None.
    """
    record = sample.record
    return {
        "key": record.key,
        "split": record.origin.split,
        "shard": sample.shard.file,
        "members": {extension: len(payload) for extension, payload in sample.payloads.items()},
        "fields": {name: _field(value, sample.schema.fields[name].text) for name, value in record.fields.items()},
        "metadata": dict(record.metadata),
        "measures": dict(record.measures),
        "origin": {
            "source_key": record.origin.source_key,
            "row": record.origin.row,
            "group": record.origin.group,
            "inputs": {name: vars(given) for name, given in record.origin.inputs.items() if given.sha256},
        },
    }


def _field(value: Value, text: str | None) -> dict[str, Any]:
    steps: Sequence[Step] = getattr(value, "lineage", ())
    kinds = [kind for kind in KINDS[value.kind] if kind not in {"offsets", "times"}]
    notes = {kind: [_note(kind, note, steps) for note in getattr(value, kind, ())] for kind in kinds}
    content = {"kind": value.kind, **_content(value), **({"text_field": text} if text else {})}
    with _undoing("lineage"):
        lineage = {"lineage": [{**step.to_json(), "words": moved(step)} for step in steps], "raw_part": _raw_part(value, steps)}
    return {**content, **{kind: found for kind, found in notes.items() if found}, **lineage}


def _raw_part(value: Value, steps: Sequence[Step]) -> str | None:
    match value:
        case Image():
            height, width = value.pixels.shape[:2]
        case Video():
            height, width = value.frames.shape[1:3]
        case _:
            return raw_part(None, steps)
    return raw_part((width, height), steps)


def _content(value: Value) -> dict[str, Any]:
    match value:
        case Image():
            return {"width": value.pixels.shape[1], "height": value.pixels.shape[0]}
        case Audio():
            return {"seconds": value.seconds, "rate": value.rate, "channels": value.samples.shape[0]}
        case Text():
            return {"text": value.text}
        case Tokens():
            return {"ids": value.ids.tolist(), "offsets": value.offsets.tolist()}
        case Array():
            return {"dtype": str(value.array.dtype), "shape": list(value.array.shape)}
        case Video():
            count, height, width = value.frames.shape[:3]
            heard = {"rate": value.sound.rate} if value.sound is not None else {}
            return {"seconds": value.seconds, "frames": count, "width": width, "height": height, **heard}


def _note(kind: str, note: object, steps: Sequence[Step]) -> dict[str, Any]:
    """Return an annotation with its place in the raw data. Raises RecordError for a lineage that cannot be undone."""
    values: Sequence[Any] = list(vars(note).values())
    with _undoing(kind):
        back = raw_places(kind, steps)
        return dict(vars(note)) | ({"raw": back(values)} if back is not None and steps else {})


@contextmanager
def _undoing(what: str) -> Iterator[None]:
    try:
        yield
    except (ArithmeticError, AttributeError, IndexError, TypeError, ValueError) as error:
        raise RecordError("lineage cannot be undone", f"{what}: {error}; run `mmdata validate` on the folder") from error


def export(sample: Sample, folder: Path) -> list[Path]:
    """Write the members of a record as files into a folder, which is made; return them. Raises DatasetError."""
    key = sample.record.key
    if not is_key(key):
        raise DatasetError(f"{sample.shard.file}: the key {key!r} must not name a file; run `mmdata validate` on the folder")
    files = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for extension, payload in sample.payloads.items():
            files.append(folder / f"{key}.{extension}")
            publish(files[-1], payload)
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be written to ({error.strerror}); name another folder (--export)") from error
    return files
