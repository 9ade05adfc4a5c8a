"""The pictures of a batch through a view: planned together, then decoded one by one into the memory of the batch.

What is shown of each picture follows from its size, which the index knows, and from numbers that are drawn by key. So windows,
scales and memory are found for all pictures of a batch together, and the threads that decode are left with the decoding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch

from mmdata.errors import ConfigError, RecordError
from mmdata.loader.cuts import Cuts
from mmdata.loader.pictures import PictureDecoder, Pixels, no_picture, resize_into
from mmdata.loader.scratch import BatchMemory
from mmdata.loader.views import DRAWS, Integers, Numbers, PictureView
from mmdata.rng import fractions_by_key

_FACTORS = (8, 4, 2)
"""Scales of libjpeg that cost less than decoding all: those between, such as 3/4, have no fast code and cost more."""


class Frames(NamedTuple):
    """What is decoded and shown of pictures: sizes int64 [pictures, 2] and windows int64 [pictures, 5] in decoded pixels.

    `sizes` are height and width; of a picture that is not there, all numbers are 0.
    """

    sizes: Integers
    windows: Integers

    def cut(self) -> Frames:
        """Return the frames of what is shown alone."""
        windows = self.windows.copy()
        windows[:, :2] = 0
        return Frames(windows[:, 2:4], windows)

    def table(self) -> Integers:
        """Return the table of `Cuts` for pictures that lie one after the other."""
        areas = self.sizes.prod(axis=1)
        return np.concatenate([(np.cumsum(areas) - areas)[:, None], self.sizes, self.windows], axis=1)


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


class DeviceJpegs(Protocol):
    """Decodes JPEG files on a device, many at a time; see `mmdata.loader.nvjpeg.GpuJpegs`."""

    def __call__(self, files: Sequence[memoryview]) -> list[torch.Tensor]:
        """Return the pictures, uint8 [3, height, width]. Raises RecordError where one of them cannot be decoded."""

    def uploaded(self, pixels: Pixels) -> torch.Tensor:
        """Return a picture uint8 [height, width, 3] that was decoded here as one that was decoded there."""

    def hand_over(self, pictures: Iterable[torch.Tensor]) -> None:
        """Let the current stream use pictures."""


class PictureField:
    """The pictures of a field through its view: resized in the threads that decode them, or with `resize` off on the device.

    With `jpegs`, the device decodes JPEG files as well.
    """

    def __init__(
        self, name: str, view: PictureView, format_: str, *, resize: bool = True, jpegs: DeviceJpegs | None = None
    ) -> None:
        self._name, self._view, self._resize = name, view, resize
        self._decoder = PictureDecoder(format_)
        self._jpegs = jpegs if self._decoder.reduces else None

    @property
    def on_device(self) -> bool:
        """Whether the device decodes these pictures."""
        return self._jpegs is not None

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
        frames = frames_of(self._view, sizes, draws, reducible=self._decoder.reduces and self._jpegs is None)
        if self._resize:
            return ResizedColumn(self._decoder, frames, memory.empty((len(keys), *self._view.size, 3), torch.uint8))
        if self._jpegs is not None:
            return DeviceColumn(self._decoder, self._jpegs, frames)
        try:
            return CutColumn(self._decoder, frames, memory)
        except (MemoryError, RuntimeError) as error:  # of Python's memory, of page-locked memory
            raise ConfigError(
                f"field {self._name!r}: there is no memory for the decoded pictures of a batch; take a smaller batch, or "
                f"resize='threads' in the loader's options ({error})"
            ) from error


class ResizedColumn:
    """Pictures that get their size as they are decoded, in the thread that decodes: uint8 [batch, height, width, 3]."""

    def __init__(self, decoder: PictureDecoder, frames: Frames, pixels: torch.Tensor) -> None:
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

    A JPEG is decoded straight into its place. Of other formats, which are decoded elsewhere first, the window alone is kept.
    """

    def __init__(self, decoder: PictureDecoder, frames: Frames, memory: BatchMemory) -> None:
        self._decoder = decoder
        self._sizes, self._windows = frames.sizes.tolist(), frames.windows.tolist()
        kept = frames if decoder.reduces else frames.cut()
        self._kept, self.table = kept.sizes.tolist(), kept.table()
        self._borders = [0, *(3 * np.cumsum(kept.sizes.prod(axis=1))).tolist()]
        self._pixels = memory.empty((self._borders[-1],), torch.uint8)
        self._memory = self._pixels.numpy().data

    def decode(self, row: int, payload: memoryview) -> Cut:
        """Decode a picture into its place; of an empty payload there is no picture."""
        if payload:
            height, width = self._sizes[row]
            place = self._memory[self._borders[row] : self._borders[row + 1]]
            if self._decoder.reduces:
                self._decoder(payload, height, width, place)
            else:
                pixels = self._decoder(payload, height, width)
                top, left, height, width, _ = self._windows[row]
                np.frombuffer(place, np.uint8).reshape(height, width, 3)[...] = pixels[top : top + height, left : left + width]
        return Cut(self, row)

    def picture(self, row: int) -> torch.Tensor:
        """Return what is kept of a picture, uint8 [height, width, 3]."""
        return self._pixels[self._borders[row] : self._borders[row + 1]].view(*self._kept[row], 3)

    @staticmethod
    def joined(cuts: Sequence[Cut]) -> Cuts:
        """Return the cuts of a batch. They lie in one column already, but for those that were decoded elsewhere."""
        columns = [column for column in dict.fromkeys(cut.column for cut in cuts) if isinstance(column, CutColumn)]
        table = np.empty((len(cuts), columns[0].table.shape[1]), dtype=np.int64)
        before = 0
        for column in columns:
            rows = [row for row, cut in enumerate(cuts) if cut.column is column]
            table[rows] = column.table[[cuts[row].row for row in rows]]
            table[rows, 0] += before
            before += len(column._pixels) // 3
        pixels = columns[0]._pixels if len(columns) == 1 else torch.cat([column._pixels for column in columns])
        return Cuts.of(pixels, table)


