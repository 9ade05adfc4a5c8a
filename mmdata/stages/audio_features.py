"""The stage that makes a spectrogram of a recording: `audio.features`."""

from __future__ import annotations

from typing import ClassVar, Literal, cast

import numpy as np
from pydantic import Field

from mmdata.dsp.mel import RATE, log_mel
from mmdata.errors import RecipeError
from mmdata.record import Record
from mmdata.schema import FieldType, Schema
from mmdata.stages.base import Outcome, Stage
from mmdata.values import Array, Audio


class Features(Stage):
    """Adds the log-mel spectrogram of a recording, as Whisper defines it: an array [mel bins, frames], about -1 to 2.

    Hann windows of 25 ms, one every 10 ms, frame t centred on second t / 100; bins of equal area on Slaney's mel scale from 0 to
    8 kHz; the logarithm to base 10 of the power, cut at 8 below the loudest value, plus 4, divided by 4. n samples give n / 160
    frames, rounded up. The recording must be mono, at 16 kHz. Stages that change it must come before: the array does not follow.

    Example:
        - audio.features: {bins: 80, output: features}
    """

    keeps_all: ClassVar[bool] = True

    bins: Literal[80, 128] = Field(80, description="Mel bins: 80, or the 128 of Whisper's third large model.")
    dtype: Literal["float32", "float16"] = Field("float32", description="Of the array; float16 halves it, with steps of 0.001.")
    field: str = Field("audio", description="The field of the recordings.")
    output: str = Field("features", pattern="^[A-Za-z][A-Za-z0-9_]*$", description="The field that the array is put into.")

    def infer(self, schema: Schema) -> Schema:
        """Check the recording's rate and channels, and add the array. Raises RecipeError."""
        found = schema.require(self.field, "audio")
        if found.rate != RATE:
            rate = f"at {found.rate} Hz" if found.rate else "of any rate"
            raise RecipeError(f"field {self.field!r} is {rate}, this needs {RATE} Hz; resample it first (audio.resample)")
        if (found.shape or (None,))[0] != 1:
            raise RecipeError(f"field {self.field!r} may have several channels, this needs one; add audio.channels: {{to: mono}}")
        if self.output in schema.fields:
            raise RecipeError(f"output: there is a field {self.output!r} already; choose another name")
        return schema.with_field(self.output, FieldType("array", dtype=self.dtype, shape=(self.bins, None)))

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Return the record with the spectrogram beside the recording."""
        if self.field not in record.fields:
            return record
        recording = cast("Audio", record[self.field])
        return record.with_fields(**{self.output: Array(log_mel(recording.samples[0], self.bins).astype(self.dtype))})
