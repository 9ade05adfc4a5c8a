"""The reference model: one encoder a modality, and embeddings of all in one space."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mmdata.loader import Batch
from mmdata.rng import digest_of
from mmdata.train.config import Modality, TrainConfig
from mmdata.train.encoders import make_encoders, unit_vectors
from mmdata.train.inputs import Inputs, Preparation
from mmdata.train.layout import Layout

Embeddings = dict[Modality, Tensor]


class TriModel(nn.Module):
    """Embeds texts, recordings and pictures, two or all three of them, so that what belongs together comes to lie together.

    Each embedding is float32 [batch, embedding] of length 1. It depends on its record alone: neither padding nor the other
    records of the batch change it.
    """

    def __init__(self, layout: Layout, config: TrainConfig) -> None:
        super().__init__()
        self.layout = layout
        self.precision = config.precision
        self.prepare = Preparation(layout, config)
        self.encoders = nn.ModuleDict(make_encoders(layout, config))

    def forward(self, inputs: Inputs) -> Embeddings:
        """Return the embeddings of prepared inputs, by modality."""
        device = next(self.parameters()).device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.precision == "bfloat16"):
            vectors = {modality: self.encoders[modality](given) for modality, given in inputs.items()}
        return {modality: unit_vectors(found) for modality, found in vectors.items()}

    @torch.no_grad()
    def embed(self, batch: Batch) -> Embeddings:
        """Return the embeddings of a batch, by modality; a batch on the model's device."""
        embeddings: Embeddings = self(self.prepare(batch))
        return embeddings


def make_model(layout: Layout, config: TrainConfig) -> TriModel:
    """Return a new model; its weights are a function of the seed, and the global random state is left as it was."""
    with seeded(config.seed, "weights"):
        return TriModel(layout, config)


@contextmanager
def seeded(seed: int, *place: str | int) -> Iterator[None]:
    """Let torch's generator of the processor follow from a seed and a place inside the block, and be as before after it."""
    with torch.random.fork_rng(devices=[]):
        # The generator of the processor alone, so that nothing of a GPU's changes.
        torch.default_generator.manual_seed(int.from_bytes(digest_of(seed, *place, size=8), "little") >> 1)
        yield
