"""One encoder a modality: each makes one vector of a text, a recording or a picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmdata.loader.log_mel import MEL_BINS
from mmdata.train.config import Modality, TrainConfig
from mmdata.train.inputs import PADDING, Input
from mmdata.train.layers import Pool, Stem, Transformer
from mmdata.train.layout import Layout


class TextEncoder(nn.Module):
    """Unit ids, from 0 to `largest_id`, to a vector: embedding, convolutions, Transformer, pooling."""

    def __init__(self, largest_id: int, config: TrainConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(largest_id + 1, config.width, padding_idx=PADDING)
        # Without convolutions nothing stands between the embedding and the Transformer.
        strides, kernel = config.text.strides, config.text.kernel
        self.stem = Stem(config.width, config.width, kernel, strides) if strides else None
        self.transformer = Transformer(config.width, config.heads, config.text.layers)
        self.pool = Pool(config.width, config.embedding)

    def forward(self, given: Input) -> Tensor:
        """Return vectors [batch, embedding]."""
        values, lengths = self.embedding(given.values), given.lengths
        if self.stem is not None:
            values, lengths = self.stem(values.transpose(1, 2), lengths)
        vectors: Tensor = self.pool(self.transformer(values, lengths), lengths)
        return vectors


class AudioEncoder(nn.Module):
    """Log-mel frames to a vector: convolutions, Transformer, pooling."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.stem = Stem(MEL_BINS, config.width, config.audio.kernel, config.audio.strides)
        self.transformer = Transformer(config.width, config.heads, config.audio.layers)
        self.pool = Pool(config.width, config.embedding)

    def forward(self, given: Input) -> Tensor:
        """Return vectors [batch, embedding]."""
        values, lengths = self.stem(given.values, given.lengths)
        vectors: Tensor = self.pool(self.transformer(values, lengths), lengths)
        return vectors


class ImageEncoder(nn.Module):
    """A picture to a vector: convolutions that halve it, each followed by a norm of groups and GELU, then the mean."""

    def __init__(self, channels: Sequence[int], output: int) -> None:
        super().__init__()
        sizes = [3, *channels]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in zip(sizes, channels, strict=False)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(_groups(count), count) for count in channels)
        self.output = nn.Linear(sizes[-1], output)

    def forward(self, given: Input) -> Tensor:
        """Return vectors [batch, output]."""
        values = given.values
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            values = functional.gelu(norm(convolution(values)))
        vectors: Tensor = self.output(values.mean(dim=(2, 3)))
        return vectors


def _groups(channels: int) -> int:
    """Return the most groups, at most 8, that divide the channels."""
    return next(groups for groups in range(8, 0, -1) if channels % groups == 0)


def make_encoders(layout: Layout, config: TrainConfig) -> dict[str, nn.Module]:
    """Return an encoder for each modality of the layout."""
    return {modality: _make_encoder(modality, layout, config) for modality in layout.fields}


def _make_encoder(modality: Modality, layout: Layout, config: TrainConfig) -> nn.Module:
    match modality:
        case "text":
            return TextEncoder(layout.masked_id, config)
        case "audio":
            return AudioEncoder(config)
        case "image":
            return ImageEncoder(config.image.channels, config.embedding)


def unit_vectors(vectors: Tensor) -> Tensor:
    """Return vectors of length 1, float32 whatever the precision of the encoders."""
    return functional.normalize(vectors.float(), dim=-1, eps=torch.finfo(torch.float32).tiny)
