"""The stage that finds speech in recordings: `audio.speech`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mmdata.dsp.speech import RATE, SpeechRules, require_speech, speech_probabilities, speech_spans
from mmdata.record import Record, Reject
from mmdata.schema import Schema
from mmdata.stages.base import FieldStage, Outcome
from mmdata.values import Audio, Kind, Segment


class Speech(FieldStage[Audio]):
    """Marks where somebody speaks: adds segments with a label of their own, and measures how much speech there is.

    The detector is Silero VAD, a small neural network that knows many languages; it needs the extra `speech`. It hears the mean
    of the channels at 16 kHz, in windows of 32 ms; the samples stay as they are. Segments that had the label before are replaced,
    all others stay. The measures are `FIELD.speech_seconds`, to the millisecond, and `FIELD.speech_share` of the duration, 0 to
    1. `audio.trim` and `audio.clip` can cut by these segments.

    Example:
        - audio.speech: {threshold: 0.5, minimum_share: 0.3}
    """

    kind: ClassVar[Kind] = "audio"

    field: str = Field("audio", description="The field of the recordings.")
    label: str = Field("speech", min_length=1, description="The label of the segments.")
    threshold: float = Field(
        0.5, gt=0.0, lt=1.0, description="Speech begins at this probability, and ends 0.15 below it; between 0 and 1."
    )
    minimum_speech: float = Field(0.25, ge=0.0, le=60.0, description="Shorter speech is none; seconds, 0 to 60.")
    minimum_silence: float = Field(0.1, ge=0.0, le=60.0, description="Shorter silence inside speech is speech; seconds, 0 to 60.")
    margin: float = Field(0.03, ge=0.0, le=60.0, description="Seconds by which each segment grows at both ends, 0 to 60.")
    minimum_share: float = Field(
        0.0, ge=0.0, le=1.0, description="A recording with a smaller share of speech is rejected as filtered; 0 to 1."
    )

    def infer(self, schema: Schema) -> Schema:
        """Check the field and add the measures. Raises MissingExtraError where the detector is not installed."""
        inferred = super().infer(schema)
        require_speech("audio.speech")
        return inferred.with_measures({f"{self.field}.speech_seconds": "float", f"{self.field}.speech_share": "float"})

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:
        """Return the record with the segments and the measures, or a Reject."""
        if self.field not in record.fields:
            return record
        value = self.apply(cast("Audio", record[self.field]), rng)
        seconds = math.fsum(segment.end - segment.start for segment in value.segments if segment.label == self.label)
        share = min(1.0, seconds / value.seconds) if value.samples.size else 0.0
        if share < self.minimum_share:
            detail = f"{share:.1%} of {value.seconds:.2f} s are speech; at least {self.minimum_share:.1%} are wanted"
            return Reject("filtered", "recording has little speech", detail)
        measures = {f"{self.field}.speech_seconds": round(seconds, 3), f"{self.field}.speech_share": round(share, 4)}
        return record.with_fields(**{self.field: value}).with_measures(measures)

    def apply(self, value: Audio, rng: np.random.Generator) -> Audio:  # noqa: ARG002 - the interface of every field stage
        """Return the recording with its segments of speech, after all others."""
        rules = SpeechRules(self.threshold, self.minimum_speech, self.minimum_silence, self.margin)
        spans = speech_spans(speech_probabilities(_heard(value)), value.seconds, rules)
        others = [segment for segment in value.segments if segment.label != self.label]
        return replace(value, segments=(*others, *(Segment(start, end, self.label) for start, end in spans)))


def _heard(value: Audio) -> NDArray[np.float32]:
    """Return the mean of the channels at 16 kHz: float32 [samples]."""
    import soxr

    mono: NDArray[np.float32] = value.samples.mean(axis=0, dtype=np.float32)
    if value.rate == RATE or not len(mono):
        return mono
    return np.asarray(soxr.resample(mono, value.rate, RATE, "HQ"), dtype=np.float32)
