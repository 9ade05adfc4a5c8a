"""The stage that cuts long recordings into clips: `audio.clip`, which makes several records of one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, Self, cast

import numpy as np
from pydantic import Field, model_validator

from mmdata.dsp.cutting import Bounds, Sounds, cut_times, pauses_between, runs
from mmdata.dsp.levels import frame_levels, hop_length, loudest_level, sounding
from mmdata.errors import RecordError
from mmdata.lineage import TimeMap
from mmdata.record import Record, Reject
from mmdata.schema import Schema
from mmdata.stages.base import Outcome, Stage
from mmdata.stages.text import check_not_tokenized
from mmdata.values import Audio, Segment, Text

_TOUCHING = 1e-9  # seconds; what two segments share may be an error of rounding


class Clip(Stage):
    """Cuts a long recording at its pauses into clips of bounded length, each a record of its own.

    The clips together are the whole recording; segments follow into theirs. A segment of the transcript, which is any that has
    not the label of the speech segments, is cut only where no border fits into the bounds; then both clips hold their part of it,
    marked. Cuts are made in pauses, or where it is quietest where there is none. Pauses are found by level, or between the
    segments of a label, such as those of `audio.speech`.

    With `text`, each clip gets its part of that field: the part of the text in which the labels of its segments stand, with its
    spans, or, where the text does not hold the labels in their order, the labels joined by spaces, without spans. Other fields
    and the measures are the same in all clips, so measure after this stage. A recording that is no longer than the maximum goes
    through as it is; one that is shorter than the minimum is rejected as filtered.

    Example:
        - audio.clip: {minimum: 5, maximum: 30, text: text}
    """

    field: str = Field("audio", description="The field of the recordings.")
    minimum: float = Field(5.0, ge=0.0, description="Shortest clip in seconds, at most half of the maximum.")
    maximum: float = Field(30.0, ge=0.1, le=3600.0, description="Longest clip in seconds, 0.1 to 3600.")
    by: Literal["level", "segments"] = Field("level", description="How pauses are found: where it is quiet, or between segments.")
    threshold_db: float = Field(
        -40.0,
        ge=-120.0,
        lt=0.0,
        description="By level: silence is below this, in dB relative to the loudest frame, -120 to below 0.",
    )
    pause: float = Field(0.2, ge=0.0, le=60.0, description="Shorter silence is no pause; seconds, 0 to 60.")
    label: str = Field("speech", description="The label of the segments of speech; they are no part of the transcript.")
    text: str | None = Field(None, description="The text field that each clip gets its part of, by the labels of its segments.")

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        if self.minimum > self.maximum / 2:
            raise ValueError(f"minimum {self.minimum} must be at most half of maximum {self.maximum}, so that any length fits")
        return self

    def infer(self, schema: Schema) -> Schema:
        """Check the recording, and the text with it. Raises RecipeError."""
        schema.require(self.field, "audio")
        if self.text is not None:
            schema.require(self.text, "text")
            check_not_tokenized(schema, self.text)
        return schema

    def reads(self) -> frozenset[str]:
        """The recording, and the text where it is cut too."""
        return frozenset([self.field, *([self.text] if self.text is not None else [])])

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Return the record as it is, the records of the clips in order, or a Reject."""
        if self.field not in record.fields:
            return record
        value = cast("Audio", record[self.field])
        if value.seconds < self.minimum:
            return Reject("filtered", "recording is too short", f"{value.seconds:.3f} s; at least {self.minimum:g} s are wanted")
        bounds = Bounds(max(1, int(self.minimum * value.rate)), int(self.maximum * value.rate))
        if value.samples.shape[1] <= bounds.longest:
            return record
        borders = list(pairwise(cut_times(self._sounds(value), bounds)))
        clips = [record.with_fields(**{self.field: self._clip(value, start, end)}) for start, end in borders]
        if self.text is None or self.text not in record.fields:
            return clips
        texts = self._texts(cast("Text", record[self.text]), value, borders)
        return [clip.with_fields(**{self.text: text}) for clip, text in zip(clips, texts, strict=True)]

    def _clip(self, value: Audio, start: float, end: float) -> Audio:
        """Return the samples of a clip with its segments; a border that is at no sample goes to the nearest one."""
        samples = value.samples[:, round(start * value.rate) : round(end * value.rate)].copy()
        return value.retimed(samples, TimeMap.cut(start, end), self.stage)

    def _sounds(self, value: Audio) -> Sounds:
        """Return where the recording sounds, where it pauses, and what its transcript is."""
        rate, hop = value.rate, hop_length(value.rate)
        levels = frame_levels(value.samples, hop)
        loud = sounding(levels, self.threshold_db)
        if self.by == "level":
            spans = [(first * hop / rate, (after + 1) * hop / rate) for first, after in runs(loud)]
        else:
            spans = [(segment.start, segment.end) for segment in value.segments if segment.label == self.label]
        pauses = pauses_between(spans, value.seconds, self.pause)
        above = (
            np.maximum(levels - loudest_level(levels), self.threshold_db)
            if loud.any()
            else np.full(len(levels), self.threshold_db)
        )
        segments = [(segment.start, segment.end) for segment in self._transcript(value)]
        return Sounds(rate, value.samples.shape[1], 1.0 - above / self.threshold_db, hop, pauses, segments)

    def _transcript(self, value: Audio) -> list[Segment]:
        """Return the segments that are no speech segments, by time."""
        found = (segment for segment in value.segments if segment.label != self.label)
        return sorted(found, key=lambda segment: (segment.start, segment.end))

    def _texts(self, text: Text, value: Audio, borders: list[tuple[float, float]]) -> list[Text]:
        """Return the part of each clip. Raises RecordError where there is no transcript to tell them by."""
        transcript = [segment for segment in self._transcript(value) if segment.label.strip()]
        if not transcript:
            raise RecordError(
                "recording has no transcript", "no segment has words that would tell which part of the text is whose"
            )
        labels = [segment.label.strip() for segment in transcript]
        parts = [
            [number for number, one in enumerate(transcript) if one.start < end - _TOUCHING and one.end > start + _TOUCHING]
            for start, end in borders
        ]
        return texts_of_parts(text, labels, parts, self.stage)


