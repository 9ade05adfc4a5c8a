"""A folder of files fetched from elsewhere, under a hard byte limit, that several processes may share.

A file is fetched under a temporary name (`.NAME.part`), which has its full size from the beginning, and takes its own name when
its checksum is right. So the sizes of all files in the folder are what it takes, at any moment and for every process that looks.
Locks are those of the system on files that are open (flock): one on the folder while room is made or a file gets its name, one
on each temporary file while it is fetched. They end with their process, and a temporary file that nobody holds is removed by the
next one that needs room.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from mmdata.errors import ConfigError, DatasetError, RecordError

_ATTEMPTS = 3
_FIRST_PAUSE = 0.5
"""Seconds before a fetch that failed is tried again; twice as many before the next attempt."""

_OF_THIS_MACHINE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})

_PATIENCE = 0.02
"""Seconds between two looks for room."""

_CHUNK = 1 << 20
_PART = ".part"


@dataclass(frozen=True)
class Cache:
    """Where a loader keeps the shards of a dataset that is not on this machine. Raises ConfigError for values out of range.

    Attributes:
        folder: the folder of the cache; ranks of one machine share it, and so may other runs.
        limit: bytes that all files of the folder together have at most, at any moment.
        ahead: shards that are fetched before they are needed.
        connections: shards that are fetched at the same time ahead of their use.
        storage: options for the file system, as fsspec takes them: {"endpoint_url": …}, {"anon": True}, …
    """

    folder: str | Path
    limit: int
    ahead: int = 16
    connections: int = 4
    storage: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in (("limit", 1), ("ahead", 0), ("connections", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"cache: {name} is at least {least}, not {getattr(self, name)}")


NextUses = Callable[[], Mapping[Path, int]]
"""Tells when each file of the cache is needed next, as a number that grows with time; what is not in it is never needed."""


class FileSystem(Protocol):
    """What is needed of an fsspec file system."""

    def open(self, path: str, mode: str) -> BinaryIO:
        """Open a file for reading."""

    def info(self, path: str) -> dict[str, Any]:
        """Return what is known of a file without reading it."""


@dataclass(frozen=True)
class Remote:
    """A file elsewhere: its size in bytes, and its sha256; None where one is not known."""

    system: FileSystem
    path: str
    size: int | None = None
    sha256: str | None = None

    def sized(self) -> Remote:
        """Return the same with its size, which is asked for where it is not known. Raises RecordError where it has none."""
        if self.size is not None:
            return self
        try:
            return replace(self, size=int(self.system.info(self.path)["size"]))
        except (OSError, KeyError, TypeError) as error:
            raise RecordError("shard cannot be fetched", f"{self.path}: {error}") from error


class FileCache:
    """The files of a folder, fetched when they are asked for; threads and processes may share it."""

    def __init__(self, folder: Path, limit: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.limit = folder, limit
        self._failed: dict[Path, str] = {}

    def fetch(self, local: Path, remote: Remote, next_uses: NextUses, *, ahead: bool = False) -> bool:
        """Make sure that a file is here; return whether it is.

        Room is made by removing the files that are needed last. With `ahead`, nothing is removed that is needed before this one:
        then the answer may be no. Raises RecordError where the file cannot be fetched, is not what it should be, or is larger
        than the limit; after that it is not tried again.
        """
        if local.exists():
            return True
        with self._part_of(local) as part:
            if local.exists():
                return True
            if local in self._failed:
                raise RecordError("shard cannot be fetched", self._failed[local])
            try:
                return self._fetched(local, remote, part, next_uses, ahead=ahead)
            except RecordError as error:
                self._failed[local] = error.detail  # while the others who want it still wait
                raise

    def _fetched(self, local: Path, remote: Remote, part: BinaryIO, next_uses: NextUses, *, ahead: bool) -> bool:
        remote = remote.sized()
        if not self._reserve(local, part, remote.size or 0, next_uses, ahead=ahead):
            return False
        self._download(remote, part)
        with _locked_folder(self.folder):  # one who adds up the sizes must see it under one of its names
            _path_of_part(local).replace(local)
        return True

    def used(self) -> int:
        """Return the bytes of all files of the folder, those that are being fetched at their full size."""
        with _locked_folder(self.folder):
            return sum(size for _, size in self._files())

    def _files(self) -> Iterator[tuple[Path, int]]:
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = Path(folder, name)
                with suppress(FileNotFoundError):  # another process may have removed it
                    yield path, path.stat().st_size

    @contextmanager
    def _part_of(self, local: Path) -> Iterator[BinaryIO]:
        """Hold the temporary file of a file; others who want it wait. At the end it is removed, or has got its name."""
        path = _path_of_part(local)
        local.parent.mkdir(parents=True, exist_ok=True)
        while True:
            # Not emptied: it may be the one that another process writes.
            part = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644), "r+b")
            fcntl.flock(part, fcntl.LOCK_EX)
            if _is_at(part, path):
                break
            part.close()  # the one who held it is done, and it is gone or has got its name
        try:
            yield part
        finally:
            if _is_at(part, path):
                path.unlink()
            part.close()

    def _reserve(self, local: Path, part: BinaryIO, size: int, next_uses: NextUses, *, ahead: bool) -> bool:
        """Give the temporary file its full size, once there is room for it; return whether it has."""
        if size > self.limit:
            raise RecordError("shard cannot be fetched", f"{local.name} has {size} bytes, the cache a limit of {self.limit}")
        while True:
            with _locked_folder(self.folder):
                files = dict(self._files())
                chosen = self._chosen(files, local, size, next_uses, ahead=ahead)
                if chosen is not None:
                    for path in chosen:
                        path.unlink(missing_ok=True)
                    os.ftruncate(part.fileno(), size)
                    return True
            if ahead:
                return False
            if not any(files[path] for path in files if path.name.endswith(_PART)):
                raise RecordError("shard cannot be fetched", f"{local.name} has {size} bytes, for which the cache has no room")
            time.sleep(_PATIENCE)  # all the room is taken by what is being fetched, and can be removed when it is here

    def _chosen(self, files: dict[Path, int], local: Path, size: int, next_uses: NextUses, *, ahead: bool) -> list[Path] | None:
        """Return what to remove to make room for a file of this size; None where it must not, or cannot, be made."""
        excess = sum(files.values()) + size - self.limit
        if excess > 0:
            excess -= sum(files.pop(path) for path in list(files) if _abandoned(path))
        if excess <= 0:
            return []
        uses = next_uses()
        chosen, wanted = _last_needed(files, uses, excess), uses.get(local, 0)
        needed_before = chosen is not None and any(uses.get(path, wanted + 1) <= wanted for path in chosen)
        return None if ahead and needed_before else chosen

    def _download(self, remote: Remote, part: BinaryIO) -> None:
        """Fetch a file into its temporary one and flush it to the disk; a fetch that fails is tried again."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_FIRST_PAUSE * 2 ** (attempt - 1))
            try:
                found = _copied(remote, part.fileno())
            except FileNotFoundError as error:
                raise RecordError("shard cannot be fetched", f"{remote.path} is not there") from error
            except OSError as error:
                if error.errno in _OF_THIS_MACHINE:
                    # Nothing is wrong with the shard: doing without it would hide a limit of the machine.
                    raise DatasetError(f"{self.folder}: the cache cannot be written to ({error.strerror})") from error
                said = f"{type(error).__name__}: {error}"
                continue
            except Exception as error:  # noqa: BLE001 - every file system has errors of its own
                said = f"{type(error).__name__}: {error}"
                continue
            if found == remote.sha256 or remote.sha256 is None:
                os.fsync(part.fileno())
                return
            said = "its sha256 is not that of the dataset"
        raise RecordError("shard cannot be fetched", f"{remote.path}: {said}")


