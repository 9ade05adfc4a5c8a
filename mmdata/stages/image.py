"""`image.resize`, and what the stages that change the size of a picture share; all of them come after `image.decode`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mmdata.errors import RecordError
from mmdata.lineage import Affine
from mmdata.schema import FieldType
from mmdata.stages.base import FieldStage
from mmdata.values import Image, Kind

Side = Annotated[int, Field(ge=1, le=32768)]
Size = Side | tuple[Side, Side]
Colour = Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")]

MOST_PIXELS = 178_956_970  # as many as `image.decode` lets through at most


def sides_of(size: Size) -> tuple[int, int]:
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
    keeps_all: ClassVar[bool] = True

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
            width, height = sides_of(self.size)
        else:
            width = height = None
        return FieldType("image", dtype="uint8", shape=(height, width, 3))

    def apply(self, value: Image, rng: np.random.Generator) -> Image:  # noqa: ARG002 - the interface of every field stage
        """Return the picture scaled; one that has the size already is returned as it is."""
        height, width = value.pixels.shape[:2]
        new_width, new_height = self._target(width, height)
        if (new_width, new_height) == (width, height):
            return value
        if new_width * new_height > MOST_PIXELS:
            raise RecordError("picture would have too many pixels", f"{width} x {height} to {new_width} x {new_height}")
        scale = Affine.scale(new_width / width, new_height / height)
        return value.moved(_scaled(value.pixels, new_width, new_height), scale, self.stage)

    def _target(self, width: int, height: int) -> tuple[int, int]:
        """Return the new (width, height); the side that decides gets its size exactly, the other one is rounded."""
        wanted = sides_of(self.size)
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


def padded(pixels: NDArray[np.uint8], place: tuple[int, int], size: tuple[int, int], colour: str) -> NDArray[np.uint8]:
    """Return a canvas of (width, height) in one colour (#rrggbb) with the pixels at `place` (left, top)."""
    right, bottom = size[0] - place[0] - pixels.shape[1], size[1] - place[1] - pixels.shape[0]
    border = place[1], bottom, place[0], right
    canvas = cv2.copyMakeBorder(pixels, *border, cv2.BORDER_CONSTANT, value=tuple(bytes.fromhex(colour[1:])))
    return cast("NDArray[np.uint8]", canvas)
