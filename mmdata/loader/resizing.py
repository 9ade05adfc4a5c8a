"""Resizing of a whole batch at once, wherever it is: two products of matrices, so a GPU does it in no time.

The filter is the one of Pillow, and of torch's `interpolate` with `antialias`: a triangle that is one target pixel wide at each
side where the picture shrinks, and one source pixel where it grows.
"""

from __future__ import annotations

import torch
from torch import Tensor


def resized(
    pictures: Tensor, sizes: Tensor, size: tuple[int, int], flipped: Tensor | None = None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return pictures float32 [batch, 3, *size], 0 to 255, of uint8 [batch, height, width, 3].

    `sizes`, int64 [batch, 2], says how much of each picture is no padding; one without pixels becomes black. `flipped`, bool
    [batch], mirrors pictures left to right. No value is brought from the device to the processor. Products are made in `dtype`:
    float16 is several times as fast on a GPU, and the error stays below half a level.
    """
    rows = filters(sizes[:, 0], pictures.shape[1], size[0]).to(dtype)
    columns = filters(sizes[:, 1], pictures.shape[2], size[1]).to(dtype)
    if flipped is not None:
        columns = torch.where(flipped[:, None, None], columns.flip(1), columns)
    shrunk = torch.einsum("bih,bhwc->biwc", rows, pictures.to(dtype))
    return torch.einsum("bjw,biwc->bcij", columns, shrunk).float()


def filters(sizes: Tensor, source: int, target: int) -> Tensor:
    """Return the share of each source pixel in each target pixel, float32 [batch, target, source], for sizes int64 [batch].

    Shares add up to 1; where the size is 0 all are 0.
    """
    scale = sizes.float() / target
    middle = (torch.arange(target, device=sizes.device) + 0.5) * scale[:, None] - 0.5
    pixels = torch.arange(source, device=sizes.device)
    distance = (pixels - middle[:, :, None]) / scale.clamp_min(1.0)[:, None, None]
    weights = (1.0 - distance.abs()).clamp_min(0.0) * (pixels < sizes[:, None, None])
    return weights / weights.sum(2, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
