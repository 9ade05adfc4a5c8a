"""What cannot be read is replaced by a function of its place, entered in the ledger, and costs nothing else."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from mmdata.dataset import Dataset
from mmdata.errors import DatasetError
from mmdata.loader import Loader, LoaderOptions
from mmdata.loader.testing import assert_equal_after_restore, assert_equal_batches
from tests.loader.conftest import MakeDataset
from tests.loader.runs import MANY, ONE, run, take


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
    expected, _ = run(damaged, 1, 6, None, ONE)
    found, _ = run(damaged, 3, 6, None, MANY)
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
