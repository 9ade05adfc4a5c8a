"""Datasets elsewhere: the same batches, under a hard limit of bytes, each shard fetched as rarely as the order allows."""

from __future__ import annotations

import gc
import logging
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from threading import Event, Thread

import fsspec
import pytest

from mmdata.dataset import Dataset
from mmdata.errors import ConfigError, DatasetError, MissingExtraError
from mmdata.loader import Bucket, Cache, Loader, LoaderOptions, Mixture, Packing
from mmdata.loader.batch import Batch
from mmdata.loader.cache import FileCache
from mmdata.loader.testing import assert_equal_batches, stream
from tests.loader.conftest import MakeDataset
from tests.loader.servers import Served, http_server, s3_server

PLENTY = 1 << 30


@pytest.fixture(scope="module")
def folder(make_dataset: MakeDataset) -> Path:
    """A dataset of twelve shards."""
    return make_dataset([3, 4, 5, 3, 4, 5, 3, 4, 5, 3, 4, 5])


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    """The dataset over HTTP."""
    with http_server(folder) as found:
        yield found


def options(cache: Cache | None, **more: object) -> LoaderOptions:
    """Return options with narrow windows."""
    return LoaderOptions(**{"window": 1, "threads": 2, "cache": cache, **more})  # type: ignore[arg-type]


def take(out: str | Path | Mixture, count: int, settings: LoaderOptions, **more: object) -> list[Batch]:
    """Return the first batches of a loader."""
    with Loader(out, batch_size=6, seed=2, options=settings, **more) as loader:  # type: ignore[arg-type]
        batches = list(islice(stream(loader), count))
        assert loader.ledger == ()
    return batches


def assert_same(expected: list[Batch], found: list[Batch]) -> None:
    """Compare batches one by one."""
    for one, other in zip(expected, found, strict=True):
        assert_equal_batches(one, other)


def names(cache: Path) -> set[str]:
    """Return the endings of all files of a cache."""
    return {path.suffix for path in cache.rglob("*") if path.is_file()}


def tight(folder: Path) -> int:
    """Return a limit that holds a third of the shards, beside indexes and description."""
    shards = sorted((shard.bytes for shard in Dataset(folder).shards_of("train")), reverse=True)
    small = sum(path.stat().st_size for path in [*(folder / "index").iterdir(), folder / "dataset.json"])
    return sum(shards[:4]) + small


def test_http_gives_the_same_batches(folder: Path, served: Served, tmp_path: Path) -> None:
    """Two epochs over HTTP are those of the folder itself; each file is fetched once, and nothing else is left in the cache."""
    found = take(served.url, 16, options(Cache(tmp_path, PLENTY)))
    assert_same(take(folder, 16, options(None)), found)
    assert set(Counter(served.fetched).values()) == {1}
    assert names(tmp_path) == {".json", ".parquet", ".tar"}


def test_s3_gives_the_same_batches(folder: Path, tmp_path: Path) -> None:
    """A dataset in a bucket gives the batches of the folder, also through a limit that forces shards out."""
    with s3_server() as storage:
        system = fsspec.filesystem("s3", **storage)
        system.mkdir("bucket")
        system.put(str(folder), "bucket/data", recursive=True)
        cache = Cache(tmp_path, tight(folder), storage=storage)
        assert_same(take(folder, 16, options(None)), take("s3://bucket/data", 16, options(cache)))
        assert FileCache(tmp_path, PLENTY).used() <= cache.limit


@pytest.mark.parametrize("batch_size", [6, Packing(rows=2, length=12)], ids=["count", "packed"])
def test_a_mixture_may_be_partly_elsewhere(
    make_dataset: MakeDataset, folder: Path, served: Served, tmp_path: Path, batch_size: int | Packing
) -> None:
    """A source over HTTP and one on this machine mix as if both were here, planned by size and bucketed as well."""
    other = make_dataset([4, 2])
    bucket = None if isinstance(batch_size, Packing) else Bucket(span=12, by="tokens")

    def keys(first: str | Path, cache: Cache | None) -> list[list[str]]:
        mixture = Mixture({first: 2, other: 1})
        with Loader(mixture, batch_size=batch_size, options=options(cache, bucket=bucket)) as loader:
            return [batch.keys for batch in islice(stream(loader), 12)]

    assert keys(folder, None) == keys(served.url, Cache(tmp_path, PLENTY))


def test_the_limit_holds_at_every_moment(folder: Path, served: Served, tmp_path: Path) -> None:
    """While shards come and go, the files of the folder never take more than the limit, and the batches are the same."""
    cache = Cache(tmp_path, tight(folder))
    most, done = [0], Event()

    def watch() -> None:
        files = FileCache(tmp_path, PLENTY)
        while not done.is_set():
            most[0] = max(most[0], files.used())

    watcher = Thread(target=watch)
    watcher.start()
    try:
        found = take(served.url, 24, options(cache))
    finally:
        done.set()
        watcher.join()
    assert_same(take(folder, 24, options(None)), found)
    assert cache.limit / 2 < most[0] <= cache.limit


def test_what_is_needed_last_makes_place(folder: Path, served: Served, tmp_path: Path) -> None:
    """Over several epochs, fewer shards are fetched again than by a cache that forgets what was used longest ago."""
    epochs = 5
    limit = tight(folder)
    with Loader(served.url, batch_size=6, seed=2, options=options(Cache(tmp_path, limit, ahead=2))) as loader:
        for _ in range(epochs * len(loader)):
            next(iter(loader))
        needed = [shard for _, shard in islice(loader.schedule.order.upcoming(0, 0), 12 * epochs)]
    shards = Dataset(folder).shards_of("train")
    assert len(served.tars()) < len(fetched_by_recency(needed, [shard.bytes for shard in shards], limit))


