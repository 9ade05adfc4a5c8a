"""Pictures through a view: planned for a whole batch, then decoded one by one into the memory of the batch.

What is shown of each picture follows from its size, which the index knows, and from numbers that are drawn by key. So windows,
scales and memory are found for all pictures of a batch together, and the threads that decode are left with the decoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray

from mmdata.errors import RecordError
from mmdata.loader.cuts import Cuts
from mmdata.loader.scratch import BatchMemory, Scratch
from mmdata.loader.views import DRAWS, Integers, Numbers, PictureView
from mmdata.payload_heads import Payload, picture_size, picture_to_decode
from mmdata.rng import fractions_by_key

Pixels = NDArray[np.uint8]

_FACTORS = (8, 4, 2)
"""Scales of libjpeg that cost less than decoding all: those between, such as 3/4, have no fast code and cost more."""


class Frames(NamedTuple):
    """What is decoded and shown of pictures: sizes int64 [pictures, 2] and windows int64 [pictures, 5] in decoded pixels.

    `sizes` are height and width; of a picture that is not there, all numbers are 0.
    """

    sizes: Integers
    windows: Integers


def frames_of(view: PictureView, sizes: Integers, draws: Numbers, *, reducible: bool) -> Frames:
    """Return the frames of pictures of these sizes, int64 [pictures, 2]; one without pixels is not there.

    With `reducible`, the decoder can give half, a quarter or an eighth of the size: it does where the window keeps at least as
    many pixels as are shown.
    """
    there = (sizes > 0).all(axis=1, keepdims=True)
    whole = np.where(there, sizes, 1)
    windows = view.windows(whole, draws)
    room = (windows[:, 2:4] // np.array(view.size)).min(axis=1)
    factors = np.select([room >= factor for factor in _FACTORS], _FACTORS, 1) if reducible else np.ones_like(room)
    decoded = -(-whole // factors[:, None])
    scale = decoded / whole
    first = np.rint(windows[:, :2] * scale).astype(np.int64)
    last = np.maximum(np.rint((windows[:, :2] + windows[:, 2:4]) * scale).astype(np.int64), first + 1)
    shown = np.concatenate([first, last - first, windows[:, 4:]], axis=1)
    return Frames(np.where(there, decoded, 0), np.where(there, shown, 0))


class PictureField:
    """The pictures of a field through its view: resized in the threads that decode them, or with `resize` off on the device."""

    def __init__(self, name: str, view: PictureView, format_: str, *, resize: bool) -> None:
        self._name, self._view, self._resize = name, view, resize
        self._decoder = _Decoder(format_)

    @property
    def random(self) -> bool:
        """Whether the same picture is shown otherwise in another epoch."""
        return self._view.random

    def column(self, keys: Sequence[str], sizes: Integers, seed: int, epoch: int, memory: BatchMemory) -> PictureColumn:
        """Return the column for records of these keys, whose pictures have these sizes: int64 [records, 2], height and width."""
        if self._view.random:
            draws = fractions_by_key(DRAWS, (seed, "view", self._name, epoch), keys)
        else:
            draws = np.ones((len(keys), DRAWS))  # 1 is more than any chance: nothing is mirrored
        frames = frames_of(self._view, sizes, draws, reducible=self._decoder.reduces)
        if self._resize:
            return ResizedColumn(self._decoder, frames, memory.empty((len(keys), *self._view.size, 3), torch.uint8))
        ends = np.cumsum(frames.sizes.prod(axis=1))
        return CutColumn(self._decoder, frames, ends, memory.empty((int(ends[-1]), 3), torch.uint8))


class ResizedColumn:
    """Pictures that get their size as they are decoded, in the thread that decodes: uint8 [batch, height, width, 3]."""

    def __init__(self, decoder: _Decoder, frames: Frames, pixels: torch.Tensor) -> None:
        self._decoder, self._pixels = decoder, pixels
        self._rows: list[Pixels] = list(pixels.numpy())
        self._sizes, self._windows = frames.sizes.tolist(), frames.windows.tolist()

    def decode(self, row: int, payload: memoryview) -> Pixels:
        """Decode, cut and resize a picture into its row; of an empty payload there is no picture."""
        if not payload:
            return no_picture()
        pixels = self._decoder(payload, *self._sizes[row])
        top, left, height, width, flipped = self._windows[row]
        target = self._rows[row]
        resize_into(target, pixels[top : top + height, left : left + width], flipped=bool(flipped))
        return target

    def taking_in(self, pictures: Sequence[Pixels]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the column uint8 [batch, height, width, 3] and the sizes int64 [batch, 2].

        Pictures that were decoded elsewhere are copied into it; one that is not there is black and has size 0.
        """
        lengths = torch.tensor(self._pixels.shape[1:3]).repeat(len(pictures), 1)
        for row, (mine, picture) in enumerate(zip(self._rows, pictures, strict=True)):
            if picture is not mine:
                mine[...] = picture if len(picture) else 0
                lengths[row] *= bool(len(picture))
        return self._pixels, lengths


