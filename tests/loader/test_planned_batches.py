"""Budgets and packed rows are kept on every rank, planned from the index alone, also where records are damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdata.errors import ConfigError
from mmdata.loader import Bucket, Budget, Loader, LoaderOptions, Order, Packing, PictureView, Units
from mmdata.loader.batching import SIZES
from mmdata.loader.collection import Collection
from mmdata.loader.packing import best_fit
from mmdata.loader.sizes import Sizes
from tests.loader.conftest import RATE, MakeDataset

LIMITS = {"tokens": 60, "patches": 80, "frames": 66}


def held(loader: Loader, units: Units) -> list[dict[str, int]]:
    """Return, for every batch of an epoch, what it holds with its padding, counted from the tensors."""
    found = []
    for batch in loader:
        image, audio, tokens = (batch.fields[name] for name in ("image", "audio", "tokens"))
        assert isinstance(image, torch.Tensor)
        assert isinstance(audio, torch.Tensor)
        assert isinstance(tokens, torch.Tensor)
        patches = -(-image.shape[2] // units.patch) * -(-image.shape[3] // units.patch)
        frames = int(np.ceil(audio.shape[1] / RATE / units.hop - 1e-6))
        counts = {"tokens": tokens.shape[1], "patches": patches, "frames": frames}
        found.append({name: len(batch) * count for name, count in counts.items()} | {"records": len(batch)})
    return found


@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("damage", [False, True], ids=["whole", "damaged"])
def test_no_rank_holds_more_than_its_part_of_the_budget(make_dataset: MakeDataset, world_size: int, *, damage: bool) -> None:
    """Tokens, patches and frames of every rank's batch, padding included, are within the limit; each comes near it."""
    out = make_dataset([8, 8, 8, 8])
    if damage:
        (out / "train-000001.tar").unlink()
    units = Units(patch=8, hop=0.01)
    budget = Budget(**LIMITS, records=16, world_sizes=(1, 2, 4), units=units)
    most, lost = dict.fromkeys(LIMITS, 0), 0
    for rank in range(world_size):
        options = LoaderOptions(window=2, threads=2)
        with Loader(out, batch_size=budget, rank=rank, world_size=world_size, options=options) as loader:
            batches = held(loader, units)
            lost += len(loader.ledger)
        for batch in batches:
            assert all(batch[name] * world_size <= limit for name, limit in LIMITS.items())
            assert batch["records"] * world_size <= 16
            most = {name: max(most[name], batch[name] * world_size) for name in LIMITS}
    assert (lost > 0) == damage
    assert all(most[name] > limit / 2 for name, limit in LIMITS.items())


def test_plans_need_the_index_alone(make_dataset: MakeDataset) -> None:
    """Steps are counted and planned where no tar can be read."""
    out = make_dataset([8, 8, 8])
    for tar in out.glob("*.tar"):
        tar.unlink()
    options = LoaderOptions(window=2, bucket=Bucket(span=8))
    for batch_size in (Budget(total=80), Packing(rows=2, length=16), 4):
        loader = Loader(out, batch_size=batch_size, options=options if batch_size == 4 else LoaderOptions(window=2))
        places = list(loader.schedule.epoch(0))
        assert len(places) == len(loader)
        assert all(len(loader.schedule.rows(place).shards) for place in places)


def test_an_index_that_is_lost_costs_its_records_alone(make_dataset: MakeDataset) -> None:
    """Where a shard's index cannot be read, its records count as small, and others stand in for them."""
    for batch_size in (Budget(total=80), Packing(rows=2, length=16)):
        out = make_dataset([8, 8, 8])
        (out / "index/train-000001.parquet").unlink()
        with Loader(out, batch_size=batch_size, options=LoaderOptions(window=2, last="pad")) as loader:
            batches = list(loader)
            assert {entry.shard for entry in loader.ledger} == {1}
        substituted = sum(int((batch.substituted & ~batch.padding).sum()) for batch in batches)
        assert substituted == 8
        for batch in batches:
            if batch.packed is not None:
                assert (batch.lengths["tokens"][batch.substituted] <= 1).all()


