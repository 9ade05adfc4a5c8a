"""What of a folder would survive a power cut, under the strictest reading of what a file system promises.

Without an fsync of a file its content may be lost, without an fsync of a folder the names in it that were added, taken away or
changed: so a rename between two folders is two changes, and a new folder is lost with all that it holds. Real file systems lose
less.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.watched import Call


@dataclass(frozen=True)
class Loss:
    """What a power cut takes: contents since the last fsync of each file, names since the last one of each folder."""

    contents: bool
    names: bool


@dataclass
class Platter:
    """Follows the calls that change a folder. What is there in the beginning is safe.

    Every file and folder that there ever was is held open, so that the system gives its number to no other.
    """

    root: Path
    _held: dict[int, int] = field(default_factory=dict)
    _contents: dict[int, bytes] = field(default_factory=dict)
    _entries: dict[int, dict[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for folder, _, files in os.walk(self.root):
            for path in (Path(folder), *(Path(folder) / name for name in files)):
                number = self._hold(path)
                self._flushed(number)

    def changed(self, call: Call) -> None:
        """Take note of a call that was made."""
        path = Path(call.path)
        if call.kind in {"create", "mkdir"}:
            number = self._hold(path)
            if path.is_dir():
                self._entries.setdefault(number, {})
            else:
                self._contents.setdefault(number, b"")
        elif call.kind == "fsync":
            self._flushed(path.stat().st_ino)

    def write(self, target: Path, loss: Loss) -> None:
        """Write to a new folder what the root would hold after a power cut."""
        self._write(self.root.stat().st_ino, target, loss)

    def _write(self, number: int, target: Path, loss: Loss) -> None:
        if number in self._entries:
            target.mkdir()
            entries = self._entries[number] if loss.names else self._entries_now(number)
            for name, entry in entries.items():
                self._write(entry, target / name, loss)
        else:
            target.write_bytes(self._contents[number] if loss.contents else self._content_now(number))

    def _hold(self, path: Path) -> int:
        number = path.stat().st_ino
        if number not in self._held:
            self._held[number] = os.open(path, os.O_RDONLY)
        return number

    def _flushed(self, number: int) -> None:
        if stat.S_ISDIR(os.fstat(self._held[number]).st_mode):
            self._entries[number] = self._entries_now(number)
        else:
            self._contents[number] = self._content_now(number)

    def _entries_now(self, number: int) -> dict[str, int]:
        with os.scandir(self._held[number]) as entries:
            return {entry.name: entry.inode() for entry in entries}

    def _content_now(self, number: int) -> bytes:
        return os.pread(self._held[number], os.fstat(self._held[number]).st_size, 0)
