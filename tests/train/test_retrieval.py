"""Retrieval: recalls as counted one by one, ties against the query, chance and intervals by their formulas."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
import torch

from mmdata.rng import rng_for
from mmdata.train.encoders import unit_vectors
from mmdata.train.retrieval import Recall, chance, measure, ranks_of


def _vectors(name: str, count: int) -> torch.Tensor:
    return unit_vectors(torch.from_numpy(rng_for(1, name).standard_normal((count, 6)).astype(np.float32)))


def test_recall_is_that_of_counting_one_by_one() -> None:
    """Every direction has the hits that a plain search over all answers finds."""
    count = 60
    text = _vectors("text", count)
    embeddings = {"text": text, "audio": unit_vectors(text + 0.6 * _vectors("audio", count))}
    contents = {modality: torch.arange(1, count + 1) for modality in embeddings}
    for direction in measure(embeddings, contents):
        queries, answers = embeddings[direction.query].numpy(), embeddings[direction.answer].numpy()
        ranks = [1 + sum(query @ wrong >= query @ answers[row] for wrong in np.delete(answers, row, axis=0))
                 for row, query in enumerate(queries)]  # fmt: skip
        for k in (1, 10):
            assert direction.recall(k).hits == sum(rank <= k for rank in ranks)
            assert direction.recall(k).chance == pytest.approx(k / count)
        assert direction.median_rank == np.median(ranks)


def test_equal_contents_are_one_query_and_one_answer() -> None:
    """A picture of several records is one answer, and any text that is paired with it is right for it."""
    texts = torch.eye(4)
    pictures = torch.eye(4)[[0, 0, 2, 3]]
    contents = {"text": torch.tensor([1, 2, 3, 4]), "image": torch.tensor([7, 7, 8, 9])}
    to_image, to_text = measure({"text": texts, "image": pictures}, contents)
    assert (to_image.queries, to_image.answers, to_image.recall(1).hits) == (4, 3, 3)
    assert (to_text.queries, to_text.answers, to_text.recall(1).hits) == (3, 4, 3)
    assert to_text.recall(1).chance == pytest.approx((2 / 4 + 1 / 4 + 1 / 4) / 3)


def test_ties_and_what_is_no_number_count_against_the_query() -> None:
    """A model that embeds everything alike, or as no number at all, finds nothing."""
    pairs = torch.arange(5).repeat(2, 1).T
    for blind in (torch.ones(5, 3), torch.full((5, 3), torch.nan)):
        assert ranks_of(blind, blind, pairs).tolist() == [5] * 5


def test_records_without_a_modality_are_left_out() -> None:
    """A direction has only the records that hold both of its modalities; one that no record holds is not measured."""
    embeddings = {modality: torch.eye(3) for modality in ("text", "audio", "image")}
    contents = {"text": torch.tensor([1, 2, 3]), "audio": torch.tensor([1, 0, 3]), "image": torch.tensor([0, 2, 0])}
    found = {direction.name: direction.queries for direction in measure(embeddings, contents)}
    assert found == {"text → audio": 2, "audio → text": 2, "text → image": 1, "image → text": 1}


@pytest.mark.parametrize(("k", "right", "answers"), [(1, 1, 7), (3, 2, 6), (4, 3, 6), (10, 1, 5)])
def test_chance_is_that_of_all_draws(k: int, right: int, answers: int) -> None:
    """Chance is the share of all draws of k answers that hold a right one."""
    draws = list(combinations(range(answers), min(k, answers)))
    hits = sum(min(draw) < right for draw in draws)
    assert chance(k, right, answers) == pytest.approx(float(Fraction(hits, len(draws))))


def test_interval_is_that_of_wilson() -> None:
    """The bounds solve Wilson's equation |share - p| = z sqrt(p (1 - p) / n)."""
    recall = Recall(10, 30, 100, 0.1)
    for bound in recall.interval:
        assert abs(recall.share - bound) == pytest.approx(1.959964 * math.sqrt(bound * (1 - bound) / 100))
    assert Recall(1, 0, 20, 0.1).interval[0] == 0.0
