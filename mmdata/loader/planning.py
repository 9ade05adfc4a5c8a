"""From the settings of a loader to its order and its cut: mixed, bucketed, by count, by budget or packed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmdata.errors import ConfigError
from mmdata.loader.batching import DEFAULT_UNITS, BatchSize, Budget, Packing
from mmdata.loader.bucketing import BucketedOrder
from mmdata.loader.budget import ByBudget
from mmdata.loader.collection import Collection
from mmdata.loader.mixing import MixedOrder
from mmdata.loader.options import LoaderOptions
from mmdata.loader.order import Order, RecordOrder
from mmdata.loader.packing import ByPacking
from mmdata.loader.remote import LookAhead, RemoteDataset, check_limit
from mmdata.loader.schedule import ByCount, Cut
from mmdata.loader.sizes import Sizes
from mmdata.loader.views import PictureView
from mmdata.rng import digest_of
from mmdata.schema import FieldType

_RUN = 256
"""Positions of a bucket's run where the batch is not a count of records."""


@dataclass(frozen=True)
class Plan:
    """What decides the steps of a loader: its order, its cut, and the order of the mixture, where there is one."""

    order: RecordOrder
    cut: Cut
    mixed: MixedOrder | None


def plan_of(collection: Collection, split: str, batch_size: BatchSize, seed: int, options: LoaderOptions) -> Plan:
    """Return the plan of a loader over a collection, of which the fields that are read are selected.

    Raises ConfigError for settings that do not fit each other or the fields.
    """
    cut = _cut(collection, split, batch_size, options)
    counts = [np.array([shard.records for shard in shards]) for shards in collection.shards_of(split)]
    if not collection.mixed:
        order: RecordOrder = Order(counts[0], seed, window=options.window, shuffle=options.shuffle)
        return Plan(_bucketed(order, collection, split, batch_size, options), cut, None)
    orders = [
        Order(one, _seed_of_source(seed, source), window=options.window, shuffle=options.shuffle)
        for source, one in enumerate(counts)
    ]
    # An epoch of whole steps: nothing of a source is dropped where the epoch of the mixture ends.
    total = sum(order.records for order in orders)
    mixed = MixedOrder(orders, collection.shares, max(total // cut.multiple, 1) * cut.multiple, seed)
    return Plan(_bucketed(mixed, collection, split, batch_size, options), cut, mixed)


def settings_of(collection: Collection, batch_size: BatchSize, options: LoaderOptions) -> dict[str, Any]:
    """Return, as plain data, the settings beside the seed that decide the steps; where sizes do, also what decides sizes."""
    by_size = options.bucket is not None or not isinstance(batch_size, int)
    views = {name: list(view.size) for name, view in sorted(options.views.items()) if isinstance(view, PictureView)}
    limits = {"max_seconds": options.max_seconds, "max_tokens": options.max_tokens}
    return {
        "batch_size": batch_size if isinstance(batch_size, int) else batch_size.to_json(),
        "window": options.window,
        "shuffle": options.shuffle,
        "last": options.last,
        "bucket": None if options.bucket is None else options.bucket.to_json(),
        "sizes": {"fields": sorted(collection.fields), "views": views, **limits} if by_size else None,
    }


def look_ahead_for(collection: Collection, split: str, order: RecordOrder, options: LoaderOptions) -> LookAhead | None:
    """Return what fetches the shards of datasets elsewhere before they are needed; None where all are on this machine.

    Raises ConfigError for a cache that could not hold what is read at a time.
    """
    if options.cache is None or not any(isinstance(dataset, RemoteDataset) for dataset in collection.datasets):
        return None
    parts = list(zip(collection.datasets, collection.shards_of(split), strict=True))
    elsewhere = [part for dataset, part in parts if isinstance(dataset, RemoteDataset)]
    check_limit(elsewhere, options.window, 0 if options.bucket is None else options.bucket.span, options.cache)
    return LookAhead([(dataset, shard) for dataset, part in parts for shard in part], order, options.cache)


def _seed_of_source(seed: int, source: int) -> int:
    return int.from_bytes(digest_of(seed, "source", source, size=8), "little")


def _cut(collection: Collection, split: str, batch_size: BatchSize, options: LoaderOptions) -> Cut:
    match batch_size:
        case Budget():
            return ByBudget(batch_size, Sizes(collection, split, batch_size.units, options), options.last)
        case Packing():
            field = _packed_field(collection.fields, batch_size.field)
            sizes = Sizes(collection.select([field]), split, DEFAULT_UNITS, options)
            return ByPacking(batch_size, field, sizes, options.last)
        case _:
            return ByCount(batch_size, options.last)


def _bucketed(
    order: RecordOrder, collection: Collection, split: str, batch_size: BatchSize, options: LoaderOptions
) -> RecordOrder:
    bucket = options.bucket
    if bucket is None:
        return order
    if isinstance(batch_size, Packing):
        raise ConfigError("packed rows have no padding that a bucket could save: leave out one of the two")
    run = bucket.run or (batch_size if isinstance(batch_size, int) else _RUN)
    return BucketedOrder(order, Sizes(collection, split, bucket.units, options), bucket, run)


def _packed_field(fields: Mapping[str, FieldType], wanted: str | None) -> str:
    """Return the token field to pack. Raises ConfigError where it is not there, or not the only one and not named."""
    found = [name for name, type_ in fields.items() if type_.kind == "tokens"]
    if wanted is None and len(found) == 1:
        return found[0]
    if wanted not in found:
        raise ConfigError(f"packing: field {wanted!r} is no token field that is read; there are {', '.join(found) or 'none'}")
    return wanted