def texts_of_parts(text: Text, labels: Sequence[str], parts: Sequence[Sequence[int]], stage: str) -> list[Text]:
    """Return the text of each part, which is a list of numbers of labels, in order.

    Where the text is nothing but the labels in their order, with punctuation and white space between them, a part is cut from it
    from its first label to the next label that is not in it. Elsewhere, or where a part has a gap, it is its labels joined, and
    the spans are removed and counted.
    """
    starts = _places(labels, text.text)
    return [_part(text, labels, part, starts, stage) for part in parts]


def _part(text: Text, labels: Sequence[str], part: Sequence[int], starts: list[int] | None, stage: str) -> Text:
    length = len(text.text)
    if starts is None or len(part) == 0 or part[-1] - part[0] + 1 != len(part):
        # In two steps: a span of the text as it was points at nothing in one that is written anew, so it goes, and is counted.
        return text.edited([(0, length, "")], stage).edited([(0, 0, " ".join(labels[number] for number in part))], stage)
    start, end = starts[part[0]], starts[part[-1] + 1]
    kept = text.text[start:end]
    start, end = start + len(kept) - len(kept.lstrip()), end - len(kept) + len(kept.rstrip())
    return text.edited([(0, start, ""), (end, length, "")], stage)


def _places(labels: Sequence[str], text: str) -> list[int] | None:
    """Return where each label begins, 0 for the first, and the end of the text; None where other words stand between them."""
    starts, done = [], 0
    for label in labels:
        start = text.find(label, done)
        if start < 0 or any(character.isalnum() for character in text[done:start]):
            return None
        starts.append(start)
        done = start + len(label)
    if any(character.isalnum() for character in text[done:]):
        return None
    return [0, *starts[1:], len(text)]
