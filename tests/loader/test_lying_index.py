"""An index may say anything: what it says wrongly costs its own records, and shows nothing that is not theirs."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mmdata.dataset import Dataset
from mmdata.errors import ConfigError, DatasetError
from mmdata.files import digest_of_json
from mmdata.formats import Format
from mmdata.loader import Budget, Loader, LoaderOptions, PictureView
from mmdata.record import Record
from mmdata.shards.index import write_index
from mmdata.values import Image
from tests.loader.conftest import MakeDataset
from tests.loader.uncut import levels, uncut

VIEWED = LoaderOptions(threads=2, views={"image": PictureView((9, 9))})


def lie(out: Path, said: Mapping[str, object], keys: Collection[str]) -> None:
    """Write other values into these columns of the train split's indexes, in the rows of some records."""
    dataset = Dataset(out)
    for shard in dataset.shards_of("train"):
        index = dataset.index(shard)
        table = index.table
        for name, value in said.items():
            place = table.column_names.index(name)
            pairs = zip(index.column("key"), index.column(name), strict=True)
            values = [value if key in keys else true for key, true in pairs]
            table = table.set_column(place, table.schema.field(name), pa.array(values, table.schema.field(name).type))
        (out / shard.index_file).write_bytes(write_index(table, index.info))


def without_picture(*keys: str) -> Callable[[Record], Record]:
    """Return what takes the pictures of some records away."""
    return lambda record: record.without("image") if record.key in keys else record


def test_a_picture_that_is_absent_stays_black_whatever_its_size(
    make_dataset: MakeDataset, image_format: Format[Image] | None
) -> None:
    """Where nothing is decoded, nothing is shown: no memory that held something else, on either way."""
    out = make_dataset([6], image=image_format, change=without_picture("r0001", "r0004"))
    lie(out, {"image.width": 40, "image.height": 30}, ["r0001", "r0004"])
    with Loader(out, batch_size=6, options=VIEWED) as loader:
        for batch in (next(iter(loader)), next(uncut(out, 6, VIEWED))):
            sizes = dict(zip(batch.keys, batch.lengths["image"].tolist(), strict=True))
            assert {key for key, size in sizes.items() if size == [0, 0]} == {"r0001", "r0004"}
            assert {key for key, picture in zip(batch.keys, levels(batch), strict=True) if not picture.any()} == {
                "r0001",
                "r0004",
            }
            assert not batch.substituted.any()


@pytest.mark.parametrize(
    "said", [{"image.width": 0, "image.height": 0}, {"image.width": 8}, {"image.width": -1}, {"image.height": (1 << 63) - 1}]
)
def test_a_picture_of_another_size_is_replaced(
    make_dataset: MakeDataset, image_format: Format[Image] | None, said: Mapping[str, Any]
) -> None:
    """A size that is none, too small, below zero or beyond all measure costs this record alone, on either way."""
    out = make_dataset([6], image=image_format)
    lie(out, said, ["r0002"])
    with Loader(out, batch_size=6, options=VIEWED) as loader:
        batch, other = next(iter(loader)), next(uncut(out, 6, VIEWED))
        assert [entry.key for entry in loader.ledger] == ["r0002"]
        assert batch.substituted.sum() == 1
    assert batch.keys == other.keys
    assert (levels(batch) - levels(other)).abs().max() <= 1


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), 1e300])
@pytest.mark.parametrize("tokens", [-5, 1 << 62])
def test_measures_that_make_no_sense_are_held_to_what_can_be(make_dataset: MakeDataset, seconds: float, tokens: int) -> None:
    """Less than nothing counts as the least; what is too large for a step is named, however large."""
    out = make_dataset([6])
    lie(out, {"audio.seconds": seconds, "tokens.tokens": tokens}, ["r0002"])
    with Loader(out, batch_size=Budget(tokens=100, frames=10_000, records=2), options=VIEWED) as loader:
        if tokens > 0 or seconds > 0:
            with pytest.raises(ConfigError, match=r"train-000000.tar\[2\]"):
                list(loader)
        else:
            assert sorted(key for batch in loader for key in batch.keys) == [f"r000{number}" for number in range(6)]


@pytest.mark.parametrize("name", ["bytes", "records"])
def test_shards_larger_than_any_are_no_crash(make_dataset: MakeDataset, name: str) -> None:
    """A number beyond 64 bits in `dataset.json` is a dataset that cannot be used."""
    out = make_dataset([3])
    description = json.loads((out / "dataset.json").read_text())
    description["shards"]["train"][0][name] = 1 << 70
    description.pop("checksum")
    (out / "dataset.json").write_text(json.dumps({**description, "checksum": digest_of_json(description)}))
    with pytest.raises(DatasetError, match="not as a build writes it"):
        next(iter(Loader(out, batch_size=3)))
