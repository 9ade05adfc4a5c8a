"""The contrastive loss: what numpy computes from its formula, without wrong answers that are right."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mmdata.rng import rng_for
from mmdata.train.encoders import unit_vectors
from mmdata.train.objectives import PairLosses, contrastive_loss, same_content


def _vectors(name: str, count: int) -> torch.Tensor:
    return unit_vectors(torch.from_numpy(rng_for(0, name).standard_normal((count, 8)).astype(np.float32)))


def _expected(first: NDArray[np.float64], second: NDArray[np.float64], scale: float, same: NDArray[np.bool_]) -> float:
    total = 0.0
    for queries, answers in ((first, second), (second, first)):
        for row, query in enumerate(queries):
            wrong = [math.exp(scale * query @ answer) for column, answer in enumerate(answers) if not same[row, column]]
            right = math.exp(scale * query @ answers[row])
            total -= math.log(right / (right + sum(wrong)))
    return total / (2 * len(first))


@pytest.mark.parametrize("contents", [[1, 2, 3, 4, 5], [1, 2, 1, 4, 2]])
def test_loss_is_that_of_the_formula(contents: list[int]) -> None:
    """The loss is the mean cross-entropy both ways; records of the same content are not told apart."""
    first, second = _vectors("first", 5), _vectors("second", 5)
    same = same_content(torch.tensor(contents))
    found = contrastive_loss(first, second, torch.tensor(10.0), same)
    expected = _expected(first.double().numpy(), second.double().numpy(), 10.0, same.numpy())
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_blind_embeddings_cost_the_logarithm_of_the_batch() -> None:
    """Where all embeddings are equal, the loss is that of guessing."""
    vectors = torch.ones(6, 4) / 2
    assert float(contrastive_loss(vectors, vectors, torch.tensor(10.0), same_content(torch.arange(6)))) == pytest.approx(
        math.log(6)
    )


def test_each_pair_counts_the_records_that_have_both() -> None:
    """A record that lacks a modality is left out of its pairs alone, and a pair that no record has costs nothing."""
    embeddings = {modality: _vectors(modality, 4) for modality in ("text", "audio", "image")}
    contents = {
        "text": torch.tensor([1, 2, 3, 4]),
        "audio": torch.tensor([5, 0, 6, 7]),
        "image": torch.zeros(4, dtype=torch.long),
    }
    losses = PairLosses(["text", "audio", "image"])
    found = losses(embeddings, contents)
    kept = [0, 2, 3]
    scale = losses.scales["text-audio"].exp()
    expected = contrastive_loss(embeddings["text"][kept], embeddings["audio"][kept], scale, same_content(torch.arange(3)))
    assert list(found) == ["text-audio", "text-image", "audio-image"]
    assert found["text-audio"].item() == pytest.approx(expected.item())
    assert found["text-image"].item() == found["audio-image"].item() == 0.0
    sum(found.values()).backward()


def test_temperatures_stay_in_their_range() -> None:
    """After `clamp`, no scale is above 100 or below 1."""
    losses = PairLosses(["text", "audio", "image"])
    with torch.no_grad():
        losses.scales["text-audio"].fill_(9.0)
        losses.scales["text-image"].fill_(-1.0)
    losses.clamp()
    found = [losses.scales[name].exp().item() for name in ("text-audio", "text-image", "audio-image")]
    assert found == pytest.approx([100.0, 1.0, 1 / 0.07])
