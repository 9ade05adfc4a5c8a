"""What a fuzzing target is: a reader of hostile bytes, valid inputs to start from, and what must hold of any of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hypothesis.strategies import SearchStrategy

from mmdata.errors import MmdataError
from tests.fuzz.mutation import mutated

Reader = Callable[[bytes], None]


@dataclass(frozen=True)
class Target:
    """A reader, by a name; `open` takes an empty folder to work in, and returns the reader and the valid inputs.

    A reader raises AssertionError where the bytes were read as what they are not. It may end with an error that a user can
    cause; any other exception is a bug.
    """

    name: str
    open: Callable[[Path], tuple[Reader, Sequence[bytes]]]
    words: tuple[bytes, ...] = ()

    def opened(self, folder: Path) -> tuple[Reader, SearchStrategy[bytes], Sequence[bytes]]:
        """Return what checks one input, the strategy that makes inputs, and the valid ones."""
        read, seeds = self.open(folder)

        def check(data: bytes) -> None:
            with suppress(MmdataError):
                read(data)

        return check, mutated(seeds, self.words), seeds
