"""How often the right answer is found: retrieval measured exactly, with chance and uncertainty beside it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmdata.train.config import Modality
from mmdata.train.contents import Contents
from mmdata.train.model import Embeddings

AT = (1, 10)
_CONFIDENCE = 1.959964  # standard deviations of a normal distribution: 95 %
_CHUNK = 1024  # queries whose similarities are held at a time


@dataclass(frozen=True)
class Recall:
    """How many of the queries have a right answer among the first `k`; all shares are from 0 to 1."""

    k: int
    hits: int
    queries: int
    chance: float

    @property
    def share(self) -> float:
        """Hits of all queries."""
        return self.hits / self.queries

    @property
    def interval(self) -> tuple[float, float]:
        """The range of the true share at 95 % (E. B. Wilson, 1927); it counts the queries as independent."""
        squared = _CONFIDENCE**2
        centre = (self.hits + squared / 2) / (self.queries + squared)
        spread = math.sqrt(self.hits * (self.queries - self.hits) / self.queries + squared / 4)
        half = _CONFIDENCE * spread / (self.queries + squared)
        return max(0.0, centre - half), min(1.0, centre + half)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        low, high = self.interval
        return {"k": self.k, "hits": self.hits, "share": self.share, "low": low, "high": high, "chance": self.chance}


@dataclass(frozen=True)
class Direction:
    """Answers of one modality to queries of another: how many of each, the median rank of the best right answer, recalls."""

    query: Modality
    answer: Modality
    queries: int
    answers: int
    median_rank: float
    recalls: tuple[Recall, ...]

    @property
    def name(self) -> str:
        """For instance "text → audio"."""
        return f"{self.query} → {self.answer}"

    def recall(self, k: int) -> Recall:
        """Return the recall at `k`, one of `AT`."""
        return next(recall for recall in self.recalls if recall.k == k)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        counts = {"queries": self.queries, "answers": self.answers, "median_rank": self.median_rank}
        return {"query": self.query, "answer": self.answer, **counts, "recalls": [recall.to_json() for recall in self.recalls]}


@dataclass(frozen=True)
class Retrieval:
    """What `evaluate` measures: every direction of every pair of modalities, on the records of a split.

    `unread` records could not be read and are left out.
    """

    split: str
    records: int
    unread: int
    directions: tuple[Direction, ...]

    def direction(self, query: Modality, answer: Modality) -> Direction:
        """Return one direction. Raises KeyError for one that was not measured."""
        for direction in self.directions:
            if (direction.query, direction.answer) == (query, answer):
                return direction
        raise KeyError(f"{query} → {answer}")

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        directions = [direction.to_json() for direction in self.directions]
        return {"split": self.split, "records": self.records, "unread": self.unread, "directions": directions}


def measure(embeddings: Embeddings, contents: Contents) -> tuple[Direction, ...]:
    """Measure every direction of every pair of modalities that some records have both of.

    Embeddings are [records, values], contents int64 [records] and 0 where a record lacks the modality. Queries and answers are
    the different contents: the same sentence or picture in several records is one. An answer is right when any record pairs
    it with the query.
    """
    both = {(query, answer): (contents[query] != 0) & (contents[answer] != 0) for query, answer in permutations(embeddings, 2)}
    return tuple(
        _measured(query, answer, {name: (embeddings[name][kept], contents[name][kept]) for name in (query, answer)})
        for (query, answer), kept in both.items()
        if bool(kept.any())
    )


def _measured(query: Modality, answer: Modality, columns: Mapping[Modality, tuple[Tensor, Tensor]]) -> Direction:
    queries, query_of = _different(*columns[query])
    answers, answer_of = _different(*columns[answer])
    pairs = torch.stack([query_of, answer_of], dim=1)
    ranks = ranks_of(queries, answers, pairs)
    right = [len(answers_of) for answers_of in _right_answers(pairs)]
    recalls = [
        Recall(k, int((ranks <= k).sum()), len(queries), sum(chance(k, count, len(answers)) for count in right) / len(right))
        for k in AT
    ]
    return Direction(query, answer, len(queries), len(answers), float(ranks.double().quantile(0.5)), tuple(recalls))


def _right_answers(pairs: Tensor) -> list[set[int]]:
    """Return for every query the answers that are right for it."""
    found: dict[int, set[int]] = defaultdict(set)
    for query, answer in pairs.tolist():
        found[query].add(answer)
    return list(found.values())


def _different(embeddings: Tensor, contents: Tensor) -> tuple[Tensor, Tensor]:
    """Return one embedding for each different content, that of its first record, and the number of each record's content."""
    _, first, numbers = np.unique(contents.cpu().numpy(), return_index=True, return_inverse=True)
    return embeddings[torch.from_numpy(first).to(embeddings.device)], torch.from_numpy(numbers).to(embeddings.device)


def ranks_of(queries: Tensor, answers: Tensor, pairs: Tensor) -> Tensor:
    """Return the rank of each query's best right answer among the wrong ones, from 1: int64 [queries].

    `queries` and `answers` are [count, values]; `pairs`, int64 [pairs, 2], names a query and an answer that is right for it.
    A wrong answer that is as similar as the right one stands before it, and so does one whose similarity is not a number.
    """
    ranks = []
    for start in range(0, len(queries), _CHUNK):
        scores = queries[start : start + _CHUNK] @ answers.T
        inside = (pairs[:, 0] >= start) & (pairs[:, 0] < start + _CHUNK)
        right = torch.zeros_like(scores, dtype=torch.bool)
        right[pairs[inside, 0] - start, pairs[inside, 1]] = True
        best = scores.masked_fill(~right, -torch.inf).amax(dim=1, keepdim=True)
        ranks.append(1 + (~(scores < best) & ~right).sum(dim=1))
    return torch.cat(ranks)


def chance(k: int, right: int, answers: int) -> float:
    """Return how likely one of `right` answers is among `k` of all answers drawn blindly; k / answers where one is right."""
    return 1.0 - math.comb(answers - right, k) / math.comb(answers, k) if k < answers else 1.0


def concatenated(parts: Sequence[Mapping[Modality, Tensor]]) -> dict[Modality, Tensor]:
    """Return the columns of several batches as one, by modality."""
    return {modality: torch.cat([part[modality] for part in parts]) for modality in parts[0]}
