"""The stage that adds a border to pictures: `image.pad`."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from mmdata.errors import RecordError
from mmdata.lineage import Affine
from mmdata.schema import FieldType
from mmdata.stages.base import FieldStage
from mmdata.stages.image import MOST_PIXELS, Colour, Side, Size, padded, sides_of
from mmdata.values import Image, Kind


class Pad(FieldStage[Image]):
    """Adds a border of one colour, so that a picture gets a size or a ratio of its sides; no pixel is lost.

    With `size`, each side that is smaller grows to it. With `aspect`, one side grows until width : height is the ratio, rounded
    up to whole pixels. Boxes and points follow. A picture that has the size or ratio already is returned as it is.

    Example:
        stages:
          - image.pad: {aspect: [1, 1], background: "#808080"}
    """

    kind: ClassVar[Kind] = "image"
    keeps_all: ClassVar[bool] = True

    field: str = Field("image", description="The field of the pictures.")
    size: Size | None = Field(None, description="Pixels, 1 to 32768: one number, or [width, height]. Excludes aspect.")
    aspect: tuple[Side, Side] | None = Field(
        None, description="Ratio [width, height] in whole numbers, for instance [1, 1] for squares or [16, 9]. Excludes size."
    )
    place: Literal["center", "top left"] = Field(
        "center",
        description="Where the picture stands: in the centre (an odd pixel more at the right and the bottom), or top left.",
    )
    larger: Literal["error", "keep"] = Field(
        "error", description="With size, where the picture is larger: reject it as an error, or keep the side that is larger."
    )
    background: Colour = Field("#ffffff", description="Colour of the border, as #rrggbb.")

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        if (self.size is None) == (self.aspect is None):
            raise ValueError("give either size or aspect")
        if self.aspect is not None and self.larger != "error":
            raise ValueError("larger goes with size: no picture is too large for an aspect")
        return self

    def infer_field(self, type_: FieldType) -> FieldType:
        """Return pixels uint8 [height, width, 3], with the sides that are known."""
        height, width = (type_.shape or (None, None))[:2]
        if width is not None and height is not None:
            width, height = self._target(width, height)
        elif self.size is not None and self.larger == "error":
            width, height = sides_of(self.size)
        else:
            width = height = None
        return FieldType("image", dtype="uint8", shape=(height, width, 3))

    def apply(self, value: Image, rng: np.random.Generator) -> Image:  # noqa: ARG002 - the interface of every field stage
        """Return the picture with its border. Raises RecordError where it is too large, before or after."""
        height, width = value.pixels.shape[:2]
        target = self._target(width, height)
        if target[0] < width or target[1] < height:
            raise RecordError("picture is larger than the padding", f"{width} x {height}, not {target[0]} x {target[1]}")
        if target == (width, height):
            return value
        if target[0] * target[1] > MOST_PIXELS:
            raise RecordError("picture would have too many pixels", f"{width} x {height} to {target[0]} x {target[1]}")
        spare = target[0] - width, target[1] - height
        left, top = (spare[0] // 2, spare[1] // 2) if self.place == "center" else (0, 0)
        return value.moved(padded(value.pixels, (left, top), target, self.background), Affine.shift(left, top), self.stage)

    def _target(self, width: int, height: int) -> tuple[int, int]:
        """Return the new (width, height)."""
        if self.size is not None:
            wanted = sides_of(self.size)
            return wanted if self.larger == "error" else (max(width, wanted[0]), max(height, wanted[1]))
        across, down = self.aspect or (width, height)
        return max(width, -(-height * across // down)), max(height, -(-width * down // across))
