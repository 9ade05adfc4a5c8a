"""Random numbers and keys are pure functions of their arguments."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdata.errors import RecipeError
from mmdata.keys import LONGEST_FROM_SOURCE, is_key, key_for
from mmdata.pipeline import Pipeline
from mmdata.record import Origin, Record
from mmdata.rng import Undrawn, digest_of, fraction_of, rng_for
from mmdata.schema import Schema
from mmdata.stages.base import Stage
from mmdata.stages.image_crop import Crop
from mmdata.values import Image


def test_generator_is_a_function_of_its_place() -> None:
    """The same place gives the same numbers, another place others; the first ones are fixed for all time."""
    assert rng_for(1, "crop", "a").integers(0, 1000, 5).tolist() == rng_for(1, "crop", "a").integers(0, 1000, 5).tolist()
    assert rng_for(1, "crop", "a").random() != rng_for(1, "crop", "b").random()
    assert rng_for(1, "crop", "a").random() != rng_for(2, "crop", "a").random()
    assert rng_for(0, "place", "key").integers(0, 2**32, 3).tolist() == [717543649, 1176822420, 3577978262]


class Noted(Stage):
    """Writes down a number that it draws, and says that it does so or keeps it to itself."""

    says_so: bool

    @property
    def random(self) -> bool:
        """Whether it admits to drawing."""
        return self.says_so

    def infer(self, schema: Schema) -> Schema:
        """Add the measure."""
        return schema.with_measures({"number": "int"})

    def __call__(self, record: Record, rng: np.random.Generator) -> Record:
        """Add a number below 2^32."""
        return record.with_measures({"number": int(rng.integers(0, 2**32))})


def record(key: str) -> Record:
    """Return a record of one picture."""
    return Record(key, {"image": Image(np.zeros((90, 70, 3), np.uint8))}, Origin(0, key, "train", key))


def test_a_stage_that_draws_gets_the_numbers_of_its_place() -> None:
    """The pipeline hands over the generator of seed, stage and key, and stages that draw nothing change nothing in it."""
    stages = [Crop(size=80), Noted(says_so=True)]
    (found,) = Pipeline(stages, ["crop", "noted"], 0)(record("key"))
    assert isinstance(found, Record)
    assert found.measures == {"number": int(rng_for(0, "noted", "key").integers(0, 2**32))}


def test_drawing_without_saying_so_stops_the_build() -> None:
    """Numbers that do not come from the place of a stage would differ from run to run, so nobody gets any."""
    with pytest.raises(RecipeError, match=r"noted draws random numbers \(integers\) and does not say so"):
        list(Pipeline([Noted(says_so=False)], ["noted"], 0)(record("key")))
    assert repr(Undrawn("noted")) == "Undrawn('noted')"


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
