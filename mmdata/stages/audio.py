"""Stages over recordings: `audio.decode`, which comes first, and `audio.resample`, `channels`, `trim` and `loudness`."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import reduce
from typing import Annotated, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mmdata.dsp.levels import frame_levels, hop_length, loudest_level, sounding
from mmdata.dsp.loudness import SILENCE, block_powers, gated_loudness
from mmdata.dsp.sound_file import read_sound
from mmdata.errors import RecipeError, RecordError
from mmdata.lineage import TimeMap
from mmdata.record import Record, Reject
from mmdata.schema import FieldType, Schema
from mmdata.stages.base import FieldStage, Outcome
from mmdata.values import Audio, Kind

ChannelCount = Annotated[int, Field(ge=1, le=64)]
ChannelList = Annotated[tuple[Annotated[int, Field(ge=0, le=63)], ...], Field(min_length=1)]


class Decode(FieldStage[Audio]):
    """Decodes a sound file to float32 samples at its own rate: WAV, AIFF, FLAC, Ogg Vorbis, Ogg Opus or MP3.

    The format is found by content, never by name. An MP3 whose header states the encoder's delay comes without it. Segments are
    in seconds of the file; one that reaches past its end is clipped, one that lies past it is removed and counted. A file that
    is empty, truncated, damaged, too long, of another format, or without samples is a RecordError; so are samples that are
    not finite.

    Example:
        - audio.decode: {channels: mono}
    """

    kind: ClassVar[Kind] = "audio"
    encoded: ClassVar[bool | None] = True
    keeps_all: ClassVar[bool] = True

    field: str = Field("audio", description="The field of the recordings.")
    channels: Literal["mono", "keep"] = Field("mono", description="mono: the mean of the channels. keep: all of them.")
    max_seconds: float = Field(
        3600.0, gt=0.0, le=86400.0, description="Longest recording in seconds, above 0, to 86400; checked before it is decoded."
    )

    def infer_field(self, type_: FieldType) -> FieldType:  # noqa: ARG002 - the interface of every field stage
        """Return samples: float32 [channels, samples], at a rate that varies from file to file."""
        return FieldType("audio", dtype="float32", shape=(1 if self.channels == "mono" else None, None))

    def apply(self, value: Audio, rng: np.random.Generator) -> Audio:  # noqa: ARG002 - the interface of every field stage
        """Return the recording decoded, its segments inside it."""
        samples, rate = read_sound(value.encoded, self.max_seconds)
        decoded = replace(value, data=_mono(samples) if self.channels == "mono" else np.ascontiguousarray(samples.T), rate=rate)
        seconds = decoded.seconds
        if all(0.0 <= segment.start < segment.end <= seconds for segment in value.segments):
            return decoded
        return decoded.retimed(decoded.samples, TimeMap.cut(0.0, seconds), self.stage)


def _mono(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of [samples, channels] as [1, samples]."""
    # A sum channel by channel is much faster than a mean over an axis of two, and its order is fixed.
    columns = [samples[:, channel] for channel in range(samples.shape[1])]
    total = columns[0] if len(columns) == 1 else reduce(np.add, columns) * np.float32(1.0 / len(columns))
    return cast("NDArray[np.float32]", total[None, :])


class Resample(FieldStage[Audio]):
    """Resamples a recording to one rate, in linear phase (the SoX resampler): time stays where it is.

    n samples become n * new / old, rounded, at least one. No time moves, so segments stay as they are and the lineage gets no
    step; the duration may change by up to half a sample. A recording that has the rate already is returned as it is.

    Example:
        - audio.resample: {rate: 16000}
    """

    kind: ClassVar[Kind] = "audio"
    keeps_all: ClassVar[bool] = True

    field: str = Field("audio", description="The field of the recordings.")
    rate: int = Field(16000, ge=1000, le=384000, description="The new rate in Hz, 1000 to 384000.")
    quality: Literal["LQ", "MQ", "HQ", "VHQ"] = Field(
        "HQ", description="Of the low-pass filter: LQ and MQ are faster, HQ keeps 20 bits clean, VHQ 28."
    )

    def infer_field(self, type_: FieldType) -> FieldType:
        """Return the same type at the new rate."""
        return replace(type_, rate=self.rate)

    def apply(self, value: Audio, rng: np.random.Generator) -> Audio:  # noqa: ARG002 - the interface of every field stage
        """Return the recording at the new rate."""
        if value.rate == self.rate:
            return value
        return replace(value, data=_resampled(value.samples, value.rate, self.rate, self.quality), rate=self.rate)


