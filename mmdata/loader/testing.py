"""Checks for tests of one's own: that a loader can be restored at every step, by any number of ranks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice, zip_longest
from typing import Any

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


MakeRank = Callable[[int, int], Loader]
"""Makes the loader of a rank, given its number and the world size."""


def assert_equal_across_ranks(make_rank: MakeRank, steps: int, worlds: Sequence[int] = (1, 3, 2)) -> None:
    """Raise AssertionError unless a run that is stopped and goes on with other ranks has the records of an undisturbed one.

    For each of the first `steps` steps: the ranks of the first world go up to it, those of the second do half of what is left,
    and those of the third the rest, and so on where there are more worlds; each begins with the state that the one before left.
    In every step the records of all ranks together are compared one by one, in order, without their padding. The states of all
    ranks must be the same.
    """
    expected, _ = _whole_steps(make_rank, worlds[0], steps, None)
    for stop in range(steps + 1):
        found: list[list[Batch]] = []
        state: str | None = None
        for number, world_size in enumerate(worlds):
            left = steps - len(found)
            count = stop if number == 0 else left if number == len(worlds) - 1 else -(-left // 2)
            batches, state = _whole_steps(make_rank, world_size, count, state)
            found += batches
        for one, other in zip(expected, found, strict=True):
            assert_same_records(one, other)


def assert_same_records(first: Sequence[Batch], second: Sequence[Batch]) -> None:
    """Raise AssertionError unless the batches of all ranks, in order, hold the same records in both, whatever the ranks."""
    for one, other in zip_longest(chain.from_iterable(map(_records, first)), chain.from_iterable(map(_records, second))):
        if one is None or other is None or one.keys() != other.keys():
            raise AssertionError(f"one record more, or other fields: {one} and {other}")
        for name, value in one.items():
            if isinstance(value, torch.Tensor):
                same = value.dtype == other[name].dtype and torch.equal(value, other[name])
            else:
                same = value == other[name]
            if not same:
                raise AssertionError(f"{name} of records {one['key']} and {other['key']}: {value} and {other[name]}")


def _whole_steps(make_rank: MakeRank, world_size: int, steps: int, state: str | None) -> tuple[list[list[Batch]], str]:
    """Return, for so many steps, the batches of all ranks, and the state after them as JSON."""
    parts, states = [], []
    for rank in range(world_size):
        with make_rank(rank, world_size) as loader:
            if state is not None:
                loader.load_state_dict(json.loads(state))
            parts.append(list(islice(stream(loader), steps)))
            states.append(json.dumps(loader.state_dict()))
    if len(set(states)) > 1:
        raise AssertionError(f"the states of the ranks differ: {states}")
    return [list(step) for step in zip(*parts, strict=True)], states[0]


def _records(batch: Batch) -> Iterator[dict[str, Any]]:
    """Yield what a batch has of each record, without what only fills the batch."""
    for row, key in enumerate(batch.keys):
        found: dict[str, Any] = {"key": key, "metadata": batch.metadata[row], "place": (batch.epoch, batch.step)}
        found |= {"padding": bool(batch.padding[row]), "substituted": bool(batch.substituted[row])}
        found |= {f"length of {name}": lengths[row] for name, lengths in batch.lengths.items()}
        for name, column in batch.fields.items():
            if batch.packed is not None and batch.packed.field == name and isinstance(column, torch.Tensor):
                found[name] = column[batch.packed.documents == row]
                found[f"positions of {name}"] = batch.packed.position_ids[batch.packed.documents == row]
            else:
                found[name] = _trimmed(column[row]) if isinstance(column, torch.Tensor) else column[row]
        yield found


def _trimmed(value: torch.Tensor) -> torch.Tensor:
    """Return a value without the zeros at the ends of its axes."""
    if not value.any():
        return value.new_zeros([0] * value.ndim)
    for axis in range(value.ndim):
        held = value.movedim(axis, 0).reshape(value.shape[axis], -1).ne(0).any(1).nonzero()
        value = value.narrow(axis, 0, int(held[-1]) + 1)
    return value
