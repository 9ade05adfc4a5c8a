"""Pictures through a view: no more is decoded than the view shows, and what it shows is resized here or left to the device."""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray

from mmdata.errors import RecordError
from mmdata.loader.scratch import Scratch
from mmdata.loader.seat import Seats
from mmdata.loader.views import DRAWS, PictureView, Window
from mmdata.payload_heads import Payload, picture_size, picture_to_decode
from mmdata.rng import fractions_of

Pixels = NDArray[np.uint8]

_FACTORS = (8, 4, 2)
"""Scales of libjpeg that cost less than decoding all: those between, such as 3/4, have no fast code and cost more."""

_STILL = [0.0] * (DRAWS - 1) + [1.0]


class Cut(NamedTuple):
    """The part of a picture that a view shows, uint8 [height, width, 3], not yet resized, and whether it is to be mirrored."""

    pixels: Pixels
    flipped: bool


class PictureDecoder:
    """Decodes the pictures of one field through a view.

    With `resize`, they are resized at once: into the column of the field where the seat has one, and with the filter that the
    device uses elsewhere (`mmdata.loader.resizing`), in whole numbers, so that levels differ by at most one.
    """

    def __init__(self, name: str, view: PictureView, format_: str, *, resize: bool) -> None:
        self._name = name
        self._view = view
        self._format = format_
        self._resize = resize
        self._scratch = Scratch()
        self.random = view.random
        """Whether the same picture is shown otherwise in another epoch."""

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """The shape of every decoded picture; None for cuts, which differ."""
        return (*self._view.size, 3) if self._resize else None

    def __call__(self, payload: memoryview, key: str, seats: Seats, row: int) -> Pixels | Cut:
        """Return the cut, or the resized picture uint8 [height, width, 3]; what is empty has no pixels.

        Raises RecordError where the payload is no picture.
        """
        column = seats.columns.get(self._name)
        if not payload:
            if column is not None:
                column[row] = 0
            return no_picture() if self._resize else Cut(no_picture(), flipped=False)
        cut = self._cut(payload, self._draws(key, seats))
        if not self._resize:
            return cut
        target = np.empty((*self._view.size, 3), np.uint8) if column is None else column[row]
        resize_into(target, cut)
        return target

    def _draws(self, key: str, seats: Seats) -> list[float]:
        return fractions_of(DRAWS, seats.seed, "view", self._name, seats.epoch, key) if self.random else _STILL

    def _cut(self, payload: memoryview, draws: list[float]) -> Cut:
        if self._format == "jpg":
            width, height = picture_size(payload, self._format)
            window = self._view.window(height, width, draws)
            factor = reduction(window, self._view.size)
            pixels = decode_jpeg(payload, self._scratch, -(-height // factor), -(-width // factor))
        else:
            pixels = decode_picture(picture_to_decode(payload, self._format))
            height, width = pixels.shape[:2]
            window = self._view.window(height, width, draws)
        return Cut(_shown(pixels, window, height, width), window.flipped)


def reduction(window: Window, size: tuple[int, int]) -> int:
    """Return the largest number by which a picture can be reduced so that the window keeps at least the pixels of `size`."""
    room = min(window.height // size[0], window.width // size[1])
    for factor in _FACTORS:
        if factor <= room:
            return factor
    return 1


def _shown(pixels: Pixels, window: Window, height: int, width: int) -> Pixels:
    """Return the window of a picture that was `height` by `width` pixels before it was reduced."""
    if pixels.shape[:2] == (height, width):
        return pixels[window.top : window.top + window.height, window.left : window.left + window.width]
    rows, columns = pixels.shape[0] / height, pixels.shape[1] / width
    top, left = round(window.top * rows), round(window.left * columns)
    bottom, right = round((window.top + window.height) * rows), round((window.left + window.width) * columns)
    return pixels[top : max(bottom, top + 1), left : max(right, left + 1)]


def resize_into(target: Pixels, cut: Cut) -> None:
    """Write a cut into uint8 [height, width, 3], resized by a triangle filter that widens when it shrinks, and mirrored."""
    import cv2

    source, out = (torch.from_numpy(pixels.transpose(2, 0, 1)[None]) for pixels in (cut.pixels, target))
    # What `interpolate(…, antialias=True)` calls; it alone would give the result in memory of its own, channels first.
    _resize(source, target.shape[:2], False, None, None, out=out)  # noqa: FBT003
    if cut.flipped:
        cv2.flip(target, 1, dst=target)


_resize = torch.ops.aten._upsample_bilinear2d_aa.out
"""Looked up once: that takes longer than the rest of a call."""


def decode_jpeg(payload: Payload, scratch: Scratch, height: int, width: int) -> Pixels:
    """Return pixels uint8 [height, width, 3], bit for bit those of libjpeg's accurate transform, in memory of `scratch`.

    `height` and `width` are those of the picture, or what it is reduced to by its transform.
    """
    import simplejpeg

    try:
        # Many cuts are kept until their batch is made; new memory for each would take half as long as the decoding.
        pixels = simplejpeg.decode_jpeg(
            payload, "RGB", fastdct=False, fastupsample=False, min_height=height, min_width=width,
            buffer=scratch.take(3 * height * width),
        )  # fmt: skip
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
    return decode_jpeg(payload, scratch, height, width)


def no_picture() -> Pixels:
    """Return the pixels of a picture that is not there."""
    return np.zeros((0, 0, 3), dtype=np.uint8)


def _undecodable(error: Exception) -> RecordError:
    return RecordError("picture cannot be decoded", str(error))
