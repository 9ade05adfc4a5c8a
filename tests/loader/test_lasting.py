"""A loader that runs for days: no garbage, no memory shared with what users hold, and the machine's limits are no damage."""

from __future__ import annotations

import gc
import os
import resource
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from mmdata.dataset import Dataset
from mmdata.errors import OpenFilesError
from mmdata.loader import Budget, Loader, LoaderOptions, PictureView, ShardedRecords
from mmdata.loader.testing import assert_equal_batches, stream
from tests.loader.conftest import MakeDataset

VIEWED = LoaderOptions(window=2, threads=3, last="pad", views={"image": PictureView((9, 9), crop="random")})


@pytest.fixture
def garbage() -> Iterator[Callable[[], set[str]]]:
    """What only the collector could have freed since the last call, by type; it does not run by itself meanwhile."""
    gc.collect()
    gc.disable()

    def found() -> set[str]:
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            gc.collect()
            return {type(one).__name__ for one in gc.garbage}
        finally:
            gc.set_debug(0)
            gc.garbage.clear()

    yield found
    gc.enable()


def damage_all_kinds(out: Path) -> None:
    """Change a bit of some pictures, and take away a tar and an index."""
    dataset = Dataset(out)
    for shard in dataset.shards_of("train")[:2]:
        content = bytearray((out / shard.file).read_bytes())
        for member in dataset.index(shard).members("jpg")[::2]:
            content[member.offset + 40] ^= 1
        (out / shard.file).write_bytes(content)
    (out / "train-000003.tar").unlink()
    (out / "index/train-000006.parquet").unlink()


def test_records_that_cannot_be_read_leave_no_garbage(damaged: Path, garbage: Callable[[], set[str]]) -> None:
    """Errors hold frames, and frames payloads and batches: none waits for the collector, which many training runs turn off."""
    damage_all_kinds(damaged)
    with Loader(damaged, batch_size=10, options=VIEWED) as loader:
        batches = stream(loader)
        next(batches)
        garbage()  # what is imported and opened with the first batch
        for _ in islice(batches, 12):
            pass
        assert len({entry.reason for entry in loader.ledger}) == 3
        assert not garbage() & {"frame", "traceback", "RecordError", "DatasetError", "Entries", "Example", "Future", "memoryview"}


def test_the_user_may_change_a_batch(shared: Path) -> None:
    """A batch that is made again, after a restore, is not what the user made of its tensors and lists."""
    with Loader(shared, batch_size=20, options=VIEWED) as loader, Loader(shared, batch_size=20, options=VIEWED) as untouched:
        state, expected = loader.state_dict(), list(islice(stream(untouched), 4))
        for _ in range(2):
            loader.load_state_dict(state)
            for batch, other in zip(islice(stream(loader), 4), expected, strict=True):
                assert_equal_batches(batch, other)
                for tensor in batch.tensors():
                    tensor.fill_(True)  # noqa: FBT003
                for one in batch.metadata:
                    one.clear()
                batch.keys.clear()


def test_who_looks_at_all_objects_disturbs_nothing(damaged: Path) -> None:
    """Tools that search for leaks take hold of every object, also while others read what stands in for lost records."""
    damage_all_kinds(damaged)
    with Loader(damaged, batch_size=30, options=VIEWED) as loader:
        batches = 0
        for _ in islice(stream(loader), 12):
            gc.get_objects()
            batches += 1
    assert batches == 12


@pytest.fixture
def no_more_files() -> Iterator[Callable[[], None]]:
    """Let this process open no more files, once called."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def forbid() -> None:
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))

    yield forbid
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_too_many_open_files_are_no_damage(make_dataset: MakeDataset, no_more_files: Callable[[], None]) -> None:
    """Neither an index nor a tar that cannot be opened for that is replaced, nor counted as empty: the error says what to do."""
    out = make_dataset([2, 2, 2])
    records, options = ShardedRecords(out), LoaderOptions(threads=1, prefetch=0)
    records.payloads([0])
    counted, planned = Loader(out, batch_size=6, options=options), Loader(out, batch_size=Budget(tokens=100), options=options)
    no_more_files()
    with counted, planned:
        for ask in (lambda: records.payloads([2]), lambda: next(iter(counted)), lambda: next(iter(planned))):
            with pytest.raises(OpenFilesError, match=r"train-00000.*: too many open files; raise the limit \(ulimit -n\)"):
                ask()
        assert not counted.ledger
