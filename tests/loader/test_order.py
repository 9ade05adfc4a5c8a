"""The order is a bijection of every epoch, a pure function of its arguments, and mixes records within windows only."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from itertools import islice, permutations

import numpy as np
import pytest

from mmdata.loader.order import Order, mixed, permuted

GRID = [[1], [2], [5, 7, 3, 8, 1, 6, 7], [0, 4, 0, 0, 9, 1, 0], [1] * 30, [1000, 1, 513], [64] * 16]


def everything(order: Order, epoch: int) -> list[tuple[int, int]]:
    """Return the (shard, record) of all positions of an epoch."""
    shards, records = order.locate(epoch, np.arange(order.records))
    return list(zip(shards.tolist(), records.tolist(), strict=True))


@pytest.mark.parametrize("counts", GRID)
@pytest.mark.parametrize("window", [1, 2, 8, 100])
@pytest.mark.parametrize("seed", [0, 1, 2**70, -3])
def test_every_record_has_exactly_one_position_in_every_epoch(counts: list[int], window: int, seed: int) -> None:
    """Whatever the shards, the window and the seed, an epoch is a permutation of all records."""
    expected = [(shard, record) for shard, count in enumerate(counts) for record in range(count)]
    order = Order(counts, seed, window=window)
    for epoch in (0, 1, 12345):
        assert sorted(everything(order, epoch)) == expected


@pytest.mark.parametrize("counts", GRID)
def test_without_shuffle_records_come_as_they_stand(counts: list[int]) -> None:
    """Without shuffle every epoch goes through the shards in order."""
    expected = [(shard, record) for shard, count in enumerate(counts) for record in range(count)]
    order = Order(counts, 5, window=2, shuffle=False)
    assert everything(order, 0) == everything(order, 3) == expected


def test_a_position_is_found_without_the_others() -> None:
    """Locating positions one by one, in any order and epoch, gives what locating all of them gives."""
    counts = [5, 7, 3, 8, 1]
    whole = {epoch: everything(Order(counts, 1, window=2), epoch) for epoch in range(4)}
    order = Order(counts, 1, window=2)
    for epoch in (3, 0, 2, 1, 3):
        for position in (23, 0, 11, 5):
            shards, records = order.locate(epoch, [position])
            assert (int(shards[0]), int(records[0])) == whole[epoch][position]


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    """Another epoch or another seed is another order."""
    orders = {tuple(everything(Order([50] * 4, seed), epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_the_order_is_pinned() -> None:
    """The order of one small case never changes: states that were saved rely on it."""
    order = Order([3, 2, 4], seed=7, window=2)
    assert everything(order, 0) == [(1, 0), (0, 0), (0, 1), (0, 2), (1, 1), (2, 3), (2, 2), (2, 0), (2, 1)]
    assert order.locate(2, [8, 0])[0].tolist() == [1, 2]


def test_the_digest_of_an_order_is_pinned_and_tells_orders_apart() -> None:
    """It never changes, for a large order as well, and every seed, epoch, window and count has another."""
    counts = 500 + np.arange(3000) % 1001
    assert Order(counts, 1).digest(2) == "da46c32ee0da4d8e"
    changed = counts.copy()
    changed[-1] += 1
    orders = [Order(counts, 1), Order(counts, 2), Order(counts, 1, window=9), Order(changed, 1), Order(counts, 1, shuffle=False)]
    assert len({order.digest(epoch) for order in orders[:-1] for epoch in (2, 3)} | {orders[-1].digest(2)}) == 9


def test_shards_come_up_in_the_order_of_their_windows() -> None:
    """From a position on, shards are named before their first record is due, those of its window at once, through epochs."""
    order = Order([4, 0, 3, 5, 2, 6], 3, window=2)
    upcoming = list(islice(order.upcoming(1, 7), 40))
    draws = [draw for draw, _ in upcoming]
    assert draws == sorted(draws)
    assert draws[0] == 27
    for epoch, position in ((1, 7), (1, 19), (2, 0), (2, 11), (3, 19)):
        shard = int(order.locate(epoch, [position])[0][0])
        draw = epoch * 20 + position
        assert shard in [found for begin, found in upcoming if draw - 20 < begin <= draw]


def test_a_window_mixes_its_shards_and_no_others() -> None:
    """The records of `window` shards in a row come first, all of them, then those of the next."""
    found = everything(Order([10] * 12, 3, window=4), 0)
    windows = [{shard for shard, _ in found[start : start + 40]} for start in (0, 40, 80)]
    assert [len(shards) for shards in windows] == [4, 4, 4]
    assert set.union(*windows) == set(range(12))
    assert len({shard for shard, _ in found[:10]}) > 1


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_small_permutations_are_all_about_equally_likely(size: int) -> None:
    """Over many keys every order of a few records occurs, at about the same rate."""
    trials = 12_000
    keys = mixed(np.arange(trials, dtype=np.uint64))
    sizes = np.full(trials, size, dtype=np.uint64)
    columns = [permuted(np.full(trials, value, dtype=np.uint64), sizes, keys).tolist() for value in range(size)]
    counts = Counter(zip(*columns, strict=True))
    orders = list(permutations(range(size)))
    expected = trials / len(orders)
    chi_squared = sum((counts[order] - expected) ** 2 / expected for order in orders)
    freedom = len(orders) - 1
    assert chi_squared < freedom + 5 * (2 * freedom) ** 0.5


def test_records_have_no_preferred_place_in_large_windows() -> None:
    """Over many epochs the place of one record is spread evenly over its window."""
    places = []
    for epoch in range(400):
        _, records = Order([1000], epoch).locate(0, np.arange(1000))
        places.append(int(np.flatnonzero(records == 17)[0]))
    counts = np.bincount(np.array(places) // 100, minlength=10)
    assert ((counts - 40) ** 2 / 40).sum() < 40


def test_neighbours_in_the_shard_are_not_neighbours_in_the_order() -> None:
    """Consecutive positions of a window are as far apart in the shard as chance has it."""
    _, records = Order([4096], 0).locate(0, np.arange(4096))
    distance = np.abs(np.diff(records))
    assert 4096 / 3 * 0.9 < distance.mean() < 4096 / 3 * 1.1
    assert (distance == 1).sum() < 20


def test_a_hundred_thousand_shards_are_located_with_few_numbers_a_shard() -> None:
    """An order over a hundred million records holds some numbers a shard, and none a record."""
    counts = 500 + np.arange(100_000) % 1001
    order = Order(counts, 1)
    positions = np.arange(10_000_000, 10_000_000 + 1024)
    shards, records = order.locate(5, positions)
    assert (records < counts[shards]).all()
    assert len(set(zip(shards.tolist(), records.tolist(), strict=True))) == 1024
    assert len(np.unique(shards)) <= 16
    held = sum(
        array.size for layout in order._layouts.values() for array in vars(layout).values() if isinstance(array, np.ndarray)
    )
    assert held < 3 * len(counts)


def test_only_the_last_two_epochs_are_held() -> None:
    """Going through epochs does not pile up layouts."""
    order = Order([3, 4], 0)
    for epoch in range(10):
        order.locate(epoch, [0])
    assert sorted(order._layouts) == [8, 9]
    order.locate(0, [0])
    assert sorted(order._layouts) == [0, 9]


def test_indices_count_through_all_shards() -> None:
    """The number of a record is that of its shard's first record plus its own."""
    order = Order([5, 0, 3], 2)
    shards, records = order.locate(1, np.arange(8))
    assert order.indices(1, np.arange(8)).tolist() == (np.array([0, 5, 5])[shards] + records).tolist()


