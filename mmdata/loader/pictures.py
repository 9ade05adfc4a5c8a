"""One picture: decoded by its format into memory that is given, and resized."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from mmdata.errors import RecordError
from mmdata.loader.scratch import Scratch
from mmdata.payload_heads import Payload, picture_size, picture_to_decode

Pixels = NDArray[np.uint8]


class PictureDecoder:
    """Decodes pictures of a format whose sizes are known; JPEGs into memory that is given, or is this thread's until the next."""

    def __init__(self, format_: str) -> None:
        self._format = format_
        # One picture after the other in the same memory: what is cut out of it at once is still in the processor's cache.
        self._canvas = Scratch(1, looks=1)

    @property
    def reduces(self) -> bool:
        """Whether pictures can be decoded at a part of their size."""
        return self._format == "jpg"

    def __call__(self, payload: memoryview, height: int, width: int, into: memoryview | None = None) -> Pixels:
        """Return pixels uint8 [height, width, 3]. Raises RecordError where the payload is no picture, or not of this size."""
        if self.reduces:
            pixels = decode_jpeg(payload, self._canvas.take(3 * height * width) if into is None else into, height, width)
        else:
            pixels = decode_picture(picture_to_decode(payload, self._format))
        if pixels.shape != (height, width, 3):
            raise RecordError("picture has another size", f"{list(pixels.shape[:2])}, but by the index {[height, width]}")
        return pixels


def resize_into(target: Pixels, source: Pixels, *, flipped: bool) -> None:
    """Write pixels uint8 [height, width, 3] resized into others, by a triangle filter that widens when it shrinks; then mirror.

    It is the filter that the device uses elsewhere (`mmdata.loader.resizing`), in whole numbers: levels differ by at most one.
    """
    import cv2

    given, out = (torch.from_numpy(pixels.transpose(2, 0, 1)[None]) for pixels in (source, target))
    # What `interpolate(…, antialias=True)` calls; it alone would give the result in memory of its own, channels first.
    _resize(given, target.shape[:2], False, None, None, out=out)  # noqa: FBT003
    if flipped:
        cv2.flip(target, 1, dst=target)


_resize = torch.ops.aten._upsample_bilinear2d_aa.out
"""Looked up once: that takes longer than the rest of a call."""


def decode_jpeg(payload: Payload, buffer: memoryview, height: int, width: int) -> Pixels:
    """Return pixels uint8 [height, width, 3], bit for bit those of libjpeg's accurate transform, in the memory of `buffer`.

    `height` and `width` are those of the picture, or what it is reduced to by its transform.
    """
    import simplejpeg

    try:
        pixels = simplejpeg.decode_jpeg(
            payload, "RGB", fastdct=False, fastupsample=False, min_height=height, min_width=width, buffer=buffer
        )
    except ValueError as error:
        raise _undecodable(error) from error
    return cast("Pixels", pixels)


def decode_picture(payload: Payload) -> Pixels:
    """Return pixels uint8 [height, width, 3] of a PNG or WebP file."""
    import cv2

    try:
        pixels = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise _undecodable(error) from error
    if pixels is None:
        raise RecordError("picture cannot be decoded")
    return cast("Pixels", pixels)


def whole_picture(payload: memoryview, format_: str, scratch: Scratch) -> Pixels:
    """Return a picture of a format (jpg, png or webp) as it is stored; of an empty payload, no pixels."""
    if not payload:
        return no_picture()
    if format_ != "jpg":
        return decode_picture(picture_to_decode(payload, format_))
    width, height = picture_size(payload, format_)
    # Many pictures are kept until their batch is made; new memory for each would take half as long as the decoding.
    return decode_jpeg(payload, scratch.take(3 * height * width), height, width)


def no_picture() -> Pixels:
    """Return the pixels of a picture that is not there."""
    return np.zeros((0, 0, 3), dtype=np.uint8)


def _undecodable(error: Exception) -> RecordError:
    return RecordError("picture cannot be decoded", str(error))
