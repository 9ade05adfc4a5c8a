"""Stages over clips: `video.decode` and `video.audio`; both read the stretch of the file that `video.cut` chose, and no more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from mmdata.dsp.video_file import FrameTime, VideoFile, View, open_video, read_frames, require_extra, upright
from mmdata.dsp.video_sound import read_sound_track
from mmdata.errors import RecipeError, RecordError
from mmdata.lineage import Affine, TimeMap, steps_in
from mmdata.record import Record
from mmdata.schema import FieldType, Schema
from mmdata.stages.base import FieldStage, Outcome, Stage
from mmdata.values import Audio, Kind, Video

_MOST_BYTES = 2 << 30
_MOST_SECONDS = 86400.0


def length_of(file: VideoFile, value: Video, most: float = _MOST_SECONDS) -> float:
    """Return how many seconds a clip lasts inside its file. Raises RecordError where none are left, or more than `most`."""
    seconds = value.seconds if math.isfinite(value.seconds) else file.end() - value.start
    if seconds <= 0:
        raise RecordError("clip lies behind the end of its video", f"it would begin at {value.start:.2f} s")
    if seconds > most:
        raise RecordError("clip is too long", f"{seconds:.1f} seconds, at most {most:g} are taken; cut it first (video.cut)")
    return seconds


class Decode(FieldStage[Video]):
    """Decodes a clip to frames: at a rate, all of them, or the key frames only; upright, with square pixels, in RGB.

    Frame k of a clip at `rate` is the picture seen at k / rate seconds, whatever the rates of the file; before the first picture
    it is the first one. Where that makes more than `max_frames`, so many are taken, evenly over the clip. Shrinking
    averages over areas and makes even sides. Segments and boxes follow; times are in whole microseconds. A clip that is damaged,
    truncated, too long or too large is a RecordError. Memory is bounded by the frames that are kept.

    Example:
        - video.decode: {rate: 4, size: 224, max_frames: 64}
    """

    kind: ClassVar[Kind] = "video"
    encoded: ClassVar[bool | None] = True
    keeps_all: ClassVar[bool] = True

    field: str = Field("video", description="The field of the clips.")
    take: Literal["rate", "all", "key"] = Field(
        "rate", description="rate: so many frames a second. all: each frame of the file once. key: key frames, or else the first."
    )
    rate: float = Field(4.0, gt=0.0, le=240.0, description="Take rate: frames a second, in Hz, above 0, to 240.")
    size: int | None = Field(None, ge=2, le=8192, description="Pixels, 2 to 8192: a larger side is shrunk to it; none enlarged.")
    side: Literal["short", "long"] = Field("short", description="The side that `size` limits.")
    sound: bool = Field(default=False, description="Keep the sound track in the clip, for output as mp4.")
    max_frames: int = Field(256, ge=1, le=100_000, description="Most frames of a clip, 1 to 100000.")
    max_seconds: float = Field(600.0, gt=0.0, le=_MOST_SECONDS, description="Longest clip in seconds, above 0, to 86400.")
    max_pixels: int = Field(8192 * 4320, ge=1, le=1 << 28, description="Most pixels of a stored frame, checked before decoding.")

    @model_validator(mode="after")
    def _check_rate(self) -> Self:
        if self.take != "rate" and "rate" in self.model_fields_set:
            raise ValueError(f"take {self.take} has no rate; leave it out, or take: rate")
        return self

    def infer_field(self, type_: FieldType) -> FieldType:  # noqa: ARG002 - the interface of every field stage
        """Return frames uint8 [frames, height, width, 3]. Raises MissingExtraError."""
        require_extra(self.stage)
        return FieldType("video", dtype="uint8", shape=(None, None, None, 3))

    def apply(self, value: Video, rng: np.random.Generator) -> Video:  # noqa: ARG002 - the interface of every field stage
        """Return the clip decoded."""
        with open_video(value.encoded) as file:
            self._check_size(file.size, 1)
            seconds = round(length_of(file, value, self.max_seconds), 6)
            wanted, times = self._choose(file, value.start, seconds)
            frames, by = self._frames(file, wanted)
        sound = self._sound(value, seconds) if self.sound else None
        fits = all(0.0 <= segment.start < segment.end <= seconds for segment in value.segments)
        inside = fits and all(0.0 <= box.seconds < seconds for box in value.frame_boxes)
        kept = replace(value, seconds=seconds) if inside else value.window(0.0, seconds, self.stage)
        return replace(kept.decoded(frames, times, by, self.stage), sound=sound)

    def _check_size(self, size: tuple[int, int], frames: int) -> None:
        pixels = size[0] * size[1]
        if pixels > self.max_pixels:
            raise RecordError("video has too many pixels", f"{size[0]} x {size[1]}, at most {self.max_pixels} are taken")
        if 3 * pixels * frames > _MOST_BYTES:
            raise RecordError("clip would be too large", f"{frames} frames of {size[0]} x {size[1]}; lower size or max_frames")

    def _choose(self, file: VideoFile, start: float, seconds: float) -> tuple[list[FrameTime], NDArray[np.float64]]:
        """Return the frames to take, and the times at which the clip shows them; the first is at 0."""
        seen = file.times(start, start + seconds)
        if not seen:
            raise RecordError("clip has no frames", f"from {start:.2f} s on")
        if self.take == "rate":
            count = max(1, math.ceil(round(seconds * self.rate, 6)))
            places = np.arange(min(count, self.max_frames), dtype=np.float64) / self.rate
            if count > self.max_frames:
                places = np.arange(self.max_frames, dtype=np.float64) * (seconds / self.max_frames)
            return _seen_at(seen, start + places), np.round(places, 6)
        chosen = [time for time in seen if time.is_key and time.seconds >= start] or seen[:1] if self.take == "key" else seen
        kept = [chosen[len(chosen) * k // self.max_frames] for k in range(self.max_frames)]
        chosen = kept if len(chosen) > self.max_frames else chosen
        times = np.array([max(0.0, time.seconds - start) for time in chosen])
        times[0] = 0.0
        return chosen, np.round(times, 6)

    def _frames(self, file: VideoFile, wanted: Sequence[FrameTime]) -> tuple[NDArray[np.uint8], Affine]:
        view = View(self.size, long=self.side == "long")
        frames = np.empty((len(wanted), 0, 0, 3), np.uint8)
        maps: set[Affine] = set()

        def convert(frame: object) -> NDArray[np.uint8]:
            pixels, by = upright(file, frame, view)  # type: ignore[arg-type]
            maps.add(by)
            self._check_size((pixels.shape[1], pixels.shape[0]), len(wanted))
            return pixels

        for number, pixels in enumerate(read_frames(file, wanted, convert)):
            if number == 0:
                frames = np.empty((len(wanted), *pixels.shape), np.uint8)
            if pixels.shape != frames.shape[1:]:
                raise RecordError("video changes its size", f"from {frames.shape[2:0:-1]} to {pixels.shape[1::-1]}")
            frames[number] = pixels
        return frames, maps.pop()

    def _sound(self, value: Video, seconds: float) -> Audio | None:
        with open_video(value.encoded) as file:
            found = read_sound_track(file, value.start, seconds)
        return None if found is None else Audio(*found)


def _seen_at(seen: Sequence[FrameTime], times: NDArray[np.float64]) -> list[FrameTime]:
    """Return for each time the last frame that began by then; the first one where none had."""
    begins = np.array([time.seconds for time in seen])
    # A microsecond of grace: containers round the time of a frame that begins just then.
    places = np.searchsorted(begins, times + 1e-6, side="right") - 1
    return [seen[max(0, int(place))] for place in places]


class Sound(Stage):
    """Makes a recording of a clip's sound track, on the same clock: sample 0 is heard at the clip's time 0.

    The recording lasts as long as the clip; where the track begins late, ends early or has a gap, there is silence. Segments and
    times of the lineage are those of the clip. It reads the encoded file, so it comes after `video.cut` and before
    `video.decode`. A clip without a sound track goes on without the new field (`record.require` rejects it).

    Example:
        - video.audio: {field: video, into: audio}
    """

    keeps_all: ClassVar[bool] = True

    field: str = Field("video", description="The field of the clips.")
    into: str = Field("audio", pattern="^[A-Za-z][A-Za-z0-9_]*$", description="Name of the new field.")
    channels: Literal["mono", "keep"] = Field("mono", description="mono: the mean of the channels. keep: all of them.")
    max_seconds: float = Field(3600.0, gt=0.0, le=_MOST_SECONDS, description="Longest clip in seconds, above 0, to 86400.")

    def infer(self, schema: Schema) -> Schema:
        """Check the field and add the new one. Raises MissingExtraError, or RecipeError where its name is taken."""
        schema.require(self.field, "video", encoded=True)
        require_extra(self.stage)
        if self.into in schema.fields:
            raise RecipeError(f"into: there is a field {self.into!r} already; choose another name")
        return schema.with_field(
            self.into, FieldType("audio", dtype="float32", shape=(1 if self.channels == "mono" else None, None))
        )

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Return the record with the sound of its clip."""
        if self.field not in record.fields:
            return record
        value = cast("Video", record[self.field])
        with open_video(value.encoded) as file:
            found = read_sound_track(file, value.start, length_of(file, value, self.max_seconds))
        if found is None:
            return record
        samples, rate = found
        if self.channels == "mono" and len(samples) > 1:
            samples = samples.mean(axis=0, keepdims=True, dtype=np.float64).astype(np.float32)
        heard = Audio(samples, rate, value.segments, tuple(replace(step, removed=0) for step in steps_in(value.lineage, TimeMap)))
        inside = all(0.0 <= segment.start < segment.end <= heard.seconds for segment in heard.segments)
        kept = heard if inside else heard.retimed(samples, TimeMap.cut(0.0, heard.seconds), self.stage)
        return record.with_fields(**{self.into: kept})