class CutColumn:
    """Pictures that are only decoded, one after the other into the same memory; cut and resized they are on the device.

    `pixels` are those of all pictures, uint8 [pixels, 3]; `ends`, int64 [batch], are how many there are to the end of
    each. `table` is that of `Cuts`.
    """

    def __init__(self, decoder: _Decoder, frames: Frames, ends: Integers, pixels: torch.Tensor) -> None:
        self.pixels = pixels
        self._decoder = decoder
        begins = ends - frames.sizes.prod(axis=1)
        self._memory = pixels.numpy().reshape(-1).data
        self._sizes, self._borders = frames.sizes.tolist(), (3 * np.stack([begins, ends], axis=1)).tolist()
        self.table = np.concatenate([begins[:, None], frames.sizes[:, 1:], frames.windows], axis=1)

    def decode(self, row: int, payload: memoryview) -> Cut:
        """Decode a picture into its place; of an empty payload there is no picture."""
        if payload:
            begin, end = self._borders[row]
            height, width = self._sizes[row]
            self._decoder(payload, height, width, self._memory[begin:end])
        return Cut(self, row)

    def picture(self, row: int) -> torch.Tensor:
        """Return a decoded picture, uint8 [height, width, 3]."""
        begin, end = self._borders[row]
        height, width = self._sizes[row]
        return self.pixels[begin // 3 : end // 3].view(height, width, 3)


PictureColumn = ResizedColumn | CutColumn
"""The pictures of one field in a batch. Threads may decode into different rows at once."""


class Cut(NamedTuple):
    """A picture in a column of cuts."""

    column: CutColumn
    row: int

    @property
    def pixels(self) -> torch.Tensor:
        """All of the decoded picture, uint8 [height, width, 3]."""
        return self.column.picture(self.row)


def joined(cuts: Sequence[Cut]) -> Cuts:
    """Return the cuts of a batch. They lie in one column already, but for those that were decoded elsewhere."""
    columns = list(dict.fromkeys(cut.column for cut in cuts))
    table = np.empty((len(cuts), columns[0].table.shape[1]), dtype=np.int64)
    before = 0
    for column in columns:
        rows = [row for row, cut in enumerate(cuts) if cut.column is column]
        table[rows] = column.table[[cuts[row].row for row in rows]]
        table[rows, 0] += before
        before += len(column.pixels)
    pixels = columns[0].pixels if len(columns) == 1 else torch.cat([column.pixels for column in columns])
    height, width = table[:, 4:6].max(axis=0).tolist()
    return Cuts(pixels, torch.from_numpy(table), (height, width))


class _Decoder:
    """Decodes pictures of a format whose sizes are known: into memory that is given, or that is this thread's until the next."""

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
        if into is not None and not self.reduces:
            into[:] = pixels.reshape(-1).data
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
