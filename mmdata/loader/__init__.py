"""The loader: an order that is a pure function, decoding in threads, batches on a device, exact state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmdata.loader.batch import Batch
    from mmdata.loader.batching import Bucket, Budget, Packing, Units
    from mmdata.loader.cache import Cache
    from mmdata.loader.collection import Mixture
    from mmdata.loader.loader import Loader
    from mmdata.loader.options import LoaderOptions, Ranks
    from mmdata.loader.order import Order
    from mmdata.loader.packed import Packed
    from mmdata.loader.records import ShardedRecords
    from mmdata.loader.schedule import ByCount, Schedule, StepSampler
    from mmdata.loader.stats import LoaderStats
    from mmdata.loader.substitution import Substitution
    from mmdata.loader.views import LogMelView, PictureView

__all__ = [
    "Batch", "Bucket", "Budget", "ByCount", "Cache", "Loader", "LoaderOptions", "LoaderStats", "LogMelView", "Mixture",
    "Order", "Packed", "Packing", "PictureView", "Ranks", "Schedule", "ShardedRecords", "StepSampler", "Substitution",
    "Units",
]  # fmt: skip

_MODULES = {
    "Batch": "batch",
    "Bucket": "batching",
    "Budget": "batching",
    "ByCount": "schedule",
    "Cache": "cache",
    "Loader": "loader",
    "LoaderOptions": "options",
    "LoaderStats": "stats",
    "LogMelView": "views",
    "Mixture": "collection",
    "Order": "order",
    "Packed": "packed",
    "Packing": "batching",
    "PictureView": "views",
    "Ranks": "options",
    "Schedule": "schedule",
    "ShardedRecords": "records",
    "StepSampler": "schedule",
    "Substitution": "substitution",
    "Units": "batching",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the public name stands for
    """Import public names when they are first used: the order needs no torch."""
    import importlib

    if name not in _MODULES:
        raise AttributeError(f"module 'mmdata.loader' has no attribute {name!r}")
    return getattr(importlib.import_module(f"mmdata.loader.{_MODULES[name]}"), name)
