"""Cuts: pictures of a batch as they were decoded, and the window of each that is shown; cutting is left to the device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Cuts:
    """Windows of pictures that lie one after the other; a picture that is not there has a window without pixels.

    pixels: uint8 [pixels, 3], of all pictures, row by row.
    table: int64 [batch, 7]; first pixel and width of the picture; top, left, height, width of the window, and 1 where it is
        mirrored.
    largest: height and width that hold every window; known here, because the device would have to be asked.
    """

    pixels: Tensor
    table: Tensor
    largest: tuple[int, int]

    def __len__(self) -> int:
        return len(self.table)

    def mapped(self, function: Callable[[Tensor], Tensor]) -> Cuts:
        """Return the same with a function applied to every tensor."""
        return Cuts(function(self.pixels), function(self.table), self.largest)

    def tensors(self) -> list[Tensor]:
        """Return every tensor."""
        return [self.pixels, self.table]

    @property
    def sizes(self) -> Tensor:
        """Height and width of the windows, int64 [batch, 2]."""
        return self.table[:, 4:6]

    @property
    def flipped(self) -> Tensor:
        """Which windows are mirrored, bool [batch]."""
        return self.table[:, 6] > 0

    def padded(self) -> Tensor:
        """Return the windows, uint8 [batch, *largest, 3]; what lies beyond one is anything."""
        height, width = self.largest
        if not height or not width:
            return self.pixels.new_zeros((len(self), height, width, 3))
        number = torch.int32 if len(self.pixels) < 1 << 31 else torch.int64
        first, step, top, left = self.table[:, :4].to(number).T
        rows, columns = (torch.arange(size, dtype=number, device=self.table.device) for size in (height, width))
        begins = (first + top * step + left)[:, None] + rows * step[:, None]
        places = (begins[:, :, None] + columns).clamp_(max=len(self.pixels) - 1)
        return self.pixels.index_select(0, places.flatten()).view(len(self), height, width, 3)
