"""`record.balance`: exact numbers by label and split, whatever the order and the cut of the rows."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mmdata.errors import RecipeError
from mmdata.record import Origin, Record, Reject
from mmdata.schema import FieldType, Schema
from mmdata.stages.balance import Balance
from mmdata.values import Text

_RNG = np.random.default_rng(0)
_SCHEMA = Schema({"text": FieldType("text")}, {"lang": "str", "score": "float", "fair": "bool"})


def record(number: int, lang: str, split: str = "train") -> Record:
    """Make a record with a label."""
    metadata = {"lang": lang, "score": 0.5, "fair": number % 2 == 0}
    return Record(f"k{number}", {"text": Text("a")}, Origin(number, f"k{number}", split, f"k{number}"), metadata)


def corpus(**counts: int) -> list[Record]:
    """Make so many records of each label."""
    labels = [label for label, count in counts.items() for _ in range(count)]
    return [record(number, label) for number, label in enumerate(labels)]


def fit(stage: Balance, records: Sequence[Record], size: int = 7) -> Balance:
    """Let the stage learn from records in tasks of this size."""
    tables = [stage.observe(records[place : place + size]) for place in range(0, len(records), size)]
    return stage.fitted(stage.reduce(pa.concat_tables([stage.observe([]), *tables])))


def kept(stage: Balance, records: Sequence[Record]) -> list[Record]:
    """Return the records that stay."""
    fitted = fit(stage, records)
    return [given for given in records if fitted(given, _RNG) is given]


def counts(records: Sequence[Record]) -> dict[str, int]:
    """Count the labels."""
    return dict(Counter(str(given.metadata["lang"]) for given in records))


@settings(deadline=None)
@given(st.lists(st.sampled_from(["fr", "de", "be"]), min_size=1, max_size=60), st.integers(1, 20), st.integers(1, 30))
def test_most_is_exact_and_does_not_depend_on_order_or_tasks(labels: list[str], most: int, size: int) -> None:
    """Of each label the smaller of what there is and `most`; what is learned is the same for any order of rows."""
    records = [record(number, label) for number, label in enumerate(labels)]
    stage = Balance(by="lang", most=most)
    assert counts(kept(stage, records)) == {label: min(most, count) for label, count in Counter(labels).items()}
    assert fit(stage, records, size).learned == fit(stage, records[::-1], 1).learned


def test_proportions_take_as_many_as_there_are() -> None:
    """The scarcest label decides; labels that are not named go."""
    records = corpus(fr=100, de=30, be=7)
    assert counts(kept(Balance(by="lang", proportions={"fr": 2, "de": 1}), records)) == {"fr": 60, "de": 30}
    assert counts(kept(Balance(by="lang", proportions={"fr": 0.1, "de": 0.3}), records)) == {"fr": 10, "de": 30}
    assert counts(kept(Balance(by="lang", proportions="equal"), records)) == {"fr": 7, "de": 7, "be": 7}


def test_each_split_is_balanced_by_itself() -> None:
    """A label that a split lacks does not empty it."""
    records = [record(number, "fr" if number % 3 else "de") for number in range(30)]
    records += [record(number, "fr", "val") for number in range(30, 35)]
    found = kept(Balance(by="lang", proportions={"fr": 1, "de": 1}), records)
    assert Counter((given.origin.split, given.metadata["lang"]) for given in found) == {
        ("train", "fr"): 10,
        ("train", "de"): 10,
        ("val", "fr"): 5,
    }


def test_the_choice_is_spread_and_follows_the_seed() -> None:
    """Not the first ones are kept, and another seed keeps others."""
    records = corpus(fr=200)
    one, other = (kept(Balance(by="lang", most=50, seed=seed), records) for seed in (0, 1))
    assert one != records[:50]
    assert one != other
    assert len(one) == len(other) == 50


def test_a_reject_names_its_label() -> None:
    """How many there are and are kept stands in the artifact alone: a verdict does not change where other rows come and go."""
    records = corpus(fr=10)
    fitted = fit(Balance(by="fair", most=2), records)
    rejected = [outcome for given in records if isinstance(outcome := fitted(given, _RNG), Reject)]
    assert Reject("filtered", "over the balance", "fair 'true'") in rejected
    assert len(rejected) == 6
    judged = fitted.verdicts(fitted.observe(records))
    assert [bool(verdict) for verdict in judged] == [isinstance(fitted(given, _RNG), Reject) for given in records]
    assert set(judged) == {"", "over true", "over false"}
    learned = json.loads(fitted.learned["balance.json"])
    assert {label: (found["there"], found["kept"]) for label, found in learned["train"].items()} == {
        "false": (5, 2),
        "true": (5, 2),
    }


def test_a_label_that_no_record_has_is_refused() -> None:
    """It would empty the dataset, and is most likely a slip."""
    with pytest.raises(RecipeError, match=r"no record that comes to record.balance has lang 'du'; there are \['de', 'fr'\]"):
        fit(Balance(by="lang", proportions={"fr": 1, "du": 1}), corpus(fr=3, de=3))


def test_options_and_schema() -> None:
    """One of most and proportions, and a column that holds labels; the schema stays."""
    for options in ({}, {"most": 3, "proportions": "equal"}, {"proportions": {}}, {"proportions": {"fr": -1}}):
        with pytest.raises(ValidationError):
            Balance(by="lang", **options)
    with pytest.raises(RecipeError, match="'score' is of type float"):
        Balance(by="score", most=1).infer(_SCHEMA)
    with pytest.raises(RecipeError, match="there is no metadata column 'tongue'"):
        Balance(by="tongue", most=1).infer(_SCHEMA)
    stage = Balance(by="lang", most=1)
    assert stage.infer(_SCHEMA) == _SCHEMA
    assert stage.observes() == {"*"}
    assert stage.reads() == set()


def test_a_fitted_stage_can_be_sent_to_a_worker() -> None:
    """It takes what it learned along."""
    records = corpus(fr=9)
    fitted = fit(Balance(by="lang", most=4), records)
    again = pickle.loads(pickle.dumps(fitted))
    assert [isinstance(again(given, _RNG), Reject) for given in records] == [
        isinstance(fitted(given, _RNG), Reject) for given in records
    ]