def _copied(remote: Remote, descriptor: int) -> str:
    """Copy a file from elsewhere to a descriptor, no more than its size; return the sha256 of what came.

    Raises OSError for another size.
    """
    digest, position, size = hashlib.sha256(), 0, remote.size or 0
    with remote.system.open(remote.path, "rb") as source:
        while chunk := source.read(_CHUNK):
            if position + len(chunk) > size:
                raise OSError(f"longer than {size} bytes")
            os.pwrite(descriptor, chunk, position)
            digest.update(chunk)
            position += len(chunk)
    if position != size:
        raise OSError(f"{position} bytes, not {size}")
    return digest.hexdigest()


def _last_needed(files: Mapping[Path, int], uses: Mapping[Path, int], excess: int) -> list[Path] | None:
    """Return the files to remove for so many bytes: first those that are never needed, then those that are needed last.

    To keep what is needed first is optimal where the future is known (Belady, "A study of replacement algorithms", 1966). None
    where there are not enough. Files that are being fetched stay, and so do descriptions, which are small.
    """
    candidates = [path for path in files if not path.name.endswith(_PART) and path.suffix != ".json"]
    never = max(uses.values(), default=0) + 1
    chosen = []
    for path in sorted(candidates, key=lambda path: (-uses.get(path, never), path)):
        if excess <= 0:
            break
        chosen.append(path)
        excess -= files[path]
    return chosen if excess <= 0 else None


def _path_of_part(local: Path) -> Path:
    return local.with_name(f".{local.name}{_PART}")


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether the file that is open is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _abandoned(path: Path) -> bool:
    """Remove a temporary file whose process is gone; return whether it was one."""
    if not path.name.endswith(_PART):
        return False
    with suppress(OSError), path.open("rb") as part:
        fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
        return True
    return False


@contextmanager
def _locked_folder(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
