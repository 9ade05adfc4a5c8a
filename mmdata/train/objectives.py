"""What is learned: every pair of modalities comes to lie together, and apart from the other records of the batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmdata.train.config import Modality
from mmdata.train.contents import Contents
from mmdata.train.model import Embeddings

INITIAL_TEMPERATURE = 0.07
LARGEST_SCALE = 100.0
_Pair = tuple[Modality, Modality]


def pairs_of(modalities: Sequence[Modality]) -> list[_Pair]:
    """Return every pair of modalities, in order."""
    return list(combinations(modalities, 2))


def name_of_pair(pair: _Pair) -> str:
    """Return for instance "text-audio"."""
    return "-".join(pair)


class PairLosses(nn.Module):
    """The contrastive loss of every pair of modalities, each with a temperature of its own that is learned.

    The inverse of a temperature is learned as a logarithm and kept between 0 and ln 100 (A. Radford et al., "Learning
    Transferable Visual Models From Natural Language Supervision", 2021): call `clamp` after every step.
    """

    def __init__(self, modalities: Sequence[Modality]) -> None:
        super().__init__()
        self.pairs = pairs_of(modalities)
        start = math.log(1 / INITIAL_TEMPERATURE)
        self.scales = nn.ParameterDict({name_of_pair(pair): nn.Parameter(torch.tensor(start)) for pair in self.pairs})

    def forward(self, embeddings: Embeddings, contents: Contents) -> dict[str, Tensor]:
        """Return the loss of each pair by its name, over the records that have both; a scalar float32, 0 where none has."""
        return {name_of_pair(pair): self._loss(embeddings, contents, pair) for pair in self.pairs}

    def _loss(self, embeddings: Embeddings, contents: Contents, pair: _Pair) -> Tensor:
        first, second = pair
        present = (contents[first] != 0) & (contents[second] != 0)
        same = same_content(contents[first][present]) | same_content(contents[second][present])
        scale = self.scales[name_of_pair(pair)].exp()
        return contrastive_loss(embeddings[first][present], embeddings[second][present], scale, same)

    @torch.no_grad()
    def clamp(self) -> None:
        """Bring the temperatures back into their range."""
        for scale in self.scales.values():
            scale.clamp_(0.0, math.log(LARGEST_SCALE))


def same_content(contents: Tensor) -> Tensor:
    """Return which records hold the same content: bool [records, records], for fingerprints int64 [records]."""
    return contents[:, None] == contents[None, :]


def contrastive_loss(first: Tensor, second: Tensor, scale: Tensor, same: Tensor) -> Tensor:
    """Return the mean cross-entropy of finding each record's partner among the batch, both ways: a scalar.

    `first` and `second` are unit vectors float32 [records, values], `scale` the inverse temperature. Where `same`, bool
    [records, records], says that two records share their content, they are right answers for each other, so they are left
    out of each other's wrong answers. Source: symmetric InfoNCE (A. van den Oord et al., 2018; A. Radford et al., 2021).
    """
    if not len(first):
        return first.sum() * 0.0
    right = torch.arange(len(first), device=first.device)
    others = same & (right[:, None] != right[None, :])
    logits = (scale * first @ second.T).masked_fill(others, -torch.inf)
    return (functional.cross_entropy(logits, right) + functional.cross_entropy(logits.T, right)) / 2
