"""Datasets that are not on this machine: opened by URL, their files fetched into a cache when they are needed, or shortly before.

The order is known, so what is needed next is fetched ahead, and where room is short, what is needed last makes place for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any

from mmdata.dataset import DESCRIPTION, Dataset, Shard
from mmdata.errors import ConfigError, DatasetError, MissingExtraError, RecordError
from mmdata.loader.cache import Cache, FileCache, FileSystem, NextUses, Remote
from mmdata.loader.order import RecordOrder
from mmdata.loader.schedule import Place
from mmdata.shards.index import ShardIndex

_EXTRAS = {"s3": "s3", "gs": "gs", "gcs": "gs", "http": "http", "https": "http"}


def is_remote(out: object) -> bool:
    """Whether this names a dataset by URL."""
    return isinstance(out, str) and "://" in out


class RemoteDataset(Dataset):
    """A dataset elsewhere, whose files come into a cache; `path` is where they are found on this machine.

    Raises DatasetError where its description cannot be fetched, ConfigError for a URL of an unknown kind, MissingExtraError where
    the library for it is missing.
    """

    evictable = True

    def __init__(self, url: str, cache: Cache, files: FileCache) -> None:
        self._arguments = (url, cache)
        self._system, self._root = _file_system(url, cache.storage)
        self._files = files
        self._uses: NextUses = dict
        description = f"{self._root}/{DESCRIPTION}"
        try:
            info = self._system.info(description)
            size = int(info["size"])
        except (OSError, KeyError, TypeError) as error:
            raise DatasetError(f"{url}: there is no {DESCRIPTION} that can be read ({error})") from error
        # What has changed elsewhere gets another folder, so old and new files never meet.
        version = hashlib.sha256(repr((url, sorted((key, str(value)) for key, value in info.items()))).encode()).hexdigest()
        folder = files.folder / version[:16]
        self._fetch(folder / DESCRIPTION, Remote(self._system, description, size))
        super().__init__(folder)
        self.url = url

    def __reduce__(self) -> tuple[Any, ...]:
        """Open the dataset anew in another process."""
        return _reopened, self._arguments

    def forecast(self, next_uses: NextUses) -> None:
        """Say when each file is needed next; until then nothing is known of it."""
        self._uses = next_uses

    def index(self, shard: Shard, columns: list[str] | None = None) -> ShardIndex:
        """Fetch the index of a shard and read it, or only these columns of it."""
        local = self.path / shard.index_file
        while True:
            self._fetch(local, self._remote_index(shard))
            try:
                index = super().index(shard, columns)
            except DatasetError:
                if local.exists():
                    raise
                continue  # it was removed to make room before it was read
            if index.info.sha256 != shard.sha256:
                raise DatasetError(f"{self.url}/{shard.index_file}: it is the index of another shard than {shard.file}")
            return index

    def open_tar(self, shard: Shard) -> int:
        """Fetch the tar of a shard and open it. Raises RecordError where it cannot be fetched."""
        while True:
            self._files.fetch(self.path / shard.file, self._remote_tar(shard), self._uses)
            try:
                return super().open_tar(shard)
            except FileNotFoundError:
                continue  # it was removed to make room before it was opened

    def fetch_ahead(self, shard: Shard) -> None:
        """Fetch the files of a shard before they are needed, as far as nothing has to go for it that is needed earlier.

        Raises RecordError where that fails.
        """
        self._files.fetch(self.path / shard.index_file, self._remote_index(shard), self._uses, ahead=True)
        self._files.fetch(self.path / shard.file, self._remote_tar(shard), self._uses, ahead=True)

    def _remote_index(self, shard: Shard) -> Remote:
        return Remote(self._system, f"{self._root}/{shard.index_file}")

    def _remote_tar(self, shard: Shard) -> Remote:
        return Remote(self._system, f"{self._root}/{shard.file}", shard.bytes, shard.sha256)

    def _fetch(self, local: Path, remote: Remote) -> None:
        try:
            self._files.fetch(local, remote, self._uses)
        except RecordError as error:
            raise DatasetError(f"{remote.path}: {error}") from error


def _reopened(url: str, cache: Cache) -> RemoteDataset:
    return RemoteDataset(url, cache, FileCache(Path(cache.folder), cache.limit))


def _file_system(url: str, storage: Mapping[str, Any]) -> tuple[FileSystem, str]:
    import fsspec

    scheme = url.partition("://")[0]
    try:
        system, root = fsspec.core.url_to_fs(url, **storage)
    except ImportError as error:
        raise MissingExtraError(_EXTRAS.get(scheme, scheme), f"reading {scheme}://") from error
    except ValueError as error:
        raise ConfigError(f"{url}: {error}") from error
    return system, str(root).rstrip("/")


class LookAhead:
    """Fetches the shards that come into use next, and tells the cache when each file is needed.

    `shards` are those of the split, counted through the datasets in turn, with the dataset of each.
    """

    def __init__(self, shards: Sequence[tuple[Dataset, Shard]], order: RecordOrder, cache: Cache) -> None:
        self._shards, self._order, self._cache = shards, order, cache
        self._place: tuple[int, int] = (0, 0)
        self._next: tuple[int, ...] = ()
        self._pool: ThreadPoolExecutor | None = None
        self._running: dict[int, Future[None]] = {}
        self._lock = Lock()
        for dataset in {id(dataset): dataset for dataset, _ in shards}.values():
            if isinstance(dataset, RemoteDataset):
                dataset.forecast(self.next_uses)

    def move_to(self, place: Place) -> None:
        """Fetch what comes into use from this place on."""
        self._place = place.epoch, place.position
        coming = tuple(shard for _, shard in islice(self._order.upcoming(*self._place), self._cache.ahead))
        with self._lock:
            # Room for what was refused comes when a window is done, and then other shards come up.
            if coming == self._next:
                return
            self._next = coming
            self._pool = self._pool or ThreadPoolExecutor(self._cache.connections, "mmdata-fetch")
            self._running = {shard: future for shard, future in self._running.items() if not future.done()}
            for shard in self._missing(coming):
                if shard not in self._running:
                    self._running[shard] = self._pool.submit(self._fetch, shard)

    def next_uses(self) -> dict[Path, int]:
        """Return, by file of this split, the draw at which it is needed next; a shard of the present window is needed at once."""
        uses: dict[Path, int] = {}
        # Every shard comes up within two epochs from anywhere; those of a small source of a mixture come up more often.
        for draw, number in islice(self._order.upcoming(*self._place), 2 * len(self._shards)):
            dataset, shard = self._shards[number]
            for name in (shard.file, shard.index_file):
                uses.setdefault(dataset.path / name, draw)
        return uses

    def close(self) -> None:
        """Fetch no more ahead; what is being fetched is finished."""
        with self._lock:
            pool, self._pool, self._running, self._next = self._pool, None, {}, ()
        if pool is not None:
            pool.shutdown(cancel_futures=True)

    def _missing(self, shards: Sequence[int]) -> Iterator[int]:
        for number in shards:
            dataset, shard = self._shards[number]
            if isinstance(dataset, RemoteDataset) and not (dataset.path / shard.file).exists():
                yield number

    def _fetch(self, number: int) -> None:
        dataset, shard = self._shards[number]
        assert isinstance(dataset, RemoteDataset)
        try:
            dataset.fetch_ahead(shard)
        except RecordError:
            return  # said, with the records that it costs, when one of them is read


def check_limit(shards: Sequence[Sequence[Shard]], window: int, span: int, cache: Cache) -> None:
    """Raise ConfigError where the cache cannot hold what is read at a time: two windows of each dataset, and a bucket's span."""
    needed = 0
    for part in shards:
        mean = max(1, sum(shard.records for shard in part) // len(part))
        largest = sorted((shard.bytes for shard in part), reverse=True)
        needed += sum(largest[: 2 * window + -(-span // mean)])
    if cache.limit < needed:
        raise ConfigError(
            f"cache: a limit of {cache.limit} bytes is too low for windows of {window} shards, of which two are read at a time; "
            f"set it to {needed} at least, or lower `window`"
        )
