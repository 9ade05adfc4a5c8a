"""The loader yields the records of the order, decoded, and goes on exactly where a state was taken, on any ranks."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from mmdata.dataset import Dataset
from mmdata.errors import ConfigError
from mmdata.loader import ByCount, Loader, LoaderOptions, Order, Ranks, Schedule, ShardedRecords, StepSampler
from mmdata.loader.batch import Batch
from mmdata.loader.options import Last
from mmdata.loader.testing import assert_equal_after_restore, assert_equal_batches, stream
from tests.loader.conftest import MakeDataset
from tests.loader.runs import MANY, ONE, keys, run, take


def test_batches_are_the_decoded_records_of_the_order(shared: Path) -> None:
    """Every batch is the collation of the records that the order has at its positions."""
    records = ShardedRecords(shared)
    order = Order(records.counts, 5, window=2)
    with Loader(shared, batch_size=6, seed=5, options=MANY) as loader:
        for step, batch in enumerate(take(loader, 12)):
            epoch, inside = divmod(step, 6)
            indices = order.indices(epoch, range(inside * 6, inside * 6 + 6)).tolist()
            expected = records.collate([records[index] for index in indices])
            assert (batch.epoch, batch.step) == (epoch, inside)
            assert_equal_batches(_placed(expected, batch), batch)
        assert loader.ledger == ()


def _placed(batch: Batch, other: Batch) -> Batch:
    return Batch(**{**vars(batch), "epoch": other.epoch, "step": other.step})


def test_a_for_loop_is_an_epoch(shared: Path) -> None:
    """One `for` has `len(loader)` batches, no record twice; the next one is the next epoch, in another order."""
    with Loader(shared, batch_size=5, options=MANY) as loader:
        first, second = keys(list(loader)), keys(list(loader))
    assert len(first) == len(second) == len(loader) == 7
    assert len({key for batch in first for key in batch}) == 35
    assert first != second


def test_an_epoch_that_was_left_goes_on(shared: Path) -> None:
    """After a `break`, the next `for` yields the rest of the epoch and nothing twice."""
    with Loader(shared, batch_size=5, options=MANY) as loader:
        whole = keys(list(Loader(shared, batch_size=5, options=ONE)))
        found = [next(iter(loader)).keys, next(iter(loader)).keys]
        assert found + keys(list(loader)) == whole


def test_pad_covers_every_record(shared: Path) -> None:
    """With `pad` the epoch has every record, and the repeats are marked."""
    with Loader(shared, split="val", batch_size=2, options=LoaderOptions(last="pad", shuffle=False)) as loader:
        batches = list(loader)
    assert keys(batches) == [["r1000", "r1001"], ["r1002", "r1000"]]
    assert [batch.padding.tolist() for batch in batches] == [[False, False], [False, True]]


@pytest.mark.parametrize("last", ["drop", "pad"])
@pytest.mark.parametrize("options", [ONE, MANY])
def test_a_loader_goes_on_from_every_step(shared: Path, options: LoaderOptions, last: Last) -> None:
    """Restored before any step of two epochs, with other threads, the rest is bit for bit the same."""

    def make(settings: LoaderOptions) -> Loader:
        return Loader(shared, batch_size=12, seed=1, options=LoaderOptions(**{**vars(settings), "last": last}))

    assert_equal_after_restore(lambda: make(ONE), steps=7, make_restored=lambda: make(options))


@pytest.mark.parametrize("worlds", [(1, 3, 2), (4, 1, 6)])
@pytest.mark.parametrize("options", [ONE, MANY])
def test_the_world_may_change_at_every_step(shared: Path, worlds: tuple[int, ...], options: LoaderOptions) -> None:
    """Runs that stop at any step, go on, and stop again have the whole batches of one undisturbed run, on any ranks."""
    total = 7
    expected = keys(take(Loader(shared, batch_size=12, options=ONE), total))
    for first in range(total):
        second = min(total, first + 2)
        found: list[list[str]] = []
        state: dict[str, Any] | None = None
        for world_size, length in zip(worlds, (first, second - first, total - second), strict=True):
            batches, state = run(shared, world_size, length, state, options)
            found += batches
        assert found == expected


def test_the_state_speaks_of_what_was_yielded(shared: Path) -> None:
    """Batches that are only prepared do not count; after the last batch of an epoch the state is at the next one."""
    with Loader(shared, batch_size=12, seed=3, options=MANY) as loader:
        assert (loader.state_dict()["epoch"], loader.state_dict()["step"]) == (0, 0)
        places = []
        for _ in take(loader, 4):
            pass
        for _ in range(3):
            places.append((loader.state_dict()["epoch"], loader.state_dict()["step"]))
            take(loader, 1)
    assert places == [(1, 1), (1, 2), (2, 0)]


def test_the_state_is_a_few_plain_values(shared: Path) -> None:
    """The state is small, and JSON keeps it."""
    loader = Loader(shared, batch_size=12, seed=3)
    state = loader.state_dict()
    assert json.loads(json.dumps(state)) == state
    assert state == {
        "dataset": Dataset(shared).checksum, "split": "train", "seed": 3, "batch_size": 12, "window": 8, "shuffle": True,
        "last": "drop", "bucket": None, "sizes": None, "format": 2, "order": loader.schedule.order.digest(0), "epoch": 0,
        "step": 0, "position": 0,
    }  # fmt: skip


def test_the_state_of_another_loader_is_refused_with_every_difference(shared: Path, make_dataset: MakeDataset) -> None:
    """Another dataset, split, seed, batch size, window, shuffle or last is refused, each on a line of its own."""
    state = Loader(shared, batch_size=12, seed=3).state_dict()
    options = LoaderOptions(window=2, shuffle=False, last="pad")
    other = Loader(make_dataset([2, 3]), split="val", batch_size=1, seed=4, options=options)
    before = other.state_dict()
    with pytest.raises(ConfigError) as refused:
        other.load_state_dict(state)
    lines = str(refused.value).splitlines()[1:]
    assert [line.split(":")[0].strip() for line in lines] == [
        "dataset",
        "split",
        "seed",
        "batch_size",
        "window",
        "shuffle",
        "last",
    ]
    assert "  seed: 3 in the state, 4 here" in lines
    assert other.state_dict() == before


def test_a_state_of_another_order_is_refused(shared: Path) -> None:
    """Where the order of the state's epoch is not the one here, going on would mean other records."""
    loader = Loader(shared, batch_size=12)
    with pytest.raises(ConfigError, match=r"order: '0123456789abcdef' in the state, '[0-9a-f]{16}' here"):
        loader.load_state_dict({**loader.state_dict(), "order": "0123456789abcdef"})


