"""The stage that measures pictures and turns the unusable ones away: `image.filter`."""

from __future__ import annotations

from typing import ClassVar, Self, cast

import cv2
import numpy as np
from pydantic import Field, model_validator

from mmdata.record import Record, Reject
from mmdata.schema import Schema
from mmdata.stages.base import FieldStage, Outcome
from mmdata.values import Image, Kind
from mmdata.vision.quality import broken_share, deviation, entropy, sharpness

_MEASURES = ("aspect", "sharpness", "entropy", "deviation", "broken")


class Filter(FieldStage[Image]):
    """Measures a picture, and rejects it as filtered where a measure lies outside of its limits; without limits it only measures.

    The measures `FIELD.NAME`: `aspect` is width / height. `sharpness` is the variance of the Laplacian of the grey levels (small:
    blurred); it depends on the size of the picture, so scale pictures first. `entropy` is that of the grey levels in bits, 0 to
    8. `deviation` is their standard deviation, 0 (one level) to 127.5. `broken` is the share of the height that is missing at the
    bottom, 0 to 1: rows of mid grey, or one row repeated, as decoders leave them where a file ended early. All are rounded to
    0.001.

    Example:
        stages:
          - image.filter: {minimum_width: 64, maximum_aspect: 4, minimum_deviation: 2, maximum_broken: 0.05}
    """

    kind: ClassVar[Kind] = "image"

    field: str = Field("image", description="The field of the pictures.")
    minimum_width: int | None = Field(None, ge=1, description="Pixels, 1 or more.")
    maximum_width: int | None = Field(None, ge=1, description="Pixels, 1 or more.")
    minimum_height: int | None = Field(None, ge=1, description="Pixels, 1 or more.")
    maximum_height: int | None = Field(None, ge=1, description="Pixels, 1 or more.")
    minimum_aspect: float | None = Field(None, gt=0.0, description="Width / height, above 0; 0.25 is four times as high as wide.")
    maximum_aspect: float | None = Field(None, gt=0.0, description="Width / height, above 0; 4 is four times as wide as high.")
    minimum_sharpness: float | None = Field(None, ge=0.0, description="Variance of the Laplacian of the grey levels, 0 or more.")
    minimum_entropy: float | None = Field(None, ge=0.0, le=8.0, description="Bits, 0 to 8.")
    minimum_deviation: float | None = Field(None, ge=0.0, le=127.5, description="Grey levels, 0 to 127.5.")
    maximum_broken: float | None = Field(None, ge=0.0, le=1.0, description="Share of the height, 0 to 1.")

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        for name in ("width", "height", "aspect"):
            low, high = getattr(self, f"minimum_{name}"), getattr(self, f"maximum_{name}")
            if low is not None and high is not None and low > high:
                raise ValueError(f"minimum_{name} {low} is above maximum_{name} {high}")
        return self

    def infer(self, schema: Schema) -> Schema:
        """Check the field and add the measures."""
        return super().infer(schema).with_measures({f"{self.field}.{name}": "float" for name in _MEASURES})

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Return the record with the measures, or a Reject that names the first limit it breaks."""
        if self.field not in record.fields:
            return record
        value = cast("Image", record[self.field])
        measures = _measured(value)
        height, width = value.pixels.shape[:2]
        found = self._beyond({"width": width, "height": height, **measures})
        return found or record.with_measures({f"{self.field}.{name}": measures[name] for name in _MEASURES})

    def apply(self, value: Image, rng: np.random.Generator) -> Image | Reject:  # noqa: ARG002 - the interface of every field stage
        """Return the picture as it is, or a Reject."""
        height, width = value.pixels.shape[:2]
        return self._beyond({"width": width, "height": height, **_measured(value)}) or value

    def _beyond(self, measures: dict[str, float]) -> Reject | None:
        """Return the Reject of the first measure outside of its limits."""
        for name, measure in measures.items():
            low, high = getattr(self, f"minimum_{name}", None), getattr(self, f"maximum_{name}", None)
            if low is not None and measure < low:
                return Reject("filtered", f"{name} below minimum", f"{measure:g}, not {low:g}")
            if high is not None and measure > high:
                return Reject("filtered", f"{name} above maximum", f"{measure:g}, not {high:g}")
        return None


def _measured(value: Image) -> dict[str, float]:
    """Return the measures by name; rounded, so that the last bits of a sum do not reach the dataset."""
    height, width = value.pixels.shape[:2]
    grey = np.asarray(cv2.cvtColor(value.pixels, cv2.COLOR_RGB2GRAY), np.uint8)
    found = (width / height, sharpness(grey), entropy(grey), deviation(grey), broken_share(value.pixels))
    return {name: round(measure, 3) for name, measure in zip(_MEASURES, found, strict=True)}
