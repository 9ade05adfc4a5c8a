"""Checks for tests of one's own: that a loader can be restored at every step."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice

import torch

from mmdata.loader.batch import Batch
from mmdata.loader.loader import Loader


def stream(loader: Loader) -> Iterator[Batch]:
    """Yield the batches of a loader through its epochs, without end."""
    while True:
        yield from loader


def assert_equal_batches(first: Batch, second: Batch) -> None:
    """Raise AssertionError, naming the part that differs, unless two batches are the same in every value, shape and type."""
    for name in ("epoch", "step", "keys", "metadata"):
        if getattr(first, name) != getattr(second, name):
            raise AssertionError(f"{name}: {getattr(first, name)!r} and {getattr(second, name)!r}")
    if first.fields.keys() != second.fields.keys():
        raise AssertionError(f"fields: {list(first.fields)} and {list(second.fields)}")
    texts = [(name, column) for name, column in first.fields.items() if not isinstance(column, torch.Tensor)]
    for name, column in texts:
        if column != second.fields[name]:
            raise AssertionError(f"{name}: {column!r} and {second.fields[name]!r}")
    for number, (one, other) in enumerate(zip(first.tensors(), second.tensors(), strict=True)):
        if one.dtype != other.dtype or not torch.equal(one, other):
            raise AssertionError(f"tensor {number} of epoch {first.epoch}, step {first.step} differs")


def assert_equal_after_restore(
    make_loader: Callable[[], Loader], steps: int, make_restored: Callable[[], Loader] | None = None
) -> None:
    """Raise AssertionError unless a loader restored before any of the first `steps` steps goes on as if it had never stopped.

    The state goes through JSON, as in a checkpoint. `make_restored` makes the loaders that are restored, for instance with
    another number of threads; by default they are made like the first one. After Grain's `assert_equal_output_after_checkpoint`.
    """
    states, batches = [], []
    with make_loader() as loader:
        going = stream(loader)
        for _ in range(steps):
            states.append(json.dumps(loader.state_dict()))
            batches.append(next(going))
    for step, state in enumerate(states):
        with (make_restored or make_loader)() as restored:
            restored.load_state_dict(json.loads(state))
            for expected, found in zip(batches[step:], islice(stream(restored), steps - step), strict=True):
                assert_equal_batches(expected, found)
