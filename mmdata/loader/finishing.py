"""Finishing: a batch that came to the device as narrow as it was decoded gets the form that `Batch` and its views promise.

All of it is torch, in whole batches: on a GPU it takes the GPU's time and only bytes and 16-bit samples cross the bus.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from mmdata.loader.batch import Batch, Column, widened
from mmdata.loader.cuts import Cuts
from mmdata.loader.log_mel import LogMel
from mmdata.loader.resizing import resized
from mmdata.loader.views import LogMelView, PictureView, View
from mmdata.schema import FieldType


class Finish:
    """Gives batches their last form on a device; it can be pickled, and shared by threads."""

    def __init__(self, types: Mapping[str, FieldType], views: Mapping[str, View], device: torch.device | str = "cpu") -> None:
        self._types = types
        self._pictures = {name: _Pixels(view, device) for name, view in views.items() if isinstance(view, PictureView)}
        self._sounds = {name: LogMel(view.bins).to(device) for name, view in views.items() if isinstance(view, LogMelView)}

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Batch:
        """Return the batch in its last form."""
        batch = widened(batch, self._types)
        fields: dict[str, Column] = dict(batch.fields)
        lengths = dict(batch.lengths)
        for name, pixels in self._pictures.items():
            given = batch.cuts[name] if name in batch.cuts else _tensor(fields[name])
            fields[name], lengths[name] = pixels(given, lengths[name])
        for name, log_mel in self._sounds.items():
            fields[name], lengths[name] = log_mel(_tensor(fields[name]), lengths[name])
        return replace(batch, fields={name: fields[name] for name in self._types}, lengths=lengths, cuts={})


class _Pixels:
    """Resizes, mirrors and normalizes the pictures of a view."""

    def __init__(self, view: PictureView, device: torch.device | str) -> None:
        self._size = view.size
        self._dtype = getattr(torch, view.dtype)
        deviation = torch.tensor(view.deviation, device=device)[:, None, None]
        self._factor = 1.0 / (255.0 * deviation)
        self._offset = torch.tensor(view.mean, device=device)[:, None, None] / deviation
        self._shown = torch.tensor(view.size, device=device)

    def __call__(self, pictures: Tensor | Cuts, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return pictures [batch, 3, height, width] and their sizes int64 [batch, 2].

        Given are uint8 [batch, 3, height, width] or cuts, and the sizes.
        """
        if isinstance(pictures, Cuts):
            precision = torch.float16 if pictures.pixels.is_cuda else torch.float32
            shown = resized(pictures.padded(), pictures.sizes, self._size, pictures.flipped, precision)
            # Levels are whole numbers whoever resizes: what comes after sees no difference but rounding.
            pictures = shown.round_().clamp_(0, 255)
        if self._dtype == torch.uint8:
            finished = pictures.to(torch.uint8)
        else:
            finished = (pictures.float() * self._factor - self._offset).to(self._dtype)
        there = (lengths > 0).all(1, keepdim=True)
        return finished.contiguous(memory_format=torch.channels_last), torch.where(there, self._shown, 0)


def _tensor(column: Column) -> Tensor:
    assert isinstance(column, Tensor)
    return column
