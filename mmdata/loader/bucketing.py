"""Bucketing: records of similar size come into the same batches, so that less of a batch is padding.

It is an order on top of another one. Positions are taken in spans; in each span records are sorted by size and cut into runs, and
the runs are permuted. So a record stays within its span, long and short batches follow each other by chance, and any position
is found from the sizes of its span alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mmdata.errors import ConfigError
from mmdata.loader.batching import SIZES, Bucket
from mmdata.loader.order import Integers, RecordOrder, permutation
from mmdata.loader.sizes import Sizes
from mmdata.rng import digest_of

_SPANS_HELD = 4


class BucketedOrder:
    """An order in which runs of `run` positions hold records of similar size; see the module. Threads may share it."""

    def __init__(self, base: RecordOrder, sizes_of: Sizes, bucket: Bucket, run: int) -> None:
        if bucket.by != "total" and bucket.by not in sizes_of.known:
            raise ConfigError(f"bucket by {bucket.by}: no field of the dataset that is read has any")
        self.seed, self.records = base.seed, base.records
        self._base, self._sizes_of, self._by = base, sizes_of, bucket.by
        self._run, self._span = run, -(-bucket.span // run) * run
        self._spans: dict[tuple[int, int], Integers] = {}

    def locate(self, epoch: int, positions: Sequence[int] | Integers) -> tuple[Integers, Integers]:
        """Return the shard and the record in it, each int64 [n], of positions [n] of an epoch."""
        return self._base.locate(epoch, self._sorted(epoch, positions))

    def indices(self, epoch: int, positions: Sequence[int] | Integers) -> Integers:
        """Return the number of each position's record, int64 [n], counting through all shards as they stand in the dataset."""
        return self._base.indices(epoch, self._sorted(epoch, positions))

    def substitute(self, epoch: int, position: int, attempt: int) -> tuple[int, int] | None:
        """Return the shard and record that stand in where a position cannot be read; their size is another one."""
        return self._base.substitute(epoch, int(self._sorted(epoch, [position])[0]), attempt)

    def upcoming(self, epoch: int, position: int) -> Iterator[tuple[int, int]]:
        """Yield (draw, shard) for every shard as it comes into use: all of a span are needed when it begins."""
        start = position // self._span * self._span
        for draw, shard in self._base.upcoming(epoch, start):
            found, inside = divmod(draw, self.records)
            yield max(epoch * self.records + position, found * self.records + inside // self._span * self._span), shard

    def digest(self, epoch: int) -> str:
        """Return the digest of the order below, which this one follows from."""
        return self._base.digest(epoch)

    def _sorted(self, epoch: int, positions: Sequence[int] | Integers) -> Integers:
        """Return the positions of the order below."""
        wanted = np.asarray(positions, dtype=np.int64)
        if wanted.size and not (wanted.min() >= 0 and wanted.max() < self.records):
            raise IndexError(f"positions go from 0 to {self.records - 1}, not from {wanted.min()} to {wanted.max()}")
        found = np.empty_like(wanted)
        for span in np.unique(wanted // self._span).tolist():
            which = wanted // self._span == span
            found[which] = span * self._span + self._order_of(epoch, span)[wanted[which] - span * self._span]
        return found

    def _order_of(self, epoch: int, span: int) -> Integers:
        spans = self._spans
        if (epoch, span) not in spans:
            # A new dictionary each time: threads that read the old one are not disturbed.
            held = list(spans.items())[1 - _SPANS_HELD :]
            self._spans = spans = dict([*held, ((epoch, span), self._new_order(epoch, span))])
        return spans[epoch, span]

    def _new_order(self, epoch: int, span: int) -> Integers:
        """Return the permutation of a span: sorted by size, then its runs permuted. A run that is not full comes last."""
        start = span * self._span
        count = min(self._span, self.records - start)
        sizes = self._sizes_of(*self._base.locate(epoch, np.arange(start, start + count)))
        compared = sizes.sum(axis=1) if self._by == "total" else sizes[:, SIZES.index(self._by)]
        key = int.from_bytes(digest_of(self.seed, "bucket", epoch, span, size=8), "little")
        runs, rest = divmod(count, self._run)
        # The run that is not full is taken out of a place that chance chooses: it may be dropped, so it must not be the longest.
        place = key % (runs + 1) * self._run
        short, whole = np.split(np.argsort(compared, kind="stable"), [place])
        odd, whole = whole[:rest], np.concatenate([short, whole[rest:]])
        return np.concatenate([whole.reshape(runs, self._run)[permutation(runs, key)].ravel(), odd])