def test_substitutes_come_from_the_window_first_and_are_never_the_record_itself() -> None:
    """The first substitutes are records of the position's window, later ones any of the epoch."""
    order = Order([10] * 8, 4, window=2)
    for position in (0, 19, 20, 79):
        whole = everything(order, 1)
        window = whole[position // 20 * 20 : position // 20 * 20 + 20]
        first = [order.substitute(1, position, attempt) for attempt in range(8)]
        later = [order.substitute(1, position, attempt) for attempt in range(8, 64)]
        assert all(found in window for found in first)
        assert not all(found in window for found in later)
        assert whole[position] not in [*first, *later]
        assert len(set(first)) > 1


def test_a_window_of_one_record_has_substitutes_elsewhere() -> None:
    """A record that is alone in its window gets a substitute from the rest of the epoch; the only record gets none."""
    order = Order([1, 1, 1], 0, window=1)
    whole = everything(order, 0)
    assert {order.substitute(0, 1, attempt) for attempt in range(20)} == {whole[0], whole[2]}
    assert Order([1], 0).substitute(0, 0, 0) is None


def test_positions_outside_of_the_epoch_are_refused() -> None:
    """A position below 0 or beyond the last record is an IndexError that says what there is."""
    for position in (-1, 8):
        with pytest.raises(IndexError, match="from 0 to 7"):
            Order([5, 3], 0).locate(0, [0, position])


@pytest.mark.parametrize(("counts", "window"), [([], 1), ([0, 0], 1), ([3, -1], 1), ([3], 0)])
def test_an_order_without_records_or_window_is_refused(counts: list[int], window: int) -> None:
    """No records, a negative count and an empty window are errors."""
    with pytest.raises(ValueError, match="at least one shard"):
        Order(counts, 0, window=window)


def test_the_order_depends_on_no_hash_seed_and_needs_no_torch() -> None:
    """Other processes, with other hash seeds, find the same order, without importing torch."""
    code = (
        "import sys; from mmdata.loader.order import Order; "
        "s, r = Order([5, 7, 3], 9, window=2).locate(3, range(15)); "
        "print(s.tolist(), r.tolist(), 'torch' in sys.modules)"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("0", "1")
    }
    shards, records = Order([5, 7, 3], 9, window=2).locate(3, range(15))
    assert printed == {f"{shards.tolist()} {records.tolist()} False\n"}
