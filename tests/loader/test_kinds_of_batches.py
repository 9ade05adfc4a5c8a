"""Every kind of batch: restored at any step, on any ranks, with any threads, it has the same records, each once an epoch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from mmdata.errors import ConfigError
from mmdata.loader import Bucket, Budget, Loader, LoaderOptions, Mixture, Packing
from mmdata.loader.batch import Batch
from mmdata.loader.batching import BatchSize
from mmdata.loader.options import Last
from mmdata.loader.testing import assert_equal_across_ranks, assert_equal_after_restore
from tests.loader.conftest import COUNTS, MakeDataset

Source = Literal["plain", "mixed"]
WORLDS = (1, 2, 3, 6)
FEW = ("text", "tokens")

KINDS: dict[str, tuple[BatchSize, Bucket | None]] = {
    "count": (6, None),
    "bucketed": (6, Bucket(by="tokens", span=18)),
    "budget": (Budget(tokens=60, world_sizes=WORLDS), None),
    "bucketed budget": (Budget(total=150, world_sizes=WORLDS), Bucket(span=20, run=6)),
    "packed": (Packing(rows=6, length=12), None),
}


@pytest.fixture(scope="module")
def sources(make_dataset: MakeDataset) -> tuple[Path, Path]:
    """Two datasets, the second one smaller and with other keys."""
    return make_dataset(), make_dataset([4, 6, 1], change=lambda record: replace(record, key=f"b{record.key}"))


def kind_of_loader(
    out: Any, kind: str, last: Last = "drop", *, threads: int = 1, fields: tuple[str, ...] | None = FEW, window: int = 2
) -> Callable[[int, int], Loader]:
    """Return what makes a rank's loader of one of the kinds."""
    batch_size, bucket = KINDS[kind]
    prefetch = 0 if threads == 1 else 3
    options = LoaderOptions(window=window, last=last, bucket=bucket, fields=fields, threads=threads, prefetch=prefetch)
    return lambda rank, world_size: Loader(out, batch_size=batch_size, seed=5, rank=rank, world_size=world_size, options=options)


def readable(source: Source, sources: tuple[Path, Path]) -> Any:
    """Return the first dataset, or a mixture of both."""
    return Mixture({sources[0]: 0.7, sources[1]: 0.3}) if source == "mixed" else sources[0]


