"""How well the loader's order mixes records, beside a permutation of all of them and webdataset's shuffle buffer.

python -m benchmarks.shuffle_quality
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import click
import numpy as np
from numpy.typing import NDArray
from webdataset.filters import _shuffle

from mmdata.loader.order import Order
from mmdata.rng import rng_for

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Quality:
    """What is measured of an epoch: `order` [n] has the number of the record at each position, as the records are stored.

    travel: mean distance between a record's place in the epoch and in the dataset, as a share of that of a permutation of all.
    neighbours: share of consecutive positions whose records follow each other in a shard.
    shards_in_batch: mean number of shards that the records of a batch come from.
    repeated: share of the record pairs of a batch that were together in a batch of the epoch before as well, as a multiple of
        what chance would give.
    """

    travel: float
    neighbours: float
    shards_in_batch: float
    repeated: float


def measured(epochs: tuple[Integers, Integers], shard_size: int, batch_size: int) -> Quality:
    """Measure two epochs in a row."""
    before, order = epochs
    travel = np.abs(order - np.arange(len(order))).mean() / (len(order) / 3)
    neighbours = (np.diff(order) == 1).mean()
    batches = order[: len(order) // batch_size * batch_size].reshape(-1, batch_size)
    shards = np.mean([len(np.unique(batch // shard_size)) for batch in batches])
    return Quality(float(travel), float(neighbours), float(shards), repeated_pairs(before, batches, batch_size))


def repeated_pairs(before: Integers, batches: Integers, batch_size: int) -> float:
    """Return how often two records of a batch were together in the epoch before, as a multiple of chance."""
    batch_of = np.empty(len(before), dtype=np.int64)
    batch_of[before] = np.arange(len(before)) // batch_size
    together = [((np.unique(batch_of[batch], return_counts=True)[1] ** 2).sum() - batch_size) for batch in batches]
    share = sum(together) / (len(batches) * batch_size * (batch_size - 1))
    return float(share / (batch_size / len(before)))


def loader_order(shards: int, shard_size: int, window: int) -> tuple[Integers, Integers]:
    """Return two epochs of the loader's order."""
    order = Order([shard_size] * shards, 0, window=window)
    positions = np.arange(order.records)
    return order.indices(0, positions), order.indices(1, positions)


def full_permutation(shards: int, shard_size: int) -> tuple[Integers, Integers]:
    """Return two permutations of all records."""
    rng = rng_for(0, "permutation")
    return rng.permutation(shards * shard_size), rng.permutation(shards * shard_size)


def buffer_order(shards: int, shard_size: int, buffer: int) -> tuple[Integers, Integers]:
    """Return two epochs as webdataset gives them: the shards permuted, their records through its buffer."""

    def epoch(seed: int) -> Integers:
        rng = random.Random(seed)
        order = list(range(shards))
        rng.shuffle(order)

        def records() -> Iterator[int]:
            for shard in order:
                yield from range(shard * shard_size, (shard + 1) * shard_size)

        return np.fromiter(_shuffle(records(), buffer, buffer // 10, rng), dtype=np.int64)

    return epoch(0), epoch(1)


@click.command()
@click.option("--shards", default=128, show_default=True)
@click.option("--shard-size", default=1000, show_default=True, help="Records a shard.")
@click.option("--batch-size", default=256, show_default=True)
def main(shards: int, shard_size: int, batch_size: int) -> None:
    """Print a table."""
    orders = {
        "all records permuted": full_permutation(shards, shard_size),
        **{f"mmdata, window of {window}": loader_order(shards, shard_size, window) for window in (1, 8, 32, shards)},
        **{f"webdataset, buffer of {buffer}": buffer_order(shards, shard_size, buffer) for buffer in (1000, 8000)},
    }
    print("| order | travel | neighbours kept | shards in a batch | pairs met again |")
    print("|---|---|---|---|---|")
    for name, epochs in orders.items():
        found = measured(epochs, shard_size, batch_size)
        print(f"| {name} | {found.travel:.3f} | {found.neighbours:.3%} | {found.shards_in_batch:.1f} | {found.repeated:.2f} |")


if __name__ == "__main__":
    main()
