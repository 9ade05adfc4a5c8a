"""The stage that measures recordings and turns away the poor ones: `audio.filter`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self, cast

import numpy as np
from pydantic import Field, model_validator

from mmdata.dsp.quality import bandwidth, clipped_share, noise_ratio, silent_share
from mmdata.record import Record, Reject
from mmdata.schema import Schema
from mmdata.stages.base import Outcome, Stage
from mmdata.values import Audio


class Filter(Stage):
    """Measures duration, noise, clipping, silence and bandwidth of a recording, and rejects one outside the limits as filtered.

    The measures: `FIELD.snr`, the estimated signal-to-noise ratio in dB (-20 to 100), from the level of the quiet frames;
    `FIELD.clipping`, the share of samples at full scale; `FIELD.silence`, the share of frames of 20 ms below the threshold;
    `FIELD.bandwidth`, the highest frequency in Hz that is less than 70 dB under the strongest, which tells recordings that were
    once at a lower rate. A limit that is left out does not apply. Measure before `audio.denoise` and `audio.loudness`, which
    hide noise and clipping.

    Example:
        - audio.filter: {minimum_seconds: 1, maximum_seconds: 30, minimum_snr: 10, maximum_clipping: 0.001}
    """

    field: str = Field("audio", description="The field of the recordings.")
    minimum_seconds: float | None = Field(None, ge=0.0, description="Shortest duration in seconds.")
    maximum_seconds: float | None = Field(None, gt=0.0, description="Longest duration in seconds.")
    minimum_snr: float | None = Field(None, ge=-20.0, le=100.0, description="Lowest signal-to-noise ratio in dB, -20 to 100.")
    maximum_clipping: float | None = Field(None, ge=0.0, le=1.0, description="Largest share of samples at full scale, 0 to 1.")
    maximum_silence: float | None = Field(None, ge=0.0, le=1.0, description="Largest share of silent frames, 0 to 1.")
    minimum_bandwidth: float | None = Field(None, ge=0.0, description="Lowest bandwidth in Hz, at most half of the rate.")
    threshold_db: float = Field(
        -40.0, ge=-120.0, lt=0.0, description="Silence is below this level, in dB relative to the loudest frame, -120 to below 0."
    )

    @model_validator(mode="after")
    def _check_durations(self) -> Self:
        if (self.minimum_seconds or 0.0) > (self.maximum_seconds or np.inf):
            raise ValueError(f"minimum_seconds {self.minimum_seconds} is above maximum_seconds {self.maximum_seconds}")
        return self

    def infer(self, schema: Schema) -> Schema:
        """Check the field and add the measures."""
        schema.require(self.field, "audio")
        return schema.with_measures({f"{self.field}.{name}": "float" for name in ("snr", "clipping", "silence", "bandwidth")})

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Return the record with the measures, or a Reject for the first limit that it breaks."""
        if self.field not in record.fields:
            return record
        value = cast("Audio", record[self.field])
        measures = self._measured(value)
        for reason, detail in self._broken(value.seconds, measures):
            return Reject("filtered", reason, detail)
        return record.with_measures({f"{self.field}.{name}": measure for name, measure in measures.items()})

    def _measured(self, value: Audio) -> dict[str, float]:
        """Return the measures by name, rounded so that the last bits of a sum do not reach the dataset."""
        samples, rate = value.samples, value.rate
        return {
            "snr": round(noise_ratio(samples, rate), 2),
            "clipping": round(clipped_share(samples), 6),
            "silence": round(silent_share(samples, rate, self.threshold_db), 4),
            "bandwidth": round(bandwidth(samples, rate), 1),
        }

    def _broken(self, seconds: float, measures: dict[str, float]) -> Iterator[tuple[str, str]]:
        """Yield reason and detail of each limit that is broken."""
        snr, clipping, silence, band = (measures[name] for name in ("snr", "clipping", "silence", "bandwidth"))
        if self.minimum_seconds is not None and seconds < self.minimum_seconds:
            yield "recording is too short", f"{seconds:.3f} s; at least {self.minimum_seconds:g} s are wanted"
        if self.maximum_seconds is not None and seconds > self.maximum_seconds:
            yield "recording is too long", f"{seconds:.3f} s; at most {self.maximum_seconds:g} s are wanted"
        if self.minimum_snr is not None and snr < self.minimum_snr:
            yield "recording is noisy", f"signal-to-noise ratio {snr:.1f} dB; at least {self.minimum_snr:g} dB are wanted"
        if self.maximum_clipping is not None and clipping > self.maximum_clipping:
            yield "recording is clipped", f"{clipping:.4%} of the samples; at most {self.maximum_clipping:.4%} are wanted"
        if self.maximum_silence is not None and silence > self.maximum_silence:
            yield "recording is mostly silent", f"{silence:.1%} of the frames; at most {self.maximum_silence:.1%} are wanted"
        if self.minimum_bandwidth is not None and band < self.minimum_bandwidth:
            yield "recording has a narrow band", f"up to {band:.0f} Hz; at least {self.minimum_bandwidth:g} Hz are wanted"
