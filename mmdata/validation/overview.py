"""`mmdata stats`: what a dataset holds, from `dataset.json`, the indexes and the rejects; no tar is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from mmdata.dataset import Dataset
from mmdata.errors import DatasetError
from mmdata.parquet import read_table
from mmdata.shards.index import ShardIndex
from mmdata.validation.folder import REJECTS


def overview(dataset: Dataset) -> dict[str, Any]:
    """Return counts, splits, sizes, measures and rejects as plain data. Raises DatasetError where a file is damaged.

    Sizes are in bytes; `members` has those of the payloads, without headers and padding. A measure has count, mean, deviation,
    minimum, median and maximum.
    """
    indexes = [dataset.index(shard) for shard in dataset.shards]
    counts = dataset.description.get("counts", {})
    splits = {
        split: {
            "records": sum(shard.records for shard in dataset.shards_of(split)),
            "shards": len(dataset.shards_of(split)),
            "bytes": sum(shard.bytes for shard in dataset.shards_of(split)),
        }
        for split in dict.fromkeys(shard.split for shard in dataset.shards)
    }
    return {
        "out": str(dataset.path),
        "name": dataset.description.get("name", ""),
        "counts": counts,
        "records": len(dataset),
        "shards": len(dataset.shards),
        "bytes": sum(shard.bytes for shard in dataset.shards),
        "splits": splits,
        "members": {extension: _bytes_of(extension, indexes) for extension in dataset.codec.extensions},
        "measures": _measures(dataset, indexes),
        "rejects": _rejects(dataset),
    }


def _bytes_of(extension: str, indexes: Iterable[ShardIndex]) -> int:
    return sum(sum(index.column(f"{extension}.size")) for index in indexes)


def _measures(dataset: Dataset, indexes: list[ShardIndex]) -> dict[str, dict[str, float]]:
    numeric = [name for name, type_ in dataset.codec.measures.items() if type_ in {"int", "float"}]
    found = {}
    for name in numeric:
        values = np.concatenate([index.table.column(name).to_numpy() for index in indexes]) if indexes else np.empty(0)
        if len(values):
            found[name] = {
                "count": len(values),
                "mean": float(values.mean()),
                "deviation": float(values.std()),
                "minimum": values.min().item(),
                "median": float(np.median(values)),
                "maximum": values.max().item(),
            }
    return found


def _rejects(dataset: Dataset) -> list[dict[str, Any]]:
    """Return how many rows each stage turned away for each reason, the most frequent first."""
    path = dataset.path / REJECTS
    try:
        table = read_table(path, ["kind", "stage", "reason"])
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise DatasetError(f"{path}: the rejects cannot be read ({error}); run `mmdata validate` on the folder") from error
    columns = [table.column(name).to_pylist() for name in ("kind", "stage", "reason")]
    counted = Counter(zip(*columns, strict=True))
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return [{"kind": kind, "stage": stage, "reason": reason, "count": count} for (kind, stage, reason), count in ordered]