def fetched_by_recency(needed: list[int], sizes: list[int], limit: int) -> list[int]:
    """Return what a cache fetches that, to make room, removes what was used longest ago."""
    held: dict[int, int] = {}
    fetched = []
    for shard in needed:
        if shard not in held:
            fetched.append(shard)
            while sum(held.values()) + sizes[shard] > limit:
                held.pop(next(iter(held)))
        held[shard] = held.pop(shard, sizes[shard])
    return fetched


def test_a_warm_cache_costs_no_download(folder: Path, served: Served, tmp_path: Path) -> None:
    """A run that is taken up again where its shards are here already fetches nothing."""
    cache = Cache(tmp_path, PLENTY)
    with Loader(served.url, batch_size=6, seed=2, options=options(cache)) as loader:
        list(islice(stream(loader), 8))
        state = loader.state_dict()
    served.fetched.clear()
    with Loader(served.url, batch_size=6, seed=2, options=options(cache)) as resumed:
        resumed.load_state_dict(state)
        found = list(islice(stream(resumed), 8))
    assert served.fetched == []
    assert_same(take(folder, 16, options(None))[8:], found)


def test_ranks_share_a_cache(served: Served, tmp_path: Path) -> None:
    """Two loaders at once, as two ranks of a machine, fetch each file once."""
    cache = Cache(tmp_path, PLENTY)
    with (
        Loader(served.url, batch_size=6, rank=0, world_size=2, options=options(cache)) as first,
        Loader(served.url, batch_size=6, rank=1, world_size=2, options=options(cache)) as second,
    ):
        for one, other in zip(first, second, strict=True):
            assert not set(one.keys) & set(other.keys)
    assert set(Counter(served.fetched).values()) == {1}


def test_a_killed_fetch_leaves_nothing_harmful(folder: Path, served: Served, tmp_path: Path) -> None:
    """After SIGKILL in the middle of a fetch, what is left counts to the limit, is no shard, and goes when room is needed."""
    code = (
        "import sys; from mmdata.loader import *; options = LoaderOptions(window=1, cache=Cache(sys.argv[2], int(sys.argv[3])));"
        "next(iter(Loader(sys.argv[1], batch_size=6, options=options)))"
    )
    limit = tight(folder)
    served.gate.clear()
    process = subprocess.Popen([sys.executable, "-c", code, served.url, str(tmp_path), str(limit)])
    deadline = time.monotonic() + 120
    while not any(path.stat().st_size for path in tmp_path.rglob(".*.tar.part")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    served.gate.set()
    left = list(tmp_path.rglob(".*.part"))
    assert left
    assert FileCache(tmp_path, PLENTY).used() <= limit
    assert_same(take(folder, 16, options(None)), take(served.url, 16, options(Cache(tmp_path, limit))))
    assert FileCache(tmp_path, PLENTY).used() <= limit
    assert names(tmp_path) == {".json", ".parquet", ".tar"}


@pytest.mark.parametrize("damage", ["gone", "changed", "cut"])
def test_a_shard_that_cannot_be_fetched_costs_its_records_and_is_reported_once(
    make_dataset: MakeDataset, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tar that is missing, shorter or not the dataset's own never becomes part of the cache; others stand in."""
    monkeypatch.setattr("mmdata.loader.cache._FIRST_PAUSE", 0.01)
    out = make_dataset([3, 4, 5, 3])
    lost = out / "train-000001.tar"
    content = lost.read_bytes()
    if damage == "gone":
        lost.unlink()
    else:
        lost.write_bytes(content[:-1] if damage == "cut" else content[:700] + b"?" + content[701:])
    with (
        http_server(out) as served,
        Loader(served.url, batch_size=5, options=options(Cache(tmp_path, PLENTY), last="pad")) as loader,
    ):
        list(islice(stream(loader), 6))
        assert Counter(entry.shard for entry in loader.ledger if not entry.position >= 15)[1] == len(loader.ledger)
        assert {entry.reason for entry in loader.ledger} == {"shard cannot be fetched"}
        assert len({entry.key for entry in loader.ledger}) == 4
        assert served.tars().count("train-000001.tar") <= 3
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.name for record in warnings] == ["mmdata.loader"]
    assert not list(tmp_path.rglob("*000001.tar*"))
    gc.collect()


def test_settings_that_cannot_work_are_refused(served: Served, tmp_path: Path) -> None:
    """No cache, one that is too small for two windows, an unknown kind of URL, and no dataset are said at once."""
    with pytest.raises(ConfigError, match="needs a cache"):
        Loader(served.url, batch_size=6)
    with pytest.raises(ConfigError, match="a limit of 30000 bytes is too low"):
        Loader(served.url, batch_size=6, options=options(Cache(tmp_path, 30_000)))
    with pytest.raises(ConfigError, match="Protocol not known"):
        Loader("nowhere://data", batch_size=6, options=options(Cache(tmp_path, PLENTY)))
    with pytest.raises(DatasetError, match="there is no dataset.json"):
        Loader(f"{served.url}/index", batch_size=6, options=options(Cache(tmp_path, PLENTY)))
    with pytest.raises(ConfigError, match="limit is at least 1"):
        Cache(tmp_path, 0)


def test_a_missing_library_is_named(tmp_path: Path) -> None:
    """Where fsspec lacks the library of a kind of URL, the extra that has it is named."""
    try:
        import gcsfs  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtraError, match=r"mmdata\[gs\]"):
            Loader("gs://bucket/data", batch_size=6, options=options(Cache(tmp_path, PLENTY)))
    else:
        pytest.skip("gcsfs is installed")