@pytest.mark.parametrize("source", ["plain", "mixed"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("worlds", [(1, 3, 2), (6, 1, 3)])
def test_other_ranks_go_on_at_every_step(sources: tuple[Path, Path], kind: str, source: Source, worlds: tuple[int, ...]) -> None:
    """At every step of an epoch the world may change, twice, and no record changes."""
    make = kind_of_loader(readable(source, sources), kind, threads=3 if worlds[0] == 6 else 1)
    assert_equal_across_ranks(make, steps=len(make(0, 1)) + 1, worlds=worlds)


@pytest.mark.parametrize("source", ["plain", "mixed"])
@pytest.mark.parametrize("last", ["drop", "pad"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_loader_goes_on_bit_for_bit(sources: tuple[Path, Path], kind: str, last: Last, source: Source) -> None:
    """Restored before any step of more than an epoch, with other threads, every tensor is the same."""
    out = readable(source, sources)
    one = kind_of_loader(out, kind, last, fields=None)
    many = kind_of_loader(out, kind, last, threads=4, fields=None)
    assert_equal_after_restore(lambda: one(0, 1), len(one(0, 1)) + 2, lambda: many(0, 1))


@pytest.mark.parametrize("last", ["drop", "pad"])
@pytest.mark.parametrize("world_size", WORLDS)
@pytest.mark.parametrize("kind", KINDS)
def test_an_epoch_has_each_record_once(sources: tuple[Path, Path], kind: str, last: Last, world_size: int) -> None:
    """On all ranks together: no record twice; with `pad` all of them; equally many steps, `len` of them, on every rank."""
    make = kind_of_loader(sources[0], kind, last, threads=2)
    seen: Counter[str] = Counter()
    steps = set()
    for rank in range(world_size):
        with make(rank, world_size) as loader:
            expected = len(loader)
            batches = list(loader)
        assert len(batches) == expected
        assert all(len(batch) for batch in batches)
        steps.add(expected)
        seen.update(key for batch in batches for key, fill in zip(batch.keys, batch.padding.tolist(), strict=True) if not fill)
    assert len(steps) == 1
    assert max(seen.values()) == 1
    assert len(seen) == sum(COUNTS) if last == "pad" else sum(COUNTS) - len(seen) < 6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("world_size", [1, 2])
def test_each_source_of_a_mixture_goes_through_its_own_epochs(sources: tuple[Path, Path], kind: str, world_size: int) -> None:
    """Before a source repeats a record, it has given all of them; the counts of epochs say where it is."""
    make = kind_of_loader(Mixture({sources[0]: 2, sources[1]: 1}), kind, "pad")
    parts: list[list[Batch]] = []
    epochs: dict[str, float] = {}
    for rank in range(world_size):
        with make(rank, world_size) as loader:
            parts.append([batch for _ in range(3) for batch in loader])
            epochs = loader.source_epochs
    kept = [
        key
        for step in zip(*parts, strict=True)
        for batch in step
        for key, fill in zip(batch.keys, batch.padding.tolist(), strict=True)
        if not fill
    ]
    for source, records, prefix in ((sources[0], 37, "r"), (sources[1], 11, "br")):
        drawn = Counter(key for key in kept if key.startswith(prefix))
        assert epochs[str(source)] == pytest.approx(drawn.total() / records)
        assert max(drawn.values()) - (min(drawn.values()) if len(drawn) == records else 0) <= 1
    assert epochs[str(sources[1])] > 4


def test_a_state_of_other_batches_is_refused(sources: tuple[Path, Path]) -> None:
    """A state belongs to one kind of batch, one mixture and one way to count sizes."""
    states = {kind: kind_of_loader(sources[0], kind)(0, 1).state_dict() for kind in KINDS}
    for kind in KINDS:
        for other, state in states.items():
            if other != kind:
                with pytest.raises(ConfigError, match="the state is of another loader"):
                    kind_of_loader(sources[0], kind)(0, 1).load_state_dict(state)
    mixed = kind_of_loader(Mixture({sources[0]: 2, sources[1]: 1}), "count")(0, 1).state_dict()
    with pytest.raises(ConfigError, match="dataset: "):
        kind_of_loader(Mixture({sources[0]: 1, sources[1]: 1}), "count")(0, 1).load_state_dict(mixed)
    with pytest.raises(ConfigError, match="sizes: "):
        kind_of_loader(sources[0], "packed", fields=("tokens",))(0, 1).load_state_dict(states["packed"])


def test_bucketing_saves_padding(sources: tuple[Path, Path]) -> None:
    """The share of padding is reported, and is smaller where records of similar size come together, and smallest when packed."""
    padding = {}
    for kind in ("count", "bucketed", "packed"):
        with kind_of_loader(sources[0], kind, window=8)(0, 1) as loader:
            batches = list(loader)
            padding[kind] = loader.stats().padding["tokens"]
        if kind != "packed":
            held = sum(batch.lengths["tokens"].numel() * int(batch.lengths["tokens"].max()) for batch in batches)
            used = sum(int(batch.lengths["tokens"].sum()) for batch in batches)
            assert padding[kind] == pytest.approx(1 - used / held)
    assert padding["packed"] < padding["count"]
    assert padding["bucketed"] < padding["count"]


def test_the_check_across_ranks_finds_a_loader_whose_order_depends_on_the_ranks(sources: tuple[Path, Path]) -> None:
    """The public check fails where other ranks see other records."""

    def shifted(rank: int, world_size: int) -> Loader:
        return kind_of_loader(sources[0], "count")((rank + 1) % world_size, world_size)

    with pytest.raises(AssertionError, match="of records"):
        assert_equal_across_ranks(shifted, 3)


def test_packed_rows_hold_whole_sequences(sources: tuple[Path, Path]) -> None:
    """Each row is full of whole sequences from the left; borders, positions and documents say where each one stands."""
    with kind_of_loader(sources[0], "count")(0, 1) as loader:
        lengths = {key: int(size) for batch in loader for key, size in zip(batch.keys, batch.lengths["tokens"], strict=True)}
    with kind_of_loader(sources[0], "packed", "pad")(0, 1) as loader:
        batches = list(loader)
    for batch in batches:
        packed, tokens = batch.packed, batch.fields["tokens"]
        assert packed is not None
        assert isinstance(tokens, torch.Tensor)
        assert tokens.shape == packed.documents.shape == packed.position_ids.shape == (6, 12)
        borders = packed.cu_seqlens.tolist()
        assert borders[0] == 0
        assert borders[-1] == tokens.numel()
        seen = []
        for start, end in pairwise(borders):
            documents = packed.documents.ravel()[start:end].unique().tolist()
            assert len(documents) == 1
            if documents != [-1]:
                seen.append(documents[0])
                assert packed.position_ids.ravel()[start:end].tolist() == list(range(end - start))
                assert end - start == lengths.get(batch.keys[documents[0]], end - start) == batch.lengths["tokens"][documents[0]]
            else:
                assert not tokens.ravel()[start:end].any()
                assert end % 12 == 0
            assert start // 12 == (end - 1) // 12
        assert seen == list(range(len(batch)))
