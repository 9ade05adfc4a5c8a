"""From a batch of the loader to what the encoders read: unit ids, log-mel frames, normalized pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mmdata.loader import Batch
from mmdata.loader.log_mel import LogMel
from mmdata.loader.resizing import resized
from mmdata.train.config import Modality, TrainConfig
from mmdata.train.layout import Layout

PADDING = 0
"""The id of padding after a text; the dataset's own ids stand one higher in the model."""


@dataclass(frozen=True, eq=False)
class Input:
    """One modality of a batch.

    `values`: text int64 [batch, units], 0 is padding; audio float32 [batch, 80, frames]; image float32 [batch, 3, size, size].
    `lengths` int64 [batch]: units or frames that are no padding; of pictures 1. All: 0 where a record lacks the modality.
    """

    values: Tensor
    lengths: Tensor


Inputs = dict[Modality, Input]


class Preparation(nn.Module):
    """Makes the inputs of a batch, on the device where the batch is. It has nothing to learn."""

    def __init__(self, layout: Layout, config: TrainConfig) -> None:
        super().__init__()
        self.layout = layout
        self.config = config
        self.log_mel = LogMel()
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.tensor(layout.mean)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(layout.deviation)[:, None, None], persistent=False)

    @torch.no_grad()
    def forward(self, batch: Batch) -> Inputs:
        """Return the inputs of a batch, by modality."""
        makers = {"text": self._text, "audio": self._audio, "image": self._image}
        return {modality: makers[modality](batch, name) for modality, name in self.layout.fields.items()}

    def _text(self, batch: Batch, name: str) -> Input:
        column, limit = batch.fields[name], self.config.text.length
        if isinstance(column, list):
            ids, lengths = (tensor.to(self.mean.device) for tensor in bytes_of(column, limit))
        else:
            ids, lengths = column[:, :limit], batch.lengths[name].clamp_max(limit)
        inside = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        return Input(torch.where(inside, ids + 1, PADDING), lengths)

    def _audio(self, batch: Batch, name: str) -> Input:
        samples, lengths = tensor_of(batch, name), batch.lengths[name]
        return Input(*self.log_mel(samples.mean(1) if samples.ndim == 3 else samples, lengths))

    def _image(self, batch: Batch, name: str) -> Input:
        sizes, size = batch.lengths[name], self.config.image.size
        pictures = of_size(tensor_of(batch, name), sizes, (size, size))
        return Input((pictures / 255 - self.mean) / self.deviation, (sizes.amin(1) > 0).long())


def tensor_of(batch: Batch, name: str) -> Tensor:
    """Return a column that is no text."""
    column = batch.fields[name]
    assert isinstance(column, Tensor), name
    return column


def bytes_of(texts: Sequence[str], limit: int) -> tuple[Tensor, Tensor]:
    """Return the UTF-8 bytes of texts, int64 [texts, bytes] padded with 0 and cut to `limit`, and their numbers int64 [texts]."""
    encoded = [text.encode()[:limit] for text in texts]
    lengths = np.array([len(content) for content in encoded], dtype=np.int64)
    ids = np.zeros((len(encoded), max(1, int(lengths.max(initial=0)))), dtype=np.int64)
    for row, content in zip(ids, encoded, strict=True):
        row[: len(content)] = np.frombuffer(content, dtype=np.uint8)
    return torch.from_numpy(ids), torch.from_numpy(lengths)


def of_size(pictures: Tensor, sizes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return pictures [batch, 3, *size] of uint8 [batch, 3, height, width], each without its padding.

    `sizes` is int64 [batch, 2]: height and width that are no padding. A picture without pixels becomes black. A loader with
    `loader_options` has resized them already.
    """
    whole = (sizes == torch.tensor(size, device=sizes.device)) | (sizes == 0)
    if pictures.shape[2:] == size and bool(whole.all()):
        return pictures
    return resized(pictures.permute(0, 2, 3, 1), sizes, size)
