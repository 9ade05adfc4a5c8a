"""Runs of a loader over a small dataset: with few threads and many, on one rank and several."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

from mmdata.loader import Loader, LoaderOptions
from mmdata.loader.batch import Batch
from mmdata.loader.testing import stream

ONE = LoaderOptions(window=2, threads=1, prefetch=0)
MANY = LoaderOptions(window=2, threads=5, prefetch=3)


def take(loader: Loader, count: int) -> list[Batch]:
    """Return the next batches of a loader, through its epochs."""
    return list(islice(stream(loader), count))


def keys(batches: list[Batch]) -> list[list[str]]:
    """Return the keys of batches."""
    return [batch.keys for batch in batches]


def run(
    out: Path, world_size: int, length: int, state: dict[str, Any] | None, options: LoaderOptions
) -> tuple[list[list[str]], dict[str, Any]]:
    """Run all ranks for some steps; return the keys of the whole batches and the state, which is the same on every rank."""
    few = LoaderOptions(**{**vars(options), "fields": ("text",)})
    parts, states = [], []
    for rank in range(world_size):
        with Loader(out, batch_size=12, rank=rank, world_size=world_size, options=few) as loader:
            if state is not None:
                loader.load_state_dict(state)
            parts.append(keys(take(loader, length)))
            states.append(loader.state_dict())
    assert all(other == states[0] for other in states)
    return [[key for part in step for key in part] for step in zip(*parts, strict=True)], states[0]
