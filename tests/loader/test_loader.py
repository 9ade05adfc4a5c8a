"""The loader yields the records of the order, decoded, and goes on exactly where a state was taken, on any ranks."""

from __future__ import annotations

import gc
import json
import logging
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
from mmdata.errors import ConfigError, DatasetError
from mmdata.loader import ByCount, Loader, LoaderOptions, Order, Ranks, Schedule, ShardedRecords, StepSampler
from mmdata.loader.batch import Batch
from mmdata.loader.options import Last
from mmdata.loader.testing import assert_equal_after_restore, assert_equal_batches, stream
from tests.loader.conftest import MakeDataset

ONE = LoaderOptions(window=2, threads=1, prefetch=0)
MANY = LoaderOptions(window=2, threads=5, prefetch=3)


def take(loader: Loader, count: int) -> list[Batch]:
    """Return the next batches of a loader, through its epochs."""
    return list(islice(stream(loader), count))


def keys(batches: list[Batch]) -> list[list[str]]:
    """Return the keys of batches."""
    return [batch.keys for batch in batches]


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
            batches, state = _run(shared, world_size, length, state, options)
            found += batches
        assert found == expected


def _run(
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


def flip(path: Path, offset: int) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def lose_a_byte(out: Path) -> list[str]:
    """Damage one picture; return the keys that are lost."""
    dataset = Dataset(out)
    shard = dataset.shards_of("train")[1]
    flip(out / shard.file, dataset.index(shard).members("jpg")[2].offset + 40)
    return ["r0007"]


def lose_a_shard(out: Path) -> list[str]:
    """Remove a tar; return the keys that are lost."""
    (out / "train-000002.tar").unlink()
    return ["r0012", "r0013", "r0014"]


def lose_an_end(out: Path) -> list[str]:
    """Cut a tar in its last record but keep the index; return the keys that are lost."""
    dataset = Dataset(out)
    shard = dataset.shards_of("train")[0]
    path = out / shard.file
    path.write_bytes(path.read_bytes()[: dataset.index(shard).members("jpg")[4].offset + 1])
    return ["r0004"]


def lose_an_index(out: Path) -> list[str]:
    """Remove an index; its records are named by shard and number."""
    (out / "index/train-000004.parquet").unlink()
    return ["train-000004.tar[0]"]


DAMAGES = {
    lose_a_byte: "payload is damaged",
    lose_a_shard: "shard cannot be opened",
    lose_an_end: "shard ends early",
    lose_an_index: "index cannot be read",
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_what_cannot_be_read_is_replaced_and_entered(
    damaged: Path, shared: Path, damage: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Positions do not shift, the substitute is marked, each loss is in the ledger, and each kind is logged once a shard."""
    lost = damage(damaged)
    options = LoaderOptions(window=2, last="pad")
    with Loader(shared, batch_size=10, options=options) as whole, Loader(damaged, batch_size=10, options=options) as loader:
        expected, found = list(whole), list(loader)
        ledger = {entry.position: entry for entry in loader.ledger}
    assert sorted(entry.key for entry in ledger.values()) == lost
    assert {entry.reason for entry in ledger.values()} == {reason}
    for good, batch in zip(expected, found, strict=True):
        for row, (key, other) in enumerate(zip(good.keys, batch.keys, strict=True)):
            assert bool(batch.substituted[row]) == (key != other)
            position = (batch.step * 10 + row) % 37
            assert other == (ledger[position].substitute if key != other else key)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.name for record in warnings] == ["mmdata.loader"]


def test_substitutes_are_the_same_after_a_restore(damaged: Path) -> None:
    """A damaged dataset still goes on exactly, at every step, with any threads."""
    lose_a_byte(damaged)
    lose_a_shard(damaged)
    assert_equal_after_restore(
        lambda: Loader(damaged, batch_size=12, options=ONE), 6, lambda: Loader(damaged, batch_size=12, options=MANY)
    )


def test_substitutes_are_the_same_for_every_world_size(damaged: Path) -> None:
    """The whole batches of a damaged dataset do not depend on the number of ranks."""
    lose_a_shard(damaged)
    expected, _ = _run(damaged, 1, 6, None, ONE)
    found, _ = _run(damaged, 3, 6, None, MANY)
    assert found == expected


def test_the_ledger_speaks_of_what_was_yielded(damaged: Path) -> None:
    """A loss enters the ledger with its batch, not when the batch is prepared."""
    lose_a_byte(damaged)
    with Loader(damaged, batch_size=1, options=MANY) as loader:
        lost = 0
        for batch in loader:
            lost += int(batch.substituted.sum())
            assert len(loader.ledger) == lost
        assert lost == 1


def test_a_shard_that_is_lost_in_the_middle_of_an_epoch_costs_its_records(
    damaged: Path, shared: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Emptied while it is read, a shard loses what was not read yet and nothing else; that is reported once."""
    options = LoaderOptions(window=7, last="pad", threads=1, prefetch=0)
    with Loader(shared, batch_size=5, options=options) as whole, Loader(damaged, batch_size=5, options=options) as loader:
        expected, found = take(whole, 8), take(loader, 2)
        (damaged / "train-000003.tar").write_bytes(b"")
        found += take(loader, 6)
        lost = {entry.key for entry in loader.ledger}
    late = {key for batch in expected[2:] for key in batch.keys}
    assert lost == {f"r{number:04d}" for number in range(15, 23)} & late
    for one, other in zip(expected[:2], found[:2], strict=True):
        assert_equal_batches(one, other)
    for one, other in zip(expected[2:], found[2:], strict=True):
        assert [key in lost for key in one.keys] == other.substituted.tolist()
    assert sum(record.levelno == logging.WARNING for record in caplog.records) == 1


def test_a_dataset_beyond_use_stops_the_run(make_dataset: MakeDataset) -> None:
    """Where no substitute can be read either, the loader says so and what to do; asked again, it says so again."""
    out = make_dataset([4, 4])
    for shard in out.glob("train-*.tar"):
        shard.unlink()
    loader = Loader(out, batch_size=2, options=MANY)
    for _ in range(2):
        with pytest.raises(DatasetError, match="mmdata validate"):
            next(iter(loader))
    single = make_dataset([1])
    (single / "train-000000.tar").unlink()
    with pytest.raises(DatasetError, match="no substitute"):
        next(iter(Loader(single, batch_size=1)))


def test_an_index_that_points_outside_is_not_believed(damaged: Path) -> None:
    """An index whose places lie beyond its tar is an index that cannot be read."""
    small, large = damaged / "index/train-000004.parquet", damaged / "index/train-000003.parquet"
    description = json.loads((damaged / "dataset.json").read_text())
    assert description["shards"]["train"][4]["records"] == 1
    small.unlink()
    description["shards"]["train"][3]["bytes"] = 600
    from mmdata.files import digest_of_json

    description.pop("checksum")
    (damaged / "dataset.json").write_text(json.dumps({**description, "checksum": digest_of_json(description)}))
    with Loader(damaged, batch_size=37) as loader:
        next(iter(loader))
        details = [entry.detail for entry in loader.ledger]
    assert large.exists()
    assert sum("points outside of train-000003.tar" in detail for detail in details) == 8


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
