"""`video.cut`: one clip to many, by its segments, by scenes, or by length; clips are windows on the same file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Self, cast

import numpy as np
from pydantic import Field, model_validator

from mmdata.dsp.scenes import content_changes, scene_cuts
from mmdata.dsp.video_file import VideoFile, View, open_video, require_extra, upright
from mmdata.errors import RecipeError
from mmdata.record import Record, Reject
from mmdata.schema import FieldType, Schema
from mmdata.stages.base import Outcome, Stage
from mmdata.stages.video import length_of
from mmdata.values import Segment, Text, Video

_SCORED_SIDE = 128
"""Pixels of the short side on which scenes are told apart: enough for their colours, and many times faster."""


@dataclass(frozen=True)
class _Clip:
    """A stretch in seconds, and the segments whose words belong to it."""

    start: float
    end: float
    segments: tuple[Segment, ...] = ()


class Cut(Stage):
    """Cuts a video into clips that each become a record: by its segments, at the changes of scene, or into equal lengths.

    The clips stay windows on the encoded file: no frame is encoded anew, and memory holds the file once. Segments, boxes and the
    lineage follow each clip; every other field goes with each clip as it is, so cut before `video.audio`. By segments, neighbours
    are joined while the gap between them is at most `gap` and the clip at most `max_seconds`; a longer single one stays whole.
    By scene, a cut is where the mean change of hue, saturation and value between frames reaches `threshold` (PySceneDetect's
    ContentDetector); a longer scene is cut into equal parts. A video without segments, cut by them, is rejected as filtered.

    Example:
        - video.cut: {by: segments, max_seconds: 20, gap: 1, text: text}
    """

    field: str = Field("video", description="The field of the videos.")
    by: Literal["segments", "scenes", "length"] = Field("segments", description="Where to cut.")
    max_seconds: float = Field(30.0, gt=0.0, le=86400.0, description="Longest clip in seconds, above 0, to 86400.")
    min_seconds: float = Field(
        1.0,
        ge=0.0,
        le=86400.0,
        description="By scenes and length: a shorter clip is joined to the one before it; seconds, from 0.",
    )
    gap: float = Field(1.0, ge=0.0, le=3600.0, description="By segments: most seconds between two that are joined, 0 to 3600.")
    margin: float = Field(0.0, ge=0.0, le=60.0, description="By segments: seconds to add at both ends of a clip, 0 to 60.")
    threshold: float = Field(27.0, gt=0.0, le=255.0, description="By scenes: change of content that is a cut, above 0, to 255.")
    text: str | None = Field(
        None, pattern="^[A-Za-z][A-Za-z0-9_]*$", description="Name of a new text field: the labels of each clip's segments."
    )

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if self.min_seconds > self.max_seconds:
            raise ValueError("min_seconds must not be more than max_seconds")
        return self

    def infer(self, schema: Schema) -> Schema:
        """Check the field and add the text. Raises MissingExtraError, or RecipeError where the text's name is taken."""
        schema.require(self.field, "video", encoded=True)
        require_extra(self.stage)
        if self.text is None:
            return schema
        if self.text in schema.fields:
            raise RecipeError(f"text: there is a field {self.text!r} already; choose another name")
        return schema.with_field(self.text, FieldType("text", dtype="str"))

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Return a record for each clip, in the order of time."""
        if self.field not in record.fields:
            return record
        value = cast("Video", record[self.field])
        with open_video(value.encoded) as file:
            seconds = length_of(file, value)
            clips = list(self._clips(file, value, seconds))
        if not clips:
            return Reject("filtered", "video has no segments to cut by", f"in {seconds:.1f} seconds")
        return [self._record(record, value, clip) for clip in clips]

    def _record(self, record: Record, value: Video, clip: _Clip) -> Record:
        part = record.with_fields(**{self.field: value.window(clip.start, clip.end, self.stage)})
        words = " ".join(segment.label for segment in clip.segments if segment.label)
        return part if self.text is None else part.with_fields(**{self.text: Text(words)})

    def _clips(self, file: VideoFile, value: Video, seconds: float) -> Iterator[_Clip]:
        if self.by == "segments":
            yield from self._by_segments(value.segments, seconds)
            return
        cuts = self._scenes(file, value.start, seconds) if self.by == "scenes" else []
        borders = self._even([0.0, *cuts, seconds])
        for start, end in pairwise(borders):
            # The middle of a segment lies in one clip alone, so its words are nowhere twice.
            inside = (segment for segment in value.segments if start <= (segment.start + segment.end) / 2 < end)
            yield _Clip(start, end, tuple(inside))

    def _by_segments(self, segments: Sequence[Segment], seconds: float) -> Iterator[_Clip]:
        held: list[Segment] = []
        for segment in sorted(segments, key=lambda segment: (segment.start, segment.end)):
            if max(0.0, segment.start) >= min(seconds, segment.end):
                continue
            if held and not self._joins(held, segment):
                yield self._around(held, seconds)
                held = []
            held.append(segment)
        if held:
            yield self._around(held, seconds)

    def _joins(self, held: Sequence[Segment], segment: Segment) -> bool:
        end = max(other.end for other in held)
        return segment.start - end <= self.gap and max(end, segment.end) - held[0].start <= self.max_seconds

    def _around(self, held: Sequence[Segment], seconds: float) -> _Clip:
        start, end = held[0].start - self.margin, max(segment.end for segment in held) + self.margin
        return _Clip(max(0.0, start), min(seconds, end), tuple(held))

    def _scenes(self, file: VideoFile, start: float, seconds: float) -> list[float]:
        """Return the seconds of the clip at which scenes begin, but for the first."""
        times: list[float] = []

        def small() -> Iterator[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
            clock = file.clock(file.video)
            for frame in file.frames(start):
                assert frame.pts is not None
                at = clock.seconds(frame.pts) - start
                if at >= seconds:
                    return
                if at >= 0:
                    times.append(at)
                    yield upright(file, frame, View(_SCORED_SIDE))[0]

        scored = ((times[-1], score) for score in content_changes(small()))
        cuts = scene_cuts(scored, self.threshold, self.min_seconds)
        return [cut for cut in cuts if 0.0 < cut <= seconds - self.min_seconds and cut < seconds]

    def _even(self, borders: Sequence[float]) -> list[float]:
        """Return borders with more of them where clips would be too long: scenes in equal parts, lengths as long as allowed."""
        found = [borders[0]]
        for start, end in pairwise(borders):
            parts = max(1, math.ceil(round((end - start) / self.max_seconds, 9)))
            step = (end - start) / parts if self.by == "scenes" else self.max_seconds
            if self.by == "length" and parts > 1 and end - start - (parts - 1) * step < self.min_seconds:
                parts -= 1
            found += [start + step * part for part in range(1, parts)] + [end]
        return found
