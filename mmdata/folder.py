"""The folder that a build writes to: whom it belongs to, who holds it, and what is done in it already.

Work in progress stands under `.build/`, which also names the build that the folder belongs to. A task's shard is moved to its
final name, then its index, as soon as all tasks before it are done: shards are numbered without gaps and never seen incomplete.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mmdata.dataset import DESCRIPTION
from mmdata.errors import DatasetError
from mmdata.files import canonical_json, flush_folder, publish, rename
from mmdata.shard_task import staged_index, staged_rejects, staged_tar
from mmdata.shards.index import ShardIndex, ShardInfo

_FAILED = "failed"
_log = logging.getLogger("mmdata.build")


class BuildFolder:
    """A dataset folder while it is built."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.work = out / ".build"
        self.staging = self.work / "shards"
        self.fit = self.work / "fit"
        self.artifacts = out / "artifacts"
        self.index = out / "index"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder and hold it against other builds. Raises DatasetError where another one holds it."""
        try:
            self._refuse_foreign()
            self.work.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.work / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise DatasetError(f"{self.out}: cannot be written to ({error.strerror}); choose another folder") from error
        try:
            self._lock(descriptor)
            for folder in (self.staging, self.fit, self.index):
                folder.mkdir(parents=True, exist_ok=True)
            yield
        finally:
            os.close(descriptor)

    def _refuse_foreign(self) -> None:
        if self.out.exists() and not self.out.is_dir():
            raise DatasetError(f"{self.out}: is a file; name a folder for the dataset")
        if self.work.is_dir() or not self.out.is_dir():
            return
        found = sorted(path.name for path in self.out.iterdir())
        if found:
            raise DatasetError(f"{self.out}: holds {found[0]!r}, which no build wrote; name a new or an empty folder")

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
            raise DatasetError(f"{self.out}: another build holds this folder ({holder}); wait for it, or stop it") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def claim(self, identity: Mapping[str, Any], versions: Mapping[str, str]) -> None:
        """Write down the build that the folder belongs to, or check that it is this one.

        Raises DatasetError with the difference, line by line, where it is another one. Other versions of the libraries are
        let pass with a warning: they may make other bytes.
        """
        path = self.work / "build.json"
        if not path.exists():
            publish(path, canonical_json({"identity": identity, "versions": versions}).encode())
            return
        held = json.loads(path.read_bytes())
        if lines := differences(held["identity"], identity):
            raise DatasetError(refusal(self.out, lines))
        for line in differences(held["versions"], dict(versions)):
            _log.warning("resumed under another version, so bytes may differ: %s", line)

    def reopen(self) -> None:
        """Take the shards that have their final names back to the staging folder, under the names of their tasks.

        So a build that goes on, perhaps with fewer rejects, numbers them anew; it costs a rename each, and may stop anywhere.
        """
        for index in sorted(self.index.glob("*.parquet")):
            if (info := ShardIndex.read_info(index)) is None:
                index.unlink()
                continue
            tar = self.out / f"{index.stem}.tar"
            if tar.exists():
                rename(tar, staged_tar(self.staging, info.task))
            rename(index, staged_index(self.staging, info.task))
        for tar in self.out.glob("*.tar"):
            # Stopped between the two renames of a commit, a tar has its final name and its index has not.
            waiting = [task for task in self._without_tar() if task.startswith(f"{tar.stem.rpartition('-')[0]}-")]
            if waiting:
                rename(tar, staged_tar(self.staging, waiting[0]))
            else:
                tar.unlink()

    def _without_tar(self) -> list[str]:
        infos = (ShardIndex.read_info(path) for path in sorted(self.staging.glob("*.parquet")) if ".rejects" not in path.name)
        return [info.task for info in infos if info and info.records and not staged_tar(self.staging, info.task).exists()]

    def staged(self, task: str, fingerprint: str) -> ShardInfo | None:
        """What the index of a task says that is done, with these artifacts, and waits for its final name."""
        info = ShardIndex.read_info(staged_index(self.staging, task))
        if info is None or info.fingerprint != fingerprint or not staged_rejects(self.staging, task).exists():
            return None
        return info if not info.records or staged_tar(self.staging, task).exists() else None

    def commit(self, task: str, shard: str) -> None:
        """Give the files of a finished task their final names, the index last."""
        rename(staged_tar(self.staging, task), self.out / f"{shard}.tar")
        rename(staged_index(self.staging, task), self.index / f"{shard}.parquet")

    def forget_failures(self) -> None:
        """Where the last build failed for its rejects, forget the tasks that had errors, and what was learned without them.

        The raw files may have been mended since, so these rows are tried again.
        """
        mark = self.work / _FAILED
        if not mark.exists():
            return
        shutil.rmtree(self.fit)
        self.fit.mkdir()
        for rejects in self.staging.glob("*.rejects.parquet"):
            if "error" in pq.read_table(rejects, columns=["kind"]).column("kind").to_pylist():
                rejects.unlink()
        mark.unlink()

    def mark_failed(self) -> None:
        """Write down that the build failed for its rejects."""
        publish(self.work / _FAILED, b"")

    def clear(self) -> None:
        """Remove what only a build needs, once the dataset is complete."""
        shutil.rmtree(self.work, ignore_errors=True)
        flush_folder(self.out)


def complete_description(out: Path) -> bool:
    """Whether the folder holds a complete dataset."""
    return (out / DESCRIPTION).exists()


def differences(held: Any, wanted: Any, path: str = "") -> list[str]:  # noqa: ANN401 - plain data
    """Return how two pieces of plain data differ, one line a place: path, what the folder has, what is asked for."""
    if isinstance(held, dict) and isinstance(wanted, dict):
        keys = sorted(held.keys() | wanted.keys())
        return [line for key in keys for line in differences(held.get(key), wanted.get(key), f"{path}.{key}".lstrip("."))]
    if isinstance(held, list) and isinstance(wanted, list) and len(held) == len(wanted):
        pairs = enumerate(zip(held, wanted, strict=True))
        return [line for number, (one, other) in pairs for line in differences(one, other, f"{path}[{number}]")]
    return [] if held == wanted else [f"{path}: {_short(held)} in the folder, {_short(wanted)} asked for"]


def _short(value: object) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def refusal(out: Path, lines: Sequence[str]) -> str:
    """Return the message that refuses a folder of another build."""
    return "\n".join(
        [
            f"{out}: belongs to another build; choose another folder, or remove it. The difference:",
            *(f"  {line}" for line in lines),
        ]
    )
