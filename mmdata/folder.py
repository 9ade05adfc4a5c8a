"""The folder that a build writes to: whom it belongs to, who holds it, and how files get their final names in it.

Work in progress stands under `.build/`, which also names the build that the folder belongs to. `dataset.json` says that the
dataset is complete: it goes before the first file that it speaks of is changed, and comes back last.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmdata.dataset import DESCRIPTION, SPLITS, read_description
from mmdata.errors import DatasetError
from mmdata.files import canonical_json, flush_folder, make_folder, publish, rename
from mmdata.shard_task import staged_index, staged_tar
from mmdata.shards.index import ShardIndex, write_index
from mmdata.stock import FileHashes, Finished, Stock

REJECTS = "rejects.parquet"
_FAILED = "failed"


class BuildFolder:
    """A dataset folder while it is built."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.work = out / ".build"
        self.staging = self.work / "shards"
        self.retired = self.work / "retired"
        self.fit = self.work / "fit"
        self.artifacts = out / "artifacts"
        self.index = out / "index"
        self.keeps_description = False
        """Whether `dataset.json` stays, while files are repaired to what it promises."""

    @contextmanager
    def held(self, recipe: str) -> Iterator[None]:
        """Make the folder and hold it against other builds; `recipe` is the digest by which its shards are known.

        Raises DatasetError where another build holds it, it is of no build, or is removed while it is held.
        """
        try:
            self._refuse_foreign(recipe)
            make_folder(self.work)
            descriptor = os.open(self.work / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise DatasetError(f"{self.out}: cannot be written to ({error.strerror}); choose another folder") from error
        try:
            self._lock(descriptor)
            for folder in (self.staging, self.retired, self.fit, self.index):
                make_folder(folder)
            yield
        except Exception as error:
            if not self._is_held(descriptor):
                raise DatasetError(self._removed(self.out)) from error
            if isinstance(error, FileNotFoundError) and self.out in Path(str(error.filename)).parents:
                raise DatasetError(self._removed(error.filename)) from error
            raise
        finally:
            os.close(descriptor)

    def _is_held(self, descriptor: int) -> bool:
        """Whether the lock in the folder is the one that is held: the folder may be gone, or another in its place."""
        try:
            return os.path.samestat(os.fstat(descriptor), (self.work / "lock").stat())
        except OSError:
            return False

    @staticmethod
    def _removed(path: str | Path) -> str:
        return f"{path}: something removed it while the dataset was built; run the same command again"

    def check_there(self, paths: Iterable[Path]) -> None:
        """Raise DatasetError where files that were written are there no more."""
        if lost := [path for path in paths if not path.is_file()]:
            raise DatasetError(self._removed(lost[0]))

    def _refuse_foreign(self, recipe: str) -> None:
        if self.out.exists() and not self.out.is_dir():
            raise DatasetError(f"{self.out}: is a file; name a folder for the dataset")
        if self.work.is_dir() or not self.out.is_dir() or self.description() is not None:
            return
        # Who removes a folder while it is being made may leave folders of ours with nothing in them.
        ours = [folder for folder in (self.index, self.artifacts) if folder.is_dir() and not any(folder.iterdir())]
        found = sorted(path.name for path in self.out.iterdir() if path not in ours)
        if found and not self._recipes():
            raise DatasetError(f"{self.out}: holds {found[0]!r}, which no build wrote; name a new or an empty folder")
        self.refuse_other_recipe(recipe)

    def _recipes(self) -> set[str]:
        """The digests of the recipes that made the shards here."""
        return {info.recipe for path in self.index.glob("*.parquet") if (info := ShardIndex.read_info(path)) is not None}

    def refuse_other_recipe(self, recipe: str) -> None:
        """Raise DatasetError where nothing but the shards says whose the folder is, and they are of another recipe."""
        if self._recipes() - {recipe}:
            raise DatasetError(
                f"{self.out}: {DESCRIPTION} is missing or damaged, and the shards are of another recipe; choose another folder"
            )

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
            raise DatasetError(f"{self.out}: another build holds this folder ({holder}); wait for it, or stop it") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def description(self) -> dict[str, Any] | None:
        """What `dataset.json` says; None where it is missing or damaged."""
        try:
            return read_description(self.out)
        except DatasetError:
            return None

    def claimed(self) -> dict[str, Any] | None:
        """The `identity` and `versions` of the build that goes on in the folder; None where none does."""
        try:
            claim: dict[str, Any] = json.loads((self.work / "build.json").read_bytes())
        except FileNotFoundError:
            return None
        return claim

    def claim(self, identity: Mapping[str, Any], versions: Mapping[str, str]) -> None:
        """Write down the build that the folder now belongs to."""
        publish(self.work / "build.json", canonical_json({"identity": identity, "versions": versions}).encode())

    def damage(self, description: Mapping[str, Any], hashes: FileHashes) -> list[Path]:
        """Return the files that are missing, or hold something else than `dataset.json` says."""
        wanted = {self.out / shard["file"]: shard["sha256"] for found in description["shards"].values() for shard in found}
        wanted |= {self.out / file: sha256 for file, sha256 in description["index"].items()}
        wanted |= {self.artifacts / file: sha256 for file, sha256 in description["artifacts"].items()}
        hashes.read(wanted)
        return [path for path, sha256 in wanted.items() if hashes[path] != sha256]

    def stock(self, hashes: FileHashes, distrusted: Collection[Path]) -> Stock:
        """Return what is done in the folder, or is left of what was."""
        folders = [(self.out, self.index), (self.staging, self.staging), (self.retired, self.retired)]
        return Stock.scan(folders, hashes, frozenset(distrusted))

    def staged(self, task: str) -> Finished:
        """Return what a task has just left in the staging folder."""
        index, tar = ShardIndex.read(staged_index(self.staging, task)), staged_tar(self.staging, task)
        return Finished(index, staged_index(self.staging, task), tar if index.info.records else None)

    def stage(self, done: Finished) -> Finished:
        """Take a finished task that has the final name of another back to the staging folder."""
        return self._moved(done, staged_tar(self.staging, done.digest), staged_index(self.staging, done.digest))

    def retire(self, done: Finished) -> Finished:
        """Put a task that is no more part of the dataset aside; its rows can still be had."""
        if done.index_file.parent == self.retired:
            return done
        name = done.index.info.content
        return self._moved(done, self.retired / f"{name}.tar", self.retired / f"{name}.parquet")

    def place(self, done: Finished, shard: str, *, is_there: bool) -> Finished:
        """Give the files of a finished task their final names, the index last; `is_there` says that the tar lies there already.

        What lies there already with the same content is left untouched.
        """
        tar, index = self.out / f"{shard}.tar", self.index / f"{shard}.parquet"
        if is_there and done.tar not in {None, tar}:
            assert done.tar is not None
            done.tar.unlink()
            done = Finished(done.index, done.index_file, tar)
        if done.index_file != index and _same(done.index_file, index):
            done.index_file.unlink()
            done = Finished(done.index, index, done.tar)
        return self._moved(done, tar, index)

    def _moved(self, done: Finished, tar: Path, index: Path) -> Finished:
        if done.tar is not None and done.tar != tar:
            self.begin_change()
            rename(done.tar, tar)
        if done.index_file != index:
            self.begin_change()
            rename(done.index_file, index)
        return Finished(done.index, index, None if done.tar is None else tar)

    def write_index(self, done: Finished) -> None:
        """Write the index of a task anew, in its place."""
        self.publish(done.index_file, write_index(done.index.table, done.index.info, done.index.rejects))

    def publish(self, path: Path, content: bytes) -> None:
        """Write a file of the dataset, unless it holds this content already."""
        if path.is_file() and path.read_bytes() == content:
            return
        self.begin_change()
        make_folder(path.parent)
        publish(path, content, self.work)

    def begin_change(self) -> None:
        """Let the folder no more say that it is complete, before anything that it says of itself is changed."""
        path = self.out / DESCRIPTION
        if not self.keeps_description and path.exists():
            path.unlink()
            flush_folder(self.out)

    def sweep(self, kept: set[Path]) -> None:
        """Remove tars and indexes that are none of the dataset's."""
        for split in SPLITS:
            name = f"{split}-{'[0-9]' * 6}"
            for path in [*self.out.glob(f"{name}.tar"), *self.index.glob(f"{name}.parquet")]:
                if path not in kept:
                    self.begin_change()
                    path.unlink()

    def discard_work(self, promised: Collection[str]) -> None:
        """Remove the work of a build that broke off, but for tars of a `promised` sha256, of which there may be no other.

        A repair does not look at raw files, so it cannot tell what the rest was made of.
        """
        for path in self.staging.glob("*.parquet"):
            if (info := ShardIndex.read_info(path)) is None or info.sha256 not in promised:
                path.unlink()
        shutil.rmtree(self.fit)
        make_folder(self.fit)

    def has_failed(self) -> bool:
        """Whether the last build failed for its rejects."""
        return (self.work / _FAILED).exists()

    def mark_failed(self) -> None:
        """Write down that the build failed for its rejects."""
        publish(self.work / _FAILED, b"")

    def forget_failure(self) -> None:
        """Remove the mark."""
        (self.work / _FAILED).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove what only a build needs, once the dataset is complete."""
        if self.work.exists():
            shutil.rmtree(self.work, ignore_errors=True)
            flush_folder(self.out)


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and one.read_bytes() == other.read_bytes()
