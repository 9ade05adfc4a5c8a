"""Random numbers and keys are pure functions of their arguments."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmdata.keys import LONGEST_FROM_SOURCE, is_key, key_for
from mmdata.rng import digest_of, fraction_of, rng_for


def test_generator_is_a_function_of_its_place() -> None:
    """The same place gives the same numbers, another place others; the first ones are fixed for all time."""
    assert rng_for(1, "crop", "a").integers(0, 1000, 5).tolist() == rng_for(1, "crop", "a").integers(0, 1000, 5).tolist()
    assert rng_for(1, "crop", "a").random() != rng_for(1, "crop", "b").random()
    assert rng_for(1, "crop", "a").random() != rng_for(2, "crop", "a").random()
    assert rng_for(0, "place", "key").integers(0, 2**32, 3).tolist() == [717543649, 1176822420, 3577978262]


def test_parts_are_kept_apart() -> None:
    """Where one part ends and the next begins matters."""
    assert digest_of("ab", "c") != digest_of("a", "bc")


def test_fraction_is_uniform() -> None:
    """Fractions fill [0, 1) evenly."""
    values = np.array([fraction_of("x", n) for n in range(4000)])
    counts, _ = np.histogram(values, bins=10, range=(0, 1))
    assert values.min() >= 0
    assert values.max() < 1
    assert counts.min() > 320


@given(st.text())
def test_every_source_key_becomes_a_key(source_key: str) -> None:
    """Whatever the source calls a row, its record has a valid key, and a valid one stays."""
    key = key_for(source_key)
    assert is_key(key)
    assert len(key) <= LONGEST_FROM_SOURCE
    assert key == source_key or not is_key(source_key) or len(source_key) > LONGEST_FROM_SOURCE


def test_source_keys_that_look_alike_stay_apart() -> None:
    """Keys that differ only in what cannot be kept get different marks."""
    assert len({key_for("a/b"), key_for("a.b"), key_for("a b"), key_for("a_b")}) == 4
