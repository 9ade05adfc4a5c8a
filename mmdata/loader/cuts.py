"""Cuts: pictures of a batch as they were decoded, and the window of each that is shown; cutting is left to the device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Cuts:
    """Windows of pictures that lie one after the other; a picture that is not there has a window without pixels.

    pixels: uint8 [3 * pixels] of all pictures: each row by row, all colours of a pixel together; with `planar`, colour by colour.
    table: int64 [batch, 8]; pixels before the picture, its height and width; top, left, height and width of the window, and 1
        where it is mirrored.
    largest: height and width that hold every window; known here, because the device would have to be asked.
    reach: a number that no place in `pixels`, or beyond a window, exceeds; known here as well.
    """

    pixels: Tensor
    table: Tensor
    largest: tuple[int, int]
    reach: int
    planar: bool = False

    @classmethod
    def of(cls, pixels: Tensor, table: NDArray[np.int64], *, planar: bool = False) -> Cuts:
        """Return the cuts of a table."""
        height, width = table[:, 5:7].max(axis=0).tolist()
        reach = 3 * len(pixels) + (height + 1) * int(table[:, 2].max(initial=0)) + width
        return cls(pixels, torch.from_numpy(table), (height, width), reach, planar)

    def __len__(self) -> int:
        return len(self.table)

    def mapped(self, function: Callable[[Tensor], Tensor]) -> Cuts:
        """Return the same with a function applied to every tensor."""
        return replace(self, pixels=function(self.pixels), table=function(self.table))

    def tensors(self) -> list[Tensor]:
        """Return every tensor."""
        return [self.pixels, self.table]

    @property
    def sizes(self) -> Tensor:
        """Height and width of the windows, int64 [batch, 2]."""
        return self.table[:, 5:7]

    @property
    def flipped(self) -> Tensor:
        """Which windows are mirrored, bool [batch]."""
        return self.table[:, 7] > 0

    def padded(self) -> Tensor:
        """Return the windows, uint8 [batch, *largest, 3]; what lies beyond one is anything."""
        height, width = self.largest
        if not height or not width:
            return self.pixels.new_zeros((len(self), height, width, 3))
        number = torch.int32 if self.reach < 1 << 31 else torch.int64
        before, tall, wide, top, left = self.table[:, :5].to(number).T
        rows, columns = (torch.arange(size, dtype=number, device=self.table.device) for size in (height, width))
        begins = (before * (3 if self.planar else 1) + top * wide + left)[:, None] + rows * wide[:, None]
        places = begins[:, :, None] + columns
        if not self.planar:
            return _chosen(self.pixels.view(-1, 3), places)
        planes = [_chosen(self.pixels, places + colour * (tall * wide)[:, None, None]) for colour in range(3)]
        return torch.stack(planes, dim=3)


def _chosen(pixels: Tensor, places: Tensor) -> Tensor:
    """Return the pixels at these places; beyond the last one, that one."""
    return pixels.index_select(0, places.clamp_(max=len(pixels) - 1).flatten()).view(*places.shape, *pixels.shape[1:])
