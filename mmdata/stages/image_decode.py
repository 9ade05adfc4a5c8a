"""The stage that turns picture files into pixels; it comes first on every field of pictures."""

from __future__ import annotations

from typing import ClassVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mmdata.errors import RecordError
from mmdata.lineage import Affine
from mmdata.schema import FieldType
from mmdata.stages.base import FieldStage
from mmdata.stages.image_colour import rgb_pixels
from mmdata.stages.image_files import format_of, read_picture
from mmdata.stages.image_svg import check_fonts, draw, looks_like_svg
from mmdata.values import Image, Kind

_PILLOW_LIMIT = 178_956_970  # Pillow refuses larger pictures, whatever it is told


class Decode(FieldStage[Image]):
    """Decodes a picture file to upright 8-bit sRGB pixels: JPEG, PNG, WebP, GIF, BMP, TIFF (the first picture of each) or SVG.

    The format is found by content, never by name. EXIF orientation and colour profiles are applied, 16-bit samples are rounded,
    transparent parts lie over the background. Boxes and points come in pixels of the stored, unturned picture (for SVG:
    of its own width and height) and follow. A file that is empty, truncated, damaged, too large or no picture is a RecordError.

    Example:
        stages:
          - image.decode: {background: "#ffffff"}
    """

    kind: ClassVar[Kind] = "image"
    encoded: ClassVar[bool | None] = True
    keeps_all: ClassVar[bool] = True

    field: str = Field("image", description="The field of the pictures.")
    background: str = Field(
        "#ffffff", pattern="^#[0-9a-fA-F]{6}$", description="Colour behind transparent parts, as #rrggbb in hexadecimal digits."
    )
    max_pixels: int = Field(
        _PILLOW_LIMIT // 2,
        ge=1,
        le=_PILLOW_LIMIT,
        description=f"Most pixels (width x height) of a picture, 1 to {_PILLOW_LIMIT}; checked before it is decoded.",
    )
    svg_size: int = Field(512, ge=1, le=16384, description="Long side of a drawn vector picture (SVG) in pixels, 1 to 16384.")
    svg_fonts: tuple[str, ...] = Field(
        (),
        description="Font files for text in vector pictures, the first for fonts it lacks; without any, text is an error.",
    )

    def infer_field(self, type_: FieldType) -> FieldType:  # noqa: ARG002 - the interface of every field stage
        """Return pixels: uint8 [height, width, 3]. Raises RecipeError for a font file that cannot be read."""
        check_fonts(self.svg_fonts)
        return FieldType("image", dtype="uint8", shape=(None, None, 3))

    def apply(self, value: Image, rng: np.random.Generator) -> Image:  # noqa: ARG002 - the interface of every field stage
        """Return the picture decoded, its boxes and points where they are seen."""
        data = value.encoded
        if not data:
            raise RecordError("picture is empty")
        format_ = format_of(data)
        if format_ is not None:
            picture = read_picture(data, format_, self.background, self.max_pixels)
            upright = picture.pixels if picture.turned else _turned(picture.pixels, picture.orientation)
            return value.moved(upright, _turn(picture.orientation, upright), self.stage)
        if not looks_like_svg(data):
            raise RecordError("not a known picture format", f"it begins with the bytes {data[:8].hex(' ')}")
        drawn, scale = draw(data, self.svg_size, self.svg_fonts, self.max_pixels)
        return value.moved(rgb_pixels(drawn, self.background), scale, self.stage)


def _turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return stored pixels as they are to be seen, by the EXIF orientation (1 to 8; Exif 2.32, tag 0x0112)."""
    if orientation >= 5:
        pixels = cast("NDArray[np.uint8]", cv2.transpose(pixels))
    flips = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}
    if orientation not in flips:
        return pixels
    return cast("NDArray[np.uint8]", cv2.flip(pixels, flips[orientation]))


def _turn(orientation: int, upright: NDArray[np.uint8]) -> Affine:
    """Return the map from stored pixels to upright ones; 1 is upright, 2 to 4 are flips, 5 to 8 also swap the axes."""
    height, width = (float(side) for side in upright.shape[:2])
    swap = orientation >= 5
    turn = Affine(a=0.0, b=1.0, d=1.0, e=0.0) if swap else Affine()
    if orientation in (2, 3, 6, 7):
        turn = turn.then(Affine(a=-1.0, c=width))
    if orientation in (3, 4, 7, 8):
        turn = turn.then(Affine(e=-1.0, f=height))
    return turn