def _resampled(samples: NDArray[np.float32], old: int, new: int, quality: str) -> NDArray[np.float32]:
    """Return [channels, samples] at a new rate, of the rounded length; one sample where that would be none."""
    import soxr

    length = max(1, (2 * samples.shape[1] * new + old) // (2 * old))
    found = soxr.resample(samples.T, old, new, quality)[:length].T
    if found.shape[1] < length:
        found = np.pad(found, ((0, 0), (0, length - found.shape[1])))
    return np.ascontiguousarray(found, dtype=np.float32)


class Channels(FieldStage[Audio]):
    """Makes the channels of a recording what a dataset needs: their mean, one of them, several in a new order, or a number.

    A number n takes a recording that has n channels as it is, makes n equal ones of a single one, and 1 of several by their
    mean. `left` and `right` are the first and the second channel; a recording of one channel is both. A recording that does not
    have the channels asked for, or cannot be brought to their number, is a RecordError. Time stays where it is.

    Example:
        - audio.channels: {to: mono}
    """

    kind: ClassVar[Kind] = "audio"
    keeps_all: ClassVar[bool] = True

    field: str = Field("audio", description="The field of the recordings.")
    to: Literal["mono", "left", "right"] | ChannelCount | ChannelList = Field(
        "mono", description="mono (the mean), left, right, a number of channels (1 to 64), or a list of channels, counted from 0."
    )

    def infer_field(self, type_: FieldType) -> FieldType:
        """Return the same type with the new number of channels. Raises RecipeError where the recording cannot have them."""
        before, *rest = type_.shape or (None, None)
        if before is not None and self._chosen(before) is None:
            raise RecipeError(f"to: {self.to} cannot be made of a recording with {before} channel(s)")
        after = self.to if isinstance(self.to, int) else len(self.to) if isinstance(self.to, tuple) else 1
        return replace(type_, shape=(after, *rest))

    def apply(self, value: Audio, rng: np.random.Generator) -> Audio:  # noqa: ARG002 - the interface of every field stage
        """Return the recording with the channels asked for; the same object where it has them."""
        count = len(value.samples)
        chosen = self._chosen(count)
        if chosen is None:
            raise RecordError("recording does not have the channels", f"it has {count}, and {self.to} is wanted")
        if chosen == "mean":
            return replace(value, data=_mono(value.samples.T))
        if chosen == list(range(count)):
            return value
        return replace(value, data=value.samples[chosen])

    def _chosen(self, count: int) -> list[int] | Literal["mean"] | None:
        """Return which of `count` channels make the new ones; "mean" for the mean of all, None where it cannot be done."""
        if count == 1 and not isinstance(self.to, tuple):
            return [0] * (self.to if isinstance(self.to, int) else 1)
        match self.to:
            case "mono" | 1:
                return "mean"
            case int():
                return list(range(count)) if self.to == count else None
            case "left" | "right":
                return [0] if self.to == "left" else [1]
            case _:
                return list(self.to) if max(self.to) < count else None


class Trim(FieldStage[Audio]):
    """Cuts silence off both ends of a recording.

    By level, silence is what lies below a threshold relative to the loudest frame, as in `librosa.effects.trim`. Frames are of
    20 ms, one every 10 ms; their level is the root mean square without the constant offset, of the loudest channel. By segments,
    silence is what lies before the first and after the last segment of a label, such as those of `audio.speech`. Segments follow.
    A recording without any frame above -80 dBFS, or without such a segment, is rejected as filtered. Where there is nothing to
    cut it is returned as it is.

    Example:
        - audio.trim: {threshold_db: -40, margin: 0.1}
    """

    kind: ClassVar[Kind] = "audio"

    field: str = Field("audio", description="The field of the recordings.")
    by: Literal["level", "segments"] = Field("level", description="What is kept: what is loud, or the segments of a label.")
    threshold_db: float = Field(
        -40.0,
        ge=-120.0,
        lt=0.0,
        description="By level: silence is below this, in dB relative to the loudest frame, -120 to below 0.",
    )
    label: str = Field("speech", description="By segments: the label of those that are kept.")
    margin: float = Field(0.1, ge=0.0, le=60.0, description="Seconds of silence to keep at both ends, 0 to 60.")

    def apply(self, value: Audio, rng: np.random.Generator) -> Audio | Reject:  # noqa: ARG002 - the interface of every field stage
        """Return the recording between its first and its last sound."""
        found = self._by_level(value) if self.by == "level" else self._by_segments(value)
        if isinstance(found, Reject):
            return found
        margin = round(self.margin * value.rate)
        start, end = max(0, found[0] - margin), min(value.samples.shape[1], found[1] + margin)
        if (start, end) == (0, value.samples.shape[1]):
            return value
        kept = value.samples[:, start:end].copy()
        return value.retimed(kept, TimeMap.cut(start / value.rate, end / value.rate), self.stage)

    def _by_level(self, value: Audio) -> tuple[int, int] | Reject:
        """Return the first sample of the first frame that sounds, and the one after the last."""
        hop = hop_length(value.rate)
        levels = frame_levels(value.samples, hop)
        frames = np.flatnonzero(sounding(levels, self.threshold_db))
        if not len(frames):
            detail = f"its loudest frame is at {max(loudest_level(levels), -999.0):.1f} dBFS"
            return Reject("filtered", "recording is silent", detail)
        return int(frames[0]) * hop, (int(frames[-1]) + 2) * hop

    def _by_segments(self, value: Audio) -> tuple[int, int] | Reject:
        """Return the first sample of the first segment of the label, and the one after the last."""
        segments = [segment for segment in value.segments if segment.label == self.label]
        if not segments:
            return Reject("filtered", "recording has no segment to keep", f"none of {len(value.segments)} is {self.label!r}")
        first, last = min(segment.start for segment in segments), max(segment.end for segment in segments)
        return math.floor(first * value.rate), math.ceil(last * value.rate)


class Loudness(FieldStage[Audio]):
    """Brings a recording to one integrated loudness by a constant gain, and measures the loudness it then has.

    The meter is that of ITU-R BS.1770-4 and EBU R 128; a recording shorter than 400 ms is one block of its whole length. The gain
    is reduced where the sample peak would exceed `peak_limit`, so nothing clips and nothing is limited. Silence (below -70 LUFS)
    stays as it is. The measure `FIELD.loudness` is in LUFS, -70 for silence; gain and measure are rounded to 0.001 dB, so
    that the last bits of a sum do not reach the dataset.

    Example:
        - audio.loudness: {target: -23, peak_limit: -1}
    """

    kind: ClassVar[Kind] = "audio"
    keeps_all: ClassVar[bool] = True

    field: str = Field("audio", description="The field of the recordings.")
    target: float = Field(-23.0, ge=-70.0, le=0.0, description="Integrated loudness in LUFS, -70 to 0.")
    peak_limit: float = Field(-1.0, ge=-60.0, le=0.0, description="Highest sample peak in dBFS, -60 to 0.")

    def infer(self, schema: Schema) -> Schema:
        """Check the field and add the measure."""
        return super().infer(schema).with_measures({f"{self.field}.loudness": "float"})

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Return the record with the recording at the target and its loudness among the measures."""
        if self.field not in record.fields:
            return record
        value, loudness = self._normalized(cast("Audio", record[self.field]))
        return record.with_fields(**{self.field: value}).with_measures({f"{self.field}.loudness": loudness})

    def apply(self, value: Audio, rng: np.random.Generator) -> Audio:  # noqa: ARG002 - the interface of every field stage
        """Return the recording at the target."""
        return self._normalized(value)[0]

    def _normalized(self, value: Audio) -> tuple[Audio, float]:
        """Return the recording at the target, and its loudness."""
        powers = block_powers(value.samples, value.rate)
        loudness = gated_loudness(powers)
        if loudness <= SILENCE:
            return value, SILENCE
        peak = float(np.abs(value.samples).max())
        # Rounded down, so that the peak stays under its limit.
        gain_db = math.floor(min(self.target - loudness, self.peak_limit - 20.0 * math.log10(peak)) * 1000) / 1000
        gain = 10.0 ** (gain_db / 20.0)
        after = gated_loudness(powers * gain**2)
        return replace(value, data=value.samples * np.float32(gain)), round(after, 3)
