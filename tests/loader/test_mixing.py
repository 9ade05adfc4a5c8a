"""A mixture keeps its proportions at every position, and each source its own order through its own epochs."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import islice
from math import gcd
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdata.errors import ConfigError
from mmdata.loader import Loader, LoaderOptions, Mixture, Order
from mmdata.loader.mixing import LONGEST_PERIOD, MixedOrder, interleaved, shares_of
from mmdata.record import Record
from tests.loader.conftest import SCHEMA, MakeDataset

COUNTS = ([5, 7, 3], [4], [6, 0, 2, 9])


def mixed(shares: tuple[int, ...] = (4, 1, 2), records: int = 24) -> MixedOrder:
    """Return a mixture of three small sources."""
    orders = [Order(counts, seed, window=2) for seed, counts in enumerate(COUNTS)]
    return MixedOrder(orders, shares, records, seed=1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=7))
def test_every_source_is_within_one_draw_of_its_share_at_every_position(shares: list[int]) -> None:
    """After any number of draws, the count of a source differs from its exact share by less than one."""
    drawn = interleaved(shares)
    for source, share in enumerate(shares):
        counts = np.cumsum(drawn == source) * sum(shares)
        exact = np.arange(1, len(drawn) + 1) * share
        assert (np.abs(counts - exact) < sum(shares)).all()
        assert counts[-1] == exact[-1]


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        (("0.7", "0.2", "0.1"), (7, 2, 1)),
        (("3", "3"), (1, 1)),
        (("1/3", "1/6"), (2, 1)),
        (("12", "18", "6"), (2, 3, 1)),
        (("5",), (1,)),
    ],
)
def test_weights_are_taken_as_they_are_written(weights: tuple[str, ...], shares: tuple[int, ...]) -> None:
    """Decimals and fractions become whole numbers in lowest terms, without rounding."""
    assert shares_of([Fraction(weight) for weight in weights]) == shares


def test_weights_with_a_long_period_are_apportioned() -> None:
    """Counts of records may be weights: the shares differ from the exact ones by less than one in 65,536."""
    weights = [Fraction(100_000_007), Fraction(7_345_999), Fraction(31)]
    with pytest.raises(ConfigError, match="below 1/65536"):
        shares_of(weights)
    shares = shares_of(weights[:2])
    assert gcd(*shares) == 1
    assert abs(Fraction(shares[0], sum(shares)) - weights[0] / sum(weights[:2])) < Fraction(1, LONGEST_PERIOD)


def test_each_source_goes_through_its_own_order() -> None:
    """The draws of a source, taken out of the mixture, are its epochs one after the other, as if it were alone."""
    order = mixed()
    shards, records = (np.concatenate(part) for part in zip(*(order.locate(epoch, range(24)) for epoch in range(9)), strict=True))
    first = 0
    for seed, counts in enumerate(COUNTS):
        ours = (shards >= first) & (shards < first + len(counts))
        found = list(zip((shards[ours] - first).tolist(), records[ours].tolist(), strict=True))
        alone = Order(counts, seed, window=2)
        expected = [
            place
            for epoch in range(len(found) // alone.records + 1)
            for place in zip(*(part.tolist() for part in alone.locate(epoch, range(alone.records))), strict=True)
        ]
        assert found == expected[: len(found)]
        first += len(counts)
    epochs = order.epochs_of_sources(8, 24)
    assert epochs == [Fraction(int(((shards >= a) & (shards < b)).sum()), n) for a, b, n in ((0, 3, 15), (3, 4, 4), (4, 8, 17))]


def test_a_position_is_found_without_the_others() -> None:
    """Locating one position gives what locating all of them gives, and indices agree with it."""
    order = mixed()
    whole = order.locate(3, range(24))
    starts = np.cumsum([0, 5, 7, 3, 4, 6, 0, 2])
    for position in (23, 0, 11):
        shards, records = order.locate(3, [position])
        assert (shards[0], records[0]) == (whole[0][position], whole[1][position])
        assert order.indices(3, [position])[0] == starts[shards[0]] + records[0]
    with pytest.raises(IndexError, match="from 0 to 23"):
        order.locate(0, [24])


def test_substitutes_are_of_the_same_source() -> None:
    """What stands in for a record keeps the proportions."""
    order = mixed()
    source_of = np.repeat([0, 1, 2], [3, 1, 4])
    for position in range(24):
        shards, records = order.locate(2, [position])
        for attempt in range(12):
            found = order.substitute(2, position, attempt)
            assert found is not None
            assert source_of[found[0]] == source_of[shards[0]]
            assert found != (shards[0], records[0])


def test_shards_of_all_sources_come_up_before_they_are_needed() -> None:
    """Draws are in order, and no record is drawn from a shard that has not come up."""
    order = mixed()
    upcoming = list(islice(order.upcoming(1, 5), 120))
    assert [draw for draw, _ in upcoming] == sorted(draw for draw, _ in upcoming)
    for epoch in (1, 2, 3):
        for position in range(5 if epoch == 1 else 0, 24):
            shard = int(order.locate(epoch, [position])[0][0])
            assert any(found == shard and draw <= epoch * 24 + position for draw, found in upcoming)


def test_sources_that_differ_are_refused_with_every_difference(make_dataset: MakeDataset) -> None:
    """A field that is missing, of another type or of another size is named, with the folders, on a line of its own."""
    whole = make_dataset([3])
    schema = replace(
        SCHEMA.with_field("audio", replace(SCHEMA.fields["audio"], rate=16000)).without("mel"), metadata={"label": "str"}
    )
    other = make_dataset([3], schema=schema, change=lambda record: _without(record, "mel"))
    with pytest.raises(ConfigError) as refused:
        Loader(Mixture({whole: 1, other: 1}), batch_size=2)
    lines = str(refused.value).splitlines()[1:]
    assert sorted(line.split(":")[0].strip() for line in lines) == ["field 'audio'", "field 'mel'", "metadata 'score'"]
    assert all(str(other) in line for line in lines)
    with pytest.raises(ConfigError, match="field 'audio'"):
        Loader(Mixture({whole: 1, other: 1}, missing="fill"), batch_size=2)


def _without(record: Record, name: str) -> Record:
    metadata = {key: value for key, value in record.metadata.items() if key == "label"}
    return replace(record.without(name), metadata=metadata)


def test_what_a_source_lacks_is_filled_where_that_is_asked_for(make_dataset: MakeDataset) -> None:
    """Records of a source without a field have it empty, and without a metadata column have None there."""
    whole = make_dataset([4])
    schema = replace(SCHEMA.without("mel", "image"), metadata={"label": "str"})
    other = make_dataset(
        [4], schema=schema, change=lambda record: replace(_without(record, "mel").without("image"), key=f"b{record.key}")
    )
    with Loader(Mixture({whole: 1, other: 1}, missing="fill"), batch_size=8, options=LoaderOptions(window=1)) as loader:
        batch = next(iter(loader))
    assert loader.ledger == ()
    for row, key in enumerate(batch.keys):
        lacks = key.startswith("b")
        assert (batch.metadata[row]["score"] is None) == lacks
        assert (int(batch.lengths["mel"][row]) == 0) == lacks
        assert (batch.lengths["image"][row].tolist() == [0, 0]) == lacks
        assert batch.metadata[row]["label"].startswith("l")
    assert sorted(key.startswith("b") for key in batch.keys) == [False] * 4 + [True] * 4
    few = LoaderOptions(window=1, fields=("mel",))
    with Loader(Mixture({whole: 1, other: 1}, missing="fill"), batch_size=8, options=few) as loader:
        batch = next(iter(loader))
    assert [size == 0 for size in batch.lengths["mel"].tolist()] == [key.startswith("b") for key in batch.keys]


@pytest.mark.parametrize(("weights", "said"), [({}, "at least one"), ({"a": 0}, "above 0"), ({"a": float("inf")}, "above 0")])
def test_weights_that_make_no_sense_are_refused(weights: dict[str | Path, float], said: str) -> None:
    """No source, no weight and an endless weight are ConfigErrors."""
    with pytest.raises(ConfigError, match=said):
        Mixture(weights)
