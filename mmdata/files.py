"""Files that appear only complete: written under a temporary name, flushed to the disk, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


def process_name(process: int | None = None) -> str:
    """Return a name for a process of this machine, by default this one, that no process of a machine it shares files with has."""
    return f"{socket.gethostname()}-{process or os.getpid()}"


@contextmanager
def publishing(path: Path, work: Path | None = None) -> Iterator[BinaryIO]:
    """Open a temporary file; when the block ends well it is flushed to the disk and takes the name `path`.

    When the block fails, the temporary file is removed and `path` is left as it was. A process that is killed leaves its
    temporary file behind; it stands in `work` (on the same file system), by default beside `path`.
    """
    temporary = (work or path.parent) / f".{path.name}.{process_name()}.tmp"
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        rename(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path, process: int) -> None:
    """Remove the temporary files that a process of this machine, which is no more, left anywhere below a folder."""
    for path in folder.rglob(f".*.{process_name(process)}.tmp"):
        path.unlink(missing_ok=True)


def publish(path: Path, content: bytes, work: Path | None = None) -> None:
    """Write a whole file so that it is never seen incomplete; see `publishing`."""
    with publishing(path, work) as file:
        file.write(content)


def rename(source: Path, target: Path) -> None:
    """Rename a file and flush the folder, so that the new name survives a power cut."""
    source.replace(target)
    flush_folder(target.parent)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, where they are missing, so that they survive a power cut."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        flush_folder(folder.parent)


def flush_folder(folder: Path) -> None:
    """Flush the entries of a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def look_anew(folder: Path) -> None:
    """Let a network file system ask its server what the folder holds: it may else remember for a while what was not there."""
    os.close(os.open(folder, os.O_RDONLY))


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(data: Any) -> str:  # noqa: ANN401 - any plain data
    """Return the one JSON text of plain data: keys sorted, no spaces, no NaN, Unicode as it is."""
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest_of_json(data: Any) -> str:  # noqa: ANN401 - any plain data
    """Return the sha256 of the canonical JSON of plain data."""
    return hashlib.sha256(canonical_json(data).encode()).hexdigest()
