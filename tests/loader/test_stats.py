"""The loader says where its time goes: by stage, and how long it was waited for."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import pytest
import torch

from mmdata.dataset import Dataset
from mmdata.loader import Loader, LoaderOptions
from mmdata.loader.stats import STAGES, Meter, StageStats
from mmdata.loader.testing import stream


def test_every_stage_counts_its_records_and_bytes(shared: Path) -> None:
    """Without reading ahead, each stage has done exactly the batches that were handed out."""
    options = LoaderOptions(fields=("tokens", "place"), threads=2, prefetch=0)
    with Loader(shared, batch_size=9, options=options) as loader:
        batches = list(islice(stream(loader), 6))
        stats = loader.stats()
    assert stats.batches == 6
    assert {stage: stats.stages[stage].records for stage in STAGES} == dict.fromkeys(STAGES, 54)
    assert all(found.seconds > 0 and found.records_per_second > 0 for found in stats.stages.values())
    ids = sum(int(batch.lengths["tokens"].sum()) for batch in batches)
    assert stats.stages["decode"].bytes == ids * 4 + 54 * 2 * 8
    index = [Dataset(shared).index(shard).table for shard in Dataset(shared).shards_of("train")]
    assert stats.stages["read"].bytes > sum(table.num_rows for table in index)
    assert stats.stages["copy"].bytes >= stats.stages["decode"].bytes


def test_waiting_is_told_from_working(shared: Path) -> None:
    """A consumer that works long finds batches ready and hardly waits; one that does nothing waits nearly all the time."""
    options = LoaderOptions(threads=2, prefetch=2)
    with Loader(shared, batch_size=6, options=options) as slow, Loader(shared, batch_size=6, options=options) as fast:
        for _ in islice(stream(slow), 8):
            time.sleep(0.1)
        for _ in islice(stream(fast), 60):
            pass
    working, idle = slow.stats(), fast.stats()
    assert 0 < working.waiting < idle.waiting <= 1
    assert working.ready > idle.ready
    assert working.waited < working.seconds


def test_a_loader_that_was_not_asked_has_done_nothing(shared: Path) -> None:
    """Before the first batch all figures are zero."""
    stats = Loader(shared, batch_size=6).stats()
    assert (stats.batches, stats.seconds, stats.waiting, stats.ready) == (0, 0.0, 0.0, 0.0)
    assert set(stats.stages.values()) == {StageStats()}
    assert StageStats().records_per_second == 0


def test_the_work_of_all_threads_adds_up() -> None:
    """Records, bytes and seconds of a stage are sums; another stage is left alone."""
    meter = Meter()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: meter.add("read", 2, 150, 0.5), range(100)))
    meter.add("decode", 2, 600, 0.5)
    stages = meter.stats().stages
    assert stages["read"] == StageStats(200, 15_000, 50.0)
    assert stages["decode"] == StageStats(2, 600, 0.5)
    assert stages["decode"].records_per_second == pytest.approx(4.0)


def test_bytes_of_a_batch_are_those_of_its_tensors(shared: Path) -> None:
    """`nbytes` counts every tensor."""
    batch = next(iter(Loader(shared, batch_size=6, options=LoaderOptions(fields=("place",)))))
    assert isinstance(batch.fields["place"], torch.Tensor)
    assert batch.nbytes == 6 * (2 * 8 + 1 + 1)
