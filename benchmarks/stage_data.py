"""What `benchmarks.stages` measures on: real pictures, recordings, texts and clips, as records that are ready for a stage."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

from mmdata.dsp.video_file import require_extra
from mmdata.errors import RecordError
from mmdata.record import Origin, Record, Reject
from mmdata.rng import rng_for
from mmdata.schema import FieldType, Schema
from mmdata.stages import stage_class
from mmdata.stages.base import FitStage, Outcome, Stage
from mmdata.values import Audio, Image, Text, Value, Video

InputName = Literal["photos", "stamps", "drawings", "documents", "personal", "clips"]
Step = tuple[str, Mapping[str, Any]]
"""A stage by its name, and its options."""
Call = Callable[[], object]
"""What is measured beside a stage: a library call that has all it needs."""

PERSONAL_TEXTS = Path(__file__).with_name("data") / "redaction.jsonl"
CAPTIONS_A_DOCUMENT = 40
MOST_CLIPS = 8  # made of photos: each takes seconds to encode
_FIELDS: Mapping[InputName, tuple[str, ...]] = {
    "photos": ("image", "text"),
    "stamps": ("image", "audio", "text"),
    "drawings": ("image",),
    "documents": ("text",),
    "personal": ("text",),
    "clips": ("video",),
}


class InputMissingError(Exception):
    """A case has nothing to be measured on."""


@dataclass(frozen=True)
class Inputs:
    """The folders of the corpora, and how many records are read of each.

    `stamps` and `photos` hold a `manifest.jsonl` with `key`, `image`, `text`, and in `stamps` also `audio` and, where there are
    several, the language `lang`; paths are relative to the folder. SVG files among the stamps are read as `drawings` alone.
    `clips` holds MP4 files; without it, some are made of the photos, and of the recordings among the stamps.
    """

    stamps: Path
    photos: Path
    clips: Path | None
    records: int

    def read(self, name: InputName) -> tuple[list[Record], Schema]:
        """Return raw records, evenly spread over the corpus, and their schema. Raises InputMissingError where there are none."""
        readers: dict[InputName, Callable[[], Iterator[tuple[dict[str, Value], str]]]] = {
            "photos": lambda: self._rows(self.photos, "photos"),
            "stamps": lambda: self._rows(self.stamps, "stamps"),
            "drawings": lambda: self._rows(self.stamps, "drawings"),
            "documents": self._documents,
            "personal": self._personal,
            "clips": self._clips,
        }
        rows = list(readers[name]())
        if not rows:
            raise InputMissingError(f"there are no {name}")
        records = [
            Record(f"{name}-{row}", fields, Origin(row, f"{name}-{row}", "train", str(row)), {"lang": language})
            for row, (fields, language) in enumerate(rows)
        ]
        kinds = {field: rows[0][0][field].kind for field in _FIELDS[name]}
        types = {
            field: FieldType(kind, encoded=kind != "text", dtype="str" if kind == "text" else None)
            for field, kind in kinds.items()
        }
        return records, Schema(types, {"lang": "str"})

    def _rows(self, folder: Path, name: InputName) -> Iterator[tuple[dict[str, Value], str]]:
        lines = [line for line in _lines(folder / "manifest.jsonl") if line["image"].endswith(".svg") == (name == "drawings")]
        for line in self._spread(lines):
            read: dict[str, Callable[[str], Value]] = {
                "image": lambda path: Image((folder / path).read_bytes()),
                "audio": lambda path: Audio((folder / path).read_bytes()),
                "text": Text,
            }
            yield {field: read[field](line[field]) for field in _FIELDS[name]}, line.get("lang", "")

    def _documents(self) -> Iterator[tuple[dict[str, Value], str]]:
        """Yield texts of 40 captions of one language each."""
        by_language: dict[str, list[str]] = {}
        for line in _lines(self.stamps / "manifest.jsonl"):
            by_language.setdefault(line.get("lang", ""), []).append(line["text"])
        documents = [
            (" ".join(captions[start : start + CAPTIONS_A_DOCUMENT]), language)
            for language, captions in sorted(by_language.items())
            for start in range(0, len(captions), CAPTIONS_A_DOCUMENT)
        ]
        for text, language in self._spread(documents):
            yield {"text": Text(text)}, language

    def _personal(self) -> Iterator[tuple[dict[str, Value], str]]:
        for line in self._spread(_lines(PERSONAL_TEXTS)):
            yield {"text": Text(line["text"])}, line["language"]

    def _clips(self) -> Iterator[tuple[dict[str, Value], str]]:
        paths = [] if self.clips is None else self._spread(sorted(self.clips.glob("*.mp4")))
        for data in self._made_clips if self.clips is None else (path.read_bytes() for path in paths):
            yield {"video": Video(data)}, ""

    @cached_property
    def _made_clips(self) -> list[bytes]:
        """Some clips, each of other photos. Raises MissingExtraError where they cannot be written."""
        from benchmarks.stage_clips import PHOTOS_A_CLIP, clip_of

        require_extra("making clips")
        photos = [cast("Image", fields["image"]).encoded for fields, _ in self._rows(self.photos, "photos")]
        recordings = [cast("Audio", fields["audio"]).encoded for fields, _ in self._rows(self.stamps, "stamps")]
        groups = [photos[start : start + PHOTOS_A_CLIP] for start in range(0, len(photos), PHOTOS_A_CLIP)]
        return [clip_of(group, recording) for group, recording in list(zip(groups, recordings, strict=False))[:MOST_CLIPS]]

    def _spread(self, items: Sequence[Any]) -> Sequence[Any]:
        """Return at most `records` of the items, at even distances."""
        count = min(self.records, len(items))
        return [items[number * len(items) // count] for number in range(count)]


def _lines(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def fitted(stage: Stage, records: Sequence[Record]) -> Stage:
    """Return the stage, with what it learns from the records where it has to."""
    if isinstance(stage, FitStage) and stage.needs_fit:
        return stage.fitted(stage.reduce(stage.observe(records)))
    return stage


def made(step: Step) -> Stage:
    """Return the stage of a step."""
    name, options = step
    return stage_class(name).model_validate(options)


def after(records: Sequence[Record], schema: Schema, steps: Sequence[Step]) -> tuple[list[Record], Schema]:
    """Return what comes out of some stages, and its schema; what they turn away is left out.

    Raises InputMissingError where nothing comes out, and what `infer` raises.
    """
    for step in steps:
        stage = made(step)
        schema = stage.infer(schema)
        stage = fitted(stage, records)
        records = [result for record in records for result in results_of(outcome_of(stage, record))]
    if not records:
        raise InputMissingError("no record gets as far as this stage")
    return list(records), schema


def outcome_of(stage: Stage, record: Record) -> Outcome:
    """Return what becomes of a record; one that the stage cannot use is rejected."""
    try:
        return stage(record, rng_for(0, stage.stage, record.key))
    except RecordError as error:
        return Reject("error", error.reason, error.detail)


def results_of(outcome: Outcome) -> list[Record]:
    """Return the records that came out."""
    if isinstance(outcome, Reject):
        return []
    return outcome if isinstance(outcome, list) else [outcome]


def amount_of(kind: str, record: Record) -> float:
    """Return megapixels, seconds of sound or characters of the fields that are decoded; 0 for records as such."""
    match kind, record.fields.get(kind):
        case "image", Image(data=data) if not isinstance(data, bytes):
            return float(data.shape[0] * data.shape[1] / 1e6)
        case "audio", Audio(data=data) as recording if not isinstance(data, bytes):
            return recording.seconds
        case "text", Text(text=text):
            return float(len(text))
    return 0.0