class DeviceColumn:
    """Pictures that the device decodes, those of a part of the batch at a time."""

    def __init__(self, decoder: PictureDecoder, jpegs: DeviceJpegs, frames: Frames) -> None:
        self._decoder, self._jpegs = decoder, jpegs
        self._sizes, self.table = frames.sizes.tolist(), frames.table()
        self._pictures: list[torch.Tensor | None] = [None] * len(self._sizes)

    def decode_together(self, start: int, payloads: Sequence[memoryview]) -> None:
        """Decode the pictures of the rows from `start` on, as far as possible; empty payloads are left out."""
        rows = [row for row, payload in enumerate(payloads, start) if payload]
        try:
            found = self._jpegs([payload for payload in payloads if payload]) if rows else []
        except RecordError:
            return  # which one it is shows when they are decoded one by one
        for row, picture in zip(rows, found, strict=True):
            if list(picture.shape) == [3, *self._sizes[row]]:
                self._pictures[row] = picture

    def decode(self, row: int, payload: memoryview) -> Cut:
        """Return the picture of a row, decoded here where the device did not; of an empty payload there is no picture."""
        if payload and self._pictures[row] is None:
            height, width = self._sizes[row]
            self._pictures[row] = self._jpegs.uploaded(self._decoder(payload, height, width))
        return Cut(self, row)

    def picture(self, row: int) -> torch.Tensor:
        """Return a decoded picture, uint8 [height, width, 3]."""
        found = self._pictures[row]
        return torch.empty((0, 0, 3), dtype=torch.uint8) if found is None else found.permute(1, 2, 0)

    @staticmethod
    def joined(cuts: Sequence[Cut]) -> Cuts:
        """Return the cuts of a batch, whose pictures are brought together on the current stream."""
        columns = [cut.column for cut in cuts if isinstance(cut.column, DeviceColumn)]
        table = np.stack([column.table[cut.row] for column, cut in zip(columns, cuts, strict=True)])
        areas = table[:, 1] * table[:, 2]
        table[:, 0] = np.cumsum(areas) - areas
        found = [column._pictures[cut.row] for column, cut in zip(columns, cuts, strict=True)]
        pictures = [picture for picture in found if picture is not None]
        columns[0]._jpegs.hand_over(pictures)
        pixels = torch.cat([picture.flatten() for picture in pictures]) if pictures else torch.empty(0, dtype=torch.uint8)
        return Cuts.of(pixels, table, planar=True)


PictureColumn = ResizedColumn | CutColumn | DeviceColumn
"""The pictures of one field in a batch. Threads may decode into different rows at once."""


class Cut(NamedTuple):
    """A picture in a column whose windows are cut later."""

    column: CutColumn | DeviceColumn
    row: int

    @property
    def pixels(self) -> torch.Tensor:
        """What is kept of the decoded picture, uint8 [height, width, 3]."""
        return self.column.picture(self.row)

    @property
    def nbytes(self) -> int:
        """The memory of the pixels; asked of every picture, so none is looked at for it."""
        _, height, width, *_ = self.column.table[self.row].tolist()
        return 3 * int(height * width)
