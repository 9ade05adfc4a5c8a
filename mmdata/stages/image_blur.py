"""Stages that make parts of pictures unrecognizable: `image.blur` and `image.blur_faces`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, ClassVar, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from mmdata.record import Record
from mmdata.schema import Schema
from mmdata.stages.base import FieldStage, Outcome
from mmdata.stages.image_crop import grown
from mmdata.values import Box, Image, Kind
from mmdata.vision.blur import blurred
from mmdata.vision.faces import find_faces

Strength = Annotated[
    float, Field(gt=0.0, le=1.0, description="Standard deviation of the Gaussian, as a share of the region's short side, to 1.")
]
Margin = Annotated[float, Field(ge=0.0, le=1.0, description="Added on each side of a box, as a share of its size, 0 to 1.")]


class Blur(FieldStage[Image]):
    """Blurs what lies in the boxes of a picture, or all of it, by a Gaussian as wide as the region demands.

    Pixels outside of the regions, boxes and points stay as they are. A picture without such a box is returned as it is.

    Example:
        stages:
          - image.blur: {label: licence plate, margin: 0.1}
    """

    kind: ClassVar[Kind] = "image"
    keeps_all: ClassVar[bool] = True

    field: str = Field("image", description="The field of the pictures.")
    region: Literal["boxes", "picture"] = Field("boxes", description="boxes: what lies in them. picture: all of it.")
    label: str | None = Field(None, description="The label of the boxes to blur; all boxes where it is not given.")
    strength: Strength = 0.25
    margin: Margin = 0.0

    @model_validator(mode="after")
    def _check_region(self) -> Self:
        if self.region == "picture" and (self.label is not None or self.margin):
            raise ValueError("label and margin are for region boxes, not for region picture")
        return self

    def apply(self, value: Image, rng: np.random.Generator) -> Image:  # noqa: ARG002 - the interface of every field stage
        """Return the picture with its regions blurred."""
        if self.region == "picture":
            height, width = value.pixels.shape[:2]
            return replace(value, data=_with_blurred(value.pixels, [Box(0, 0, width, height)], self.strength, 0.0))
        boxes = [box for box in value.boxes if self.label in (None, box.label)]
        return replace(value, data=_with_blurred(value.pixels, boxes, self.strength, self.margin)) if boxes else value


class BlurFaces(FieldStage[Image]):
    """Finds the faces of a picture and blurs them; the measure `FIELD.faces` says how many.

    The detector is YuNet (Wu, Peng, Yu, 2023), run by OpenCV on the processor; it downloads nothing. It finds faces from about 20
    pixels on. No detector finds every face: where none must remain, look at the pictures.

    Example:
        stages:
          - image.blur_faces: {confidence: 0.7, margin: 0.15, keep_boxes: true}
    """

    kind: ClassVar[Kind] = "image"
    keeps_all: ClassVar[bool] = True

    field: str = Field("image", description="The field of the pictures.")
    confidence: float = Field(
        0.7, ge=0.1, le=1.0, description="The least score of a face, 0.1 to 1: lower finds more faces, and more that are none."
    )
    strength: Strength = 0.25
    margin: Margin = 0.15
    keep_boxes: bool = Field(default=True, description="Whether the faces are added to the picture's boxes.")
    label: str = Field("face", description="The label of these boxes.")

    def infer(self, schema: Schema) -> Schema:
        """Check the field and add the measure."""
        return super().infer(schema).with_measures({f"{self.field}.faces": "int"})

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Return the record with the faces blurred and counted."""
        if self.field not in record.fields:
            return record
        value, faces = self._blurred(cast("Image", record[self.field]))
        return record.with_fields(**{self.field: value}).with_measures({f"{self.field}.faces": faces})

    def apply(self, value: Image, rng: np.random.Generator) -> Image:  # noqa: ARG002 - the interface of every field stage
        """Return the picture with its faces blurred."""
        return self._blurred(value)[0]

    def _blurred(self, value: Image) -> tuple[Image, int]:
        """Return the picture with its faces blurred, and their number."""
        found = find_faces(value.pixels, self.confidence)
        faces = [Box(float(a), float(b), float(c), float(d), self.label) for a, b, c, d in found]
        if not faces:
            return value, 0
        boxes = (*value.boxes, *faces) if self.keep_boxes else value.boxes
        return replace(value, data=_with_blurred(value.pixels, faces, self.strength, self.margin), boxes=boxes), len(faces)


def _with_blurred(pixels: NDArray[np.uint8], boxes: Iterable[Box], strength: float, margin: float) -> NDArray[np.uint8]:
    """Return a copy of the pixels in which each box, grown by the margin, is blurred, one after the other."""
    result = pixels.copy()
    for box in boxes:
        left, right = grown(box.left, box.right, margin, pixels.shape[1])
        top, bottom = grown(box.top, box.bottom, margin, pixels.shape[0])
        region = result[top:bottom, left:right]
        result[top:bottom, left:right] = blurred(region, strength * min(region.shape[:2]))
    return result
