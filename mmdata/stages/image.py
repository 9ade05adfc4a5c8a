"""Stages that change the size of a picture; both come after `image.decode`."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal, Self, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from mmdata.errors import RecordError
from mmdata.lineage import Affine
from mmdata.record import Reject
from mmdata.schema import FieldType
from mmdata.stages.base import FieldStage
from mmdata.values import Image, Kind

Side = Annotated[int, Field(ge=1, le=32768)]
Size = Side | tuple[Side, Side]

_MOST_PIXELS = 178_956_970  # as many as `image.decode` lets through at most


def _sides(size: Size) -> tuple[int, int]:
    """Return (width, height) in pixels; one number stands for both."""
    return (size, size) if isinstance(size, int) else size


class Resize(FieldStage[Image]):
    """Scales a picture so that its short side, its long side, or both sides have a given size in pixels.

    Shrinking averages over areas (OpenCV's INTER_AREA), enlarging is cubic. Boxes and points follow by the exact ratio of the
    sizes. With a width and a height, `short` covers that rectangle and `long` fits into it, both without distortion.

    Example:
        stages:
          - image.resize: {size: 256, mode: short, only_shrink: true}
    """

    kind: ClassVar[Kind] = "image"

    field: str = Field("image", description="The field of the pictures.")
    size: Size = Field(description="Pixels, 1 to 32768: one number, or [width, height].")
    mode: Literal["short", "long", "exact"] = Field(
        "short", description="short: the short side gets the size. long: the long side. exact: both, which may distort."
    )
    only_shrink: bool = Field(default=False, description="Leave a picture as it is when a side of it would grow.")

    def infer_field(self, type_: FieldType) -> FieldType:
        """Return pixels uint8 [height, width, 3], with the sides that are known."""
        height, width = (type_.shape or (None, None))[:2]
        if width is not None and height is not None:
            width, height = self._target(width, height)
        elif self.mode == "exact" and not self.only_shrink:
            width, height = _sides(self.size)
        else:
            width = height = None
        return FieldType("image", dtype="uint8", shape=(height, width, 3))

    def apply(self, value: Image, rng: np.random.Generator) -> Image:  # noqa: ARG002 - the interface of every field stage
        """Return the picture scaled; one that has the size already is returned as it is."""
        height, width = value.pixels.shape[:2]
        new_width, new_height = self._target(width, height)
        if (new_width, new_height) == (width, height):
            return value
        if new_width * new_height > _MOST_PIXELS:
            raise RecordError("picture would have too many pixels", f"{width} x {height} to {new_width} x {new_height}")
        scale = Affine.scale(new_width / width, new_height / height)
        return value.moved(_scaled(value.pixels, new_width, new_height), scale, self.stage)

    def _target(self, width: int, height: int) -> tuple[int, int]:
        """Return the new (width, height); the side that decides gets its size exactly, the other one is rounded."""
        wanted = _sides(self.size)
        if self.mode != "exact":
            pick = max if self.mode == "short" else min
            # Whole numbers throughout: the size must not hang on how a fraction is rounded.
            deciding = pick((0, 1), key=lambda axis: wanted[axis] * (height, width)[axis])
            numerator, denominator = wanted[deciding], (width, height)[deciding]
            rounded = ((side * numerator * 2 + denominator) // (denominator * 2) for side in (width, height))
            wanted = (max(1, next(rounded)), max(1, next(rounded)))
        grows = wanted[0] > width or wanted[1] > height
        return (width, height) if self.only_shrink and grows else wanted


def _scaled(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Return pixels [height, width, 3]: sides that shrink first, by area, then sides that grow, by a cubic."""
    low_width, low_height = min(width, pixels.shape[1]), min(height, pixels.shape[0])
    if (low_height, low_width) != pixels.shape[:2]:
        pixels = _resized(pixels, low_width, low_height, cv2.INTER_AREA)
    if (height, width) != pixels.shape[:2]:
        pixels = _resized(pixels, width, height, cv2.INTER_CUBIC)
    return pixels


def _resized(pixels: NDArray[np.uint8], width: int, height: int, method: int) -> NDArray[np.uint8]:
    return cast("NDArray[np.uint8]", cv2.resize(pixels, (width, height), interpolation=method))


class Crop(FieldStage[Image]):
    """Cuts a rectangle out of a picture: from its centre, from a random place, or around its boxes.

    Boxes and points follow; those outside are removed and counted, boxes across the border are clipped and marked.

    Example:
        stages:
          - image.crop: {size: [224, 224], mode: center, smaller: pad}
    """

    kind: ClassVar[Kind] = "image"

    field: str = Field("image", description="The field of the pictures.")
    mode: Literal["center", "random", "box"] = Field(
        "center", description="center, random (any place inside, equally likely), or box (the hull of the boxes with `label`)."
    )
    size: Size | None = Field(None, description="Pixels, 1 to 32768: one number, or [width, height]. Not for mode box.")
    label: str | None = Field(None, description="Mode box: the label of the boxes to keep; all boxes where it is not given.")
    margin: float = Field(
        0.0, ge=0.0, le=10.0, description="Mode box: added on each side, as a share of the hull's size, 0 to 10."
    )
    smaller: Literal["pad", "error", "keep"] = Field(
        "pad", description="Where the picture is smaller than the size: pad it evenly, reject it as an error, or keep its side."
    )
    background: str = Field("#ffffff", pattern="^#[0-9a-fA-F]{6}$", description="Colour of the padding, as #rrggbb.")

    @property
    def random(self) -> bool:
        """Whether the place is drawn."""
        return self.mode == "random"

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        if (self.size is None) != (self.mode == "box"):
            wrong = "takes no size: the boxes decide" if self.mode == "box" else "needs a size"
            raise ValueError(f"mode {self.mode} {wrong}")
        if self.mode != "box" and (self.label is not None or self.margin):
            raise ValueError(f"label and margin are for mode box, not for mode {self.mode}")
        return self

    def infer_field(self, type_: FieldType) -> FieldType:
        """Return pixels uint8 [height, width, 3], with the sides that are known."""
        width, height = _sides(self.size) if self.size and self.smaller != "keep" else (None, None)
        if self.size and type_.shape and None not in type_.shape:
            found = [side for side in type_.shape[1::-1] if side is not None]
            width, height = (min(a, b) if self.smaller == "keep" else a for a, b in zip(_sides(self.size), found, strict=True))
        return FieldType("image", dtype="uint8", shape=(height, width, 3))

    def apply(self, value: Image, rng: np.random.Generator) -> Image | Reject:
        """Return the picture cropped; rejected as filtered where no box has the label."""
        if self.size is None:
            return self._cut_to_boxes(value)
        sides = value.pixels.shape[1], value.pixels.shape[0]
        wanted = _sides(self.size)
        if self.smaller == "error" and (sides[0] < wanted[0] or sides[1] < wanted[1]):
            raise RecordError("picture is smaller than the crop", f"{sides[0]} x {sides[1]}, not {wanted[0]} x {wanted[1]}")
        kept = min(sides[0], wanted[0]), min(sides[1], wanted[1])
        spare = sides[0] - kept[0], sides[1] - kept[1]
        left, top = (int(rng.integers(0, space + 1)) if self.mode == "random" else space // 2 for space in spare)
        pixels = value.pixels[top : top + kept[1], left : left + kept[0]]
        if self.smaller == "keep" or kept == wanted:
            return value.moved(np.ascontiguousarray(pixels), Affine.shift(-left, -top), self.stage)
        pad_left, pad_top = (wanted[0] - kept[0]) // 2, (wanted[1] - kept[1]) // 2
        padded = _padded(pixels, (pad_left, pad_top), wanted, self.background)
        return value.moved(padded, Affine.shift(pad_left - left, pad_top - top), self.stage)

    def _cut_to_boxes(self, value: Image) -> Image | Reject:
        boxes = [box for box in value.boxes if self.label in (None, box.label)]
        if not boxes:
            return Reject("filtered", "no box to crop to", "" if self.label is None else f"label {self.label!r}")
        height, width = value.pixels.shape[:2]
        left, right = min(box.left for box in boxes), max(box.right for box in boxes)
        top, bottom = min(box.top for box in boxes), max(box.bottom for box in boxes)
        columns = _grown(left, right, self.margin, width)
        rows = _grown(top, bottom, self.margin, height)
        pixels = np.ascontiguousarray(value.pixels[rows[0] : rows[1], columns[0] : columns[1]])
        return value.moved(pixels, Affine.shift(-columns[0], -rows[0]), self.stage)


def _grown(low: float, high: float, margin: float, side: int) -> tuple[int, int]:
    """Return [low, high) grown by the margin on both ends, then to whole pixels, inside the picture."""
    extra = (high - low) * margin
    start = min(max(0, math.floor(low - extra)), side - 1)
    return start, min(max(start + 1, math.ceil(high + extra)), side)


def _padded(pixels: NDArray[np.uint8], place: tuple[int, int], size: tuple[int, int], colour: str) -> NDArray[np.uint8]:
    """Return a canvas of (width, height) in one colour with the pixels at `place` (left, top)."""
    canvas = np.empty((size[1], size[0], 3), np.uint8)
    canvas[:] = tuple(bytes.fromhex(colour[1:]))
    canvas[place[1] : place[1] + pixels.shape[0], place[0] : place[0] + pixels.shape[1]] = pixels
    return canvas