def test_sizes_are_counted_as_they_come_into_a_batch(make_dataset: MakeDataset) -> None:
    """Views, `max_tokens` and `max_seconds` cut what is counted; what was begun counts."""
    out = make_dataset([6])
    collection = Collection.of(out)
    whole = Loader(out, batch_size=6, options=LoaderOptions(shuffle=False))
    batch = next(iter(whole))
    every = (np.zeros(6, dtype=np.int64), np.arange(6))
    sizes = Sizes(collection, "train", Units(patch=5, hop=0.02), LoaderOptions())(*every)
    heights, widths = batch.lengths["image"].numpy().T
    assert sizes[:, SIZES.index("patches")].tolist() == (-(-heights // 5) * -(-widths // 5)).tolist()
    assert sizes[:, SIZES.index("tokens")].tolist() == batch.lengths["tokens"].tolist()
    assert sizes[:, SIZES.index("frames")].tolist() == np.ceil(batch.lengths["audio"].numpy() / RATE / 0.02).tolist()
    options = LoaderOptions(max_tokens=2, max_seconds=0.03, views={"image": PictureView((10, 16))})
    cut = Sizes(collection, "train", Units(patch=5, hop=0.02), options)(*every)
    assert (cut[:, SIZES.index("tokens")] == np.minimum(batch.lengths["tokens"].numpy(), 2)).all()
    assert (cut[:, SIZES.index("patches")] == 8).all()
    assert (cut[:, SIZES.index("frames")] == 2).all()


@pytest.mark.parametrize(
    ("batch_size", "options", "said"),
    [
        (Budget(tokens=3), {}, "does not fit the budget, which at least 1 records share"),
        (Budget(tokens=100, world_sizes=(2, 4)), {}, r"world_sizes \[2, 4\] do not have this one, 1"),
        (Budget(tokens=100), {"fields": ("image",)}, "limits tokens, but no field"),
        (Budget(tokens=100, world_sizes=(1, 64)), {}, "too few for 64 ranks"),
        (Packing(rows=2, length=3), {}, "tokens does not fit a row of 3"),
        (Packing(rows=40, length=9), {}, "fewer than the 40 rows"),
        (Packing(rows=2, length=9, field="text"), {}, "'text' is no token field that is read; there are tokens"),
        (Packing(rows=2, length=9), {"bucket": Bucket()}, "no padding that a bucket could save"),
        (4, {"bucket": Bucket(by="tokens"), "fields": ("image",)}, "bucket by tokens"),
    ],
)
def test_what_cannot_be_planned_is_refused(
    shared: Path, batch_size: Budget | Packing | int, options: dict[str, object], said: str
) -> None:
    """A record that is too large, a world size that was not declared, and settings that do not fit the fields are named."""
    with pytest.raises(ConfigError, match=said):
        len(Loader(shared, batch_size=batch_size, options=LoaderOptions(**options)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Budget, "needs a limit"),
        (lambda: Budget(tokens=0), "tokens is at least 1"),
        (lambda: Budget(tokens=1, world_sizes=()), "numbers of ranks"),
        (lambda: Packing(rows=0, length=1), "at least 1"),
        (lambda: Bucket(span=0), "at least 1"),
        (lambda: Bucket(by="words"), "by is one of"),  # type: ignore[arg-type]
        (lambda: Units(patch=0), "at least 1 pixel"),
    ],
)
def test_settings_out_of_range_are_refused(make: object, said: str) -> None:
    """Each setting says its range."""
    with pytest.raises(ConfigError, match=said):
        make()  # type: ignore[operator]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=60), st.integers(1, 8))
def test_best_fit_never_overfills_a_row(lengths: list[int], rows: int) -> None:
    """A packing has every sequence once and no row beyond its length; it is found where each row is at most half full of it."""
    sizes = np.array(lengths)
    placed = best_fit(sizes, rows, 20)
    if placed is None:
        assert sizes.sum() > rows * 10
    else:
        assert np.bincount(placed, weights=sizes, minlength=rows).max() <= 20
        assert placed.min() >= 0
        assert placed.max() < rows


def test_packed_rows_are_nearly_full() -> None:
    """With sequences much shorter than a row, less than two hundredths of the rows are padding."""
    lengths = 5 + np.arange(4000) * 7919 % 120
    order = Order([4000], 0)
    placed = best_fit(lengths[order.locate(0, range(1000))[1]], 1000, 512)
    assert placed is not None
    count = int(np.searchsorted(np.cumsum(lengths), 16 * 512))
    while best_fit(lengths[:count], 16, 512) is None:
        count -= 1
    assert lengths[:count].sum() > 0.98 * 16 * 512
