"""One encoder a modality: each makes one vector of a text, a recording or a picture."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mmdata.train.features import MEL_BINS
from mmdata.train.layers import Pool, Stem, Transformer


class TextEncoder(nn.Module):
    def __init__(
        self, vocabulary: int, width: int, heads: int, layers: int, strides: Sequence[int], output: int, kernel=5
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=0)
        nn.init.normal_(self.embedding.weight, std=1.0)
        self.stem = Stem(width, width, kernel, strides)
        self.transformer = Transformer(width, heads, layers)
        self.pool = Pool(width, output)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        values, steps = self.stem(self.embedding(ids).transpose(1, 2), lengths)
        return self.pool(self.transformer(values, steps), steps)


class AudioEncoder(nn.Module):
    def __init__(self, width: int, heads: int, layers: int, strides: Sequence[int], output: int, kernel=3) -> None:
        super().__init__()
        self.stem = Stem(MEL_BINS, width, kernel, strides)
        self.transformer = Transformer(width, heads, layers)
        self.pool = Pool(width, output)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        values, steps = self.stem(frames, lengths)
        return self.pool(self.transformer(values, steps), steps)
