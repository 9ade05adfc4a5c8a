"""The stage that cuts rectangles out of pictures: `image.crop`."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from mmdata.errors import RecordError
from mmdata.lineage import Affine
from mmdata.record import Reject
from mmdata.schema import FieldType
from mmdata.stages.base import FieldStage
from mmdata.stages.image import Colour, Size, padded, sides_of
from mmdata.values import Image, Kind

_MOST_CELLS = 10_000  # of one picture: keys have four digits for them


class Crop(FieldStage[Image]):
    """Cuts a rectangle out of a picture, or all cells of a grid, each of which becomes a record of its own.

    `center` and `random` take a place inside; `box` takes the hull of the boxes with `label`. `salient` takes the place that
    draws the eye most, by the spectral residual (Hou and Zhang, CVPR 2007); where nothing stands out, the centre. `grid` takes
    cells row by row from the top left corner, one every `stride` pixels, as many as lie wholly inside. Boxes and points follow;
    those outside are removed and counted, boxes across the border are clipped and marked.

    Example:
        stages:
          - image.crop: {size: [224, 224], mode: center, smaller: pad}
    """

    kind: ClassVar[Kind] = "image"

    field: str = Field("image", description="The field of the pictures.")
    mode: Literal["center", "random", "box", "salient", "grid"] = Field(
        "center",
        description="center, random (any place inside, equally likely), box (the hull of the boxes with `label`), "
        "salient (the place that stands out most), or grid (one record for each cell).",
    )
    size: Size | None = Field(None, description="Pixels, 1 to 32768: one number, or [width, height]. Not for mode box.")
    label: str | None = Field(None, description="Mode box: the label of the boxes to keep; all boxes where it is not given.")
    margin: float = Field(
        0.0, ge=0.0, le=10.0, description="Mode box: added on each side, as a share of the hull's size, 0 to 10."
    )
    stride: Size | None = Field(
        None,
        description="Mode grid: pixels from cell to cell, 1 to 32768, one number or [to the right, down]; by default the size.",
    )
    rest: Literal["drop", "cover"] = Field(
        "drop",
        description="Mode grid: what the cells leave at the right and the bottom: drop it, or cover it by cells at the border.",
    )
    smaller: Literal["pad", "error", "keep"] = Field(
        "pad", description="Where the picture is smaller than the size: pad it evenly, reject it as an error, or keep its side."
    )
    background: Colour = Field("#ffffff", description="Colour of the padding, as #rrggbb.")

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
        if self.mode != "grid" and (self.stride is not None or self.rest != "drop"):
            raise ValueError(f"stride and rest are for mode grid, not for mode {self.mode}")
        return self

    def infer_field(self, type_: FieldType) -> FieldType:
        """Return pixels uint8 [height, width, 3], with the sides that are known."""
        width, height = sides_of(self.size) if self.size and self.smaller != "keep" else (None, None)
        if self.size and type_.shape and None not in type_.shape:
            found = [side for side in type_.shape[1::-1] if side is not None]
            width, height = (min(a, b) if self.smaller == "keep" else a for a, b in zip(sides_of(self.size), found, strict=True))
        return FieldType("image", dtype="uint8", shape=(height, width, 3))

    def apply(self, value: Image, rng: np.random.Generator) -> Image | list[Image] | Reject:
        """Return the picture cropped, or the cells of the grid; rejected as filtered where no box has the label."""
        if self.size is None:
            return self._cut_to_boxes(value)
        height, width = value.pixels.shape[:2]
        sides = width, height
        wanted = sides_of(self.size)
        if self.smaller == "error" and (sides[0] < wanted[0] or sides[1] < wanted[1]):
            raise RecordError("picture is smaller than the crop", f"{sides[0]} x {sides[1]}, not {wanted[0]} x {wanted[1]}")
        kept = min(sides[0], wanted[0]), min(sides[1], wanted[1])
        if self.mode == "grid":
            return [self._cut(value, place, kept) for place in self._cells(sides, kept)]
        return self._cut(value, self._place(value, kept, rng), kept)

    def _place(self, value: Image, kept: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
        """Return (left, top) of a crop that keeps (width, height)."""
        if self.mode == "salient":
            from mmdata.vision.saliency import most_salient

            return most_salient(value.pixels, *kept)
        height, width = value.pixels.shape[:2]
        across, down = width - kept[0], height - kept[1]
        if self.mode == "random":
            return int(rng.integers(0, across + 1)), int(rng.integers(0, down + 1))
        return across // 2, down // 2

    def _cells(self, sides: tuple[int, int], kept: tuple[int, int]) -> list[tuple[int, int]]:
        """Return (left, top) of every cell, row by row. Raises RecordError where there are more than keys can name."""
        strides = kept if self.stride is None else sides_of(self.stride)
        spare = sides[0] - kept[0], sides[1] - kept[1]
        lefts, tops = ([*range(0, space + 1, step)] for space, step in zip(spare, strides, strict=True))
        for starts, space in zip((lefts, tops), spare, strict=True):
            if self.rest == "cover" and starts[-1] < space:
                starts.append(space)
        if len(lefts) * len(tops) > _MOST_CELLS:
            raise RecordError("grid has too many cells", f"{len(lefts)} x {len(tops)}, more than {_MOST_CELLS}")
        return [(left, top) for top in tops for left in lefts]

    def _cut(self, value: Image, place: tuple[int, int], kept: tuple[int, int]) -> Image:
        """Return the rectangle at (left, top) of (width, height), padded where that is less than the size."""
        (left, top), wanted = place, sides_of(self.size or kept)
        pixels = value.pixels[top : top + kept[1], left : left + kept[0]]
        if self.smaller == "keep" or kept == wanted:
            return value.moved(np.ascontiguousarray(pixels), Affine.shift(-left, -top), self.stage)
        before = (wanted[0] - kept[0]) // 2, (wanted[1] - kept[1]) // 2
        canvas = padded(pixels, before, wanted, self.background)
        return value.moved(canvas, Affine.shift(before[0] - left, before[1] - top), self.stage)

    def _cut_to_boxes(self, value: Image) -> Image | Reject:
        boxes = [box for box in value.boxes if self.label in (None, box.label)]
        if not boxes:
            return Reject("filtered", "no box to crop to", "" if self.label is None else f"label {self.label!r}")
        height, width = value.pixels.shape[:2]
        left, right = min(box.left for box in boxes), max(box.right for box in boxes)
        top, bottom = min(box.top for box in boxes), max(box.bottom for box in boxes)
        columns = grown(left, right, self.margin, width)
        rows = grown(top, bottom, self.margin, height)
        pixels = np.ascontiguousarray(value.pixels[rows[0] : rows[1], columns[0] : columns[1]])
        return value.moved(pixels, Affine.shift(-columns[0], -rows[0]), self.stage)


def grown(low: float, high: float, margin: float, side: int) -> tuple[int, int]:
    """Return [low, high) grown by a share of its length on both ends, then to whole pixels, inside a side of the picture."""
    extra = (high - low) * margin
    start = min(max(0, math.floor(low - extra)), side - 1)
    return start, min(max(start + 1, math.ceil(high + extra)), side)