@pytest.mark.parametrize(
    "change", [{"epoch": -1}, {"step": 3, "position": 36}, {"step": 1}, {"position": 12}, {"step": "1"}, {"epoch": None}]
)
def test_a_damaged_state_is_refused(shared: Path, change: dict[str, Any]) -> None:
    """A step that no epoch has is refused."""
    loader = Loader(shared, batch_size=12)
    with pytest.raises(ConfigError, match="the state is damaged"):
        loader.load_state_dict({**loader.state_dict(), **change})
    with pytest.raises(ConfigError, match="format: None in the state"):
        loader.load_state_dict({})


def test_ranks_come_from_the_environment(shared: Path) -> None:
    """Under torchrun a loader needs no arguments for its rank."""
    environment = {"RANK": "1", "WORLD_SIZE": "2"}
    with Loader(shared, batch_size=4, environment=environment) as loader, Loader(shared, batch_size=4, environment={}) as alone:
        assert next(iter(loader)).keys == next(iter(alone)).keys[2:]


def test_a_closed_loader_can_be_used_again(shared: Path) -> None:
    """Closing drops what is prepared, not the place."""
    expected = keys(take(Loader(shared, batch_size=5, options=ONE), 4))
    loader = Loader(shared, batch_size=5, options=MANY)
    found = keys(take(loader, 2))
    loader.close()
    found += keys(take(loader, 2))
    loader.close()
    assert found == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_a_plain_dataloader_gives_the_same_batches(shared: Path, workers: int) -> None:
    """The records, the sampler and the collation work under torch's own loader, with and without processes."""
    records = ShardedRecords(shared)
    schedule = Schedule(Order(records.counts, 2, window=3), ByCount(8), Ranks(1, 2))
    plain: DataLoader[Batch] = DataLoader(
        records,  # type: ignore[arg-type]  # a sequence, not a subclass of torch's Dataset
        batch_sampler=StepSampler(schedule),
        collate_fn=records.collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        multiprocessing_context="spawn" if workers else None,
    )
    with Loader(shared, batch_size=8, seed=2, rank=1, world_size=2, options=LoaderOptions(window=3)) as loader:
        for _ in range(2):
            for found, expected in zip(plain, loader, strict=True):
                assert (found.epoch, found.step) == (-1, -1)
                assert_equal_batches(_placed(found, expected), expected)


