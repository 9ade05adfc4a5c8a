"""The inverted index finds what a dictionary would, however its runs were merged."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest

from mmdata.sketch import postings
from mmdata.sketch.postings import Postings


@pytest.mark.parametrize("entries", [10, 1000, 40_000])
def test_it_finds_every_record_under_its_keys(entries: int) -> None:
    """Once for each hit, from the dictionary of the newest and from the sorted runs alike."""
    rng = np.random.default_rng(entries)
    index, plain = Postings(), defaultdict(list)
    for number in range(entries // 4):
        keys = rng.integers(0, entries, 4, dtype=np.uint64)
        index.add(number, keys)
        for key in keys.tolist():
            plain[key].append(number)
    for _ in range(50):
        wanted = np.unique(rng.integers(0, entries, 20, dtype=np.uint64))
        assert Counter(index.find(wanted).tolist()) == Counter(number for key in wanted.tolist() for number in plain[key])


def test_runs_shrink_by_half_at_least() -> None:
    """So there are no more of them than the logarithm of the entries."""
    index = Postings()
    for number in range(40):
        index.add(number, np.arange(postings._FRESH, dtype=np.uint64) + np.uint64(number))
    sizes = [len(keys) for keys, _ in index._runs]
    assert sum(sizes) == 40 * postings._FRESH
    assert all(one >= 2 * other for one, other in pairwise(sizes))


def test_of_a_very_common_key_the_earliest_are_found() -> None:
    """The time of a search is bounded."""
    index = Postings()
    for number in range(postings._FRESH + 10):
        index.add(number, np.array([7], np.uint64))
    found = index.find(np.array([7], np.uint64))
    assert len(found) <= 2 * postings._MOST_A_KEY
    assert found[np.argsort(found)][: postings._MOST_A_KEY].tolist() == list(range(postings._MOST_A_KEY))


def test_an_empty_index_finds_nothing() -> None:
    """Whatever is looked up."""
    assert Postings().find(np.arange(5, dtype=np.uint64)).tolist() == []
    assert Postings().find(np.zeros(0, np.uint64)).tolist() == []
