"""The command `mmdata` on a file system that lists every folder in another order each time; workers import this module too."""

from __future__ import annotations

import os
import random
from contextlib import closing
from types import TracebackType
from typing import Any, Self

_listdir, _scandir = os.listdir, os.scandir
_random = random.SystemRandom()


class Shuffled:
    """What `os.scandir` returns, in another order."""

    def __init__(self, *args: Any) -> None:
        with closing(_scandir(*args)) as entries:
            found = list(entries)
        _random.shuffle(found)
        self._entries = iter(found)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> os.DirEntry[Any]:
        return next(self._entries)

    def close(self) -> None:
        """Do nothing: all is read."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Do nothing: all is read."""


def listdir(*args: Any) -> list[Any]:
    """Do as `os.listdir`, in another order."""
    found = _listdir(*args)
    _random.shuffle(found)
    return found


if __name__ in {"__main__", "__mp_main__"}:
    os.listdir, os.scandir = listdir, Shuffled  # type: ignore[assignment]

if __name__ == "__main__":
    from mmdata.cli.main import main

    main()