def test_an_unknown_device_is_refused(shared: Path) -> None:
    """A device that torch does not know or have is a ConfigError."""
    with pytest.raises(ConfigError, match="not one that torch knows"):
        Loader(shared, batch_size=2, device="tpu9")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_refused(shared: Path) -> None:
    """Asking for a GPU where there is none is a ConfigError."""
    with pytest.raises(ConfigError, match="finds no GPU"):
        Loader(shared, batch_size=2, device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gets_the_same_batches(shared: Path) -> None:
    """Batches that went through page-locked memory and a side stream are those of the processor."""
    with (
        Loader(shared, batch_size=6, options=MANY) as on_cpu,
        Loader(shared, batch_size=6, device="cuda", options=MANY) as on_gpu,
    ):
        for expected, found in zip(take(on_cpu, 12), take(on_gpu, 12), strict=True):
            assert {tensor.device.type for tensor in found.tensors()} == {"cuda"}
            assert_equal_batches(expected, found.to("cpu"))


def test_the_check_for_restoring_finds_a_loader_that_starts_anew(shared: Path) -> None:
    """The public check fails for a loader that ignores the state."""

    class Forgetful(Loader):
        def load_state_dict(self, state: object) -> None:
            del state

    with pytest.raises(AssertionError, match="epoch|step"):
        assert_equal_after_restore(lambda: Forgetful(shared, batch_size=12, options=ONE), 3)


def test_batches_flow_without_end(shared: Path) -> None:
    """`stream` goes through epochs, each of which has every step."""
    loader = Loader(shared, batch_size=12, options=ONE)
    batches: Iterator[Batch] = stream(loader)
    assert [(batch.epoch, batch.step) for batch in islice(batches, 7)] == [(e, s) for e in range(2) for s in range(3)] + [(2, 0)]


def test_a_program_that_ends_in_the_middle_of_an_epoch_ends_in_silence(shared: Path) -> None:
    """A loader that nobody closed neither keeps the program from ending nor complains."""
    code = (
        "import sys; from mmdata.loader import Loader; loader = Loader(sys.argv[1], batch_size=4); print(len(next(iter(loader))))"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(shared)], capture_output=True, text=True, check=True, timeout=60)
    assert (ended.stdout, ended.stderr) == ("4\n", "")


def test_a_loader_that_is_forgotten_ends_its_threads(shared: Path) -> None:
    """Without `close`, the threads end with the loader."""
    before = set(threading.enumerate())
    loader = Loader(shared, batch_size=4, options=MANY)
    next(iter(loader))
    started = set(threading.enumerate()) - before
    assert started
    del loader
    gc.collect()
    assert not started & set(threading.enumerate())
