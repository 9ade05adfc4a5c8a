"""A folder under watch: each call that changes what is on the disk below it is told before it happens and after.

Python changes files through `os` and through `open` alone, and both are wrapped here, for this process. That nothing passes by
them is for the watcher to check: it can compare the folder before a call with the folder after the last one. Linux only: the file
behind a descriptor is looked up in /proc.
"""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

_BY_PATH = {
    "mkdir": "mkdir", "rmdir": "rmdir", "unlink": "unlink", "remove": "unlink", "rename": "rename", "replace": "rename",
    "link": "link", "symlink": "link", "truncate": "truncate",
}  # fmt: skip
_BY_DESCRIPTOR = {"write": "write", "pwrite": "write", "ftruncate": "truncate", "fsync": "fsync", "fdatasync": "fsync"}
_COPIES = {"sendfile": 0, "copy_file_range": 1}
"""Calls that write to a descriptor, and which argument it is."""

Tear = Callable[[], object]


@dataclass(frozen=True)
class Call:
    """A call that changes the disk: what it does, to which path, and where to (of a rename). `tear` does half of a write."""

    kind: str
    path: str
    target: str = ""
    tear: Tear | None = None


@dataclass(frozen=True)
class Watch:
    """Whom to tell of every call that changes something below `folder`."""

    folder: str
    before: Callable[[Call], None]
    after: Callable[[Call], None]

    def install(self) -> None:
        """Wrap the functions that change files, for the rest of the life of this process."""
        for name, kind in _BY_PATH.items():
            setattr(os, name, self._by_path(getattr(os, name), kind))
        for name, kind in _BY_DESCRIPTOR.items():
            setattr(os, name, self._by_descriptor(getattr(os, name), kind))
        for name, place in _COPIES.items():
            setattr(os, name, self._copy(getattr(os, name), place))
        os.open = self._os_open(os.open)
        io.open = builtins.open = self._open(io.open)  # type: ignore[assignment]

    def _told(self, call: Call, function: Callable[[], Any]) -> Any:
        if not any(f"{path}/".startswith(f"{self.folder}/") for path in (call.path, call.target)):
            return function()
        self.before(call)
        result = function()
        self.after(call)
        return result

    def _by_path(self, function: Callable[..., Any], kind: str) -> Callable[..., Any]:
        def wrapped(path: Any, *args: Any, **options: Any) -> Any:
            folder = options.get("dir_fd", options.get("src_dir_fd"))
            target = _absolute(args[0], options.get("dst_dir_fd")) if kind in {"rename", "link"} else ""
            return self._told(Call(kind, _absolute(path, folder), target), lambda: function(path, *args, **options))

        return wrapped

    def _by_descriptor(self, function: Callable[..., Any], kind: str) -> Callable[..., Any]:
        def wrapped(descriptor: Any, *args: Any) -> Any:
            number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
            half = (lambda: function(number, args[0][: len(args[0]) // 2], *args[1:])) if kind == "write" else None
            return self._told(Call(kind, _behind(number), tear=half), lambda: function(number, *args))

        return wrapped

    def _copy(self, function: Callable[..., Any], place: int) -> Callable[..., Any]:
        def wrapped(*args: Any) -> Any:
            return self._told(Call("write", _behind(args[place])), lambda: function(*args))

        return wrapped

    def _os_open(self, function: Callable[..., int]) -> Callable[..., int]:
        def wrapped(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            where = _absolute(path, dir_fd)
            changes = flags & os.O_TRUNC or (flags & os.O_CREAT and not os.path.lexists(where))
            more = {} if dir_fd is None else {"dir_fd": dir_fd}
            result = partial(function, path, flags, mode, **more)
            number: int = self._told(Call("create", where), result) if changes else result()
            return number

        return wrapped

    def _open(self, function: Callable[..., Any]) -> Callable[..., Any]:
        watch = self

        class WatchedFile(io.FileIO):
            """The raw file below a buffer: what reaches the system passes here."""

            def write(self, content: Any) -> int:
                content = memoryview(content).cast("B")
                plain = super().write
                call = Call("write", str(self.name), tear=lambda: plain(content[: len(content) // 2]))
                written: int = watch._told(call, lambda: plain(content))
                return written

            def truncate(self, size: int | None = None) -> int:
                plain = super().truncate
                length: int = watch._told(Call("truncate", str(self.name)), lambda: plain(size))
                return length

        def wrapped(file: Any, mode: str = "r", buffering: int = -1, *args: Any, **options: Any) -> Any:
            if isinstance(file, int) or not set(mode) & set("wxa+"):
                return function(file, mode, buffering, *args, **options)
            where = _absolute(file, None)
            raw = watch._told(Call("create", where), lambda: WatchedFile(where, mode.replace("b", "").replace("t", "")))
            if buffering == 0:
                return raw
            buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, *args, **options)

        return wrapped


def _absolute(path: Any, folder: int | None) -> str:
    if isinstance(path, int):
        return _behind(path)
    base = Path.cwd() if folder is None else Path(_behind(folder))
    return os.path.normpath(base / os.fsdecode(path))


def _behind(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink()) if descriptor >= 0 else ""
