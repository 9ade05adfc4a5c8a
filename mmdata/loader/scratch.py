"""Memory that payloads are read into and pictures are decoded into, used again as soon as nobody looks at it any more.

New memory for each payload costs ten times as much as reading it from the page cache: the system hands it out page by page.
"""

from __future__ import annotations

from collections import deque
from threading import local

import numpy as np
from numpy.typing import NDArray

_STEP = 1 << 16
"""Sizes of blocks are multiples of it, so that one that was made for a payload mostly fits the next."""


class Scratch(local):
    """Blocks of memory, other ones in each thread; at most `most` are kept, what is looked at beyond these lives without it.

    Blocks larger than `largest` bytes are not kept: one huge picture should not take its memory for good, in every thread.
    """

    def __init__(self, most: int = 256, largest: int = 1 << 24) -> None:
        self._most, self._largest = most, largest
        self._blocks: deque[bytearray] = deque()

    def __reduce__(self) -> tuple[type[Scratch], tuple[int, int]]:
        """Begin anew in the other process: memory stays behind."""
        return type(self), (self._most, self._largest)

    def take(self, size: int) -> memoryview:
        """Return `size` bytes of any content; they stay the caller's while a view of them is alive."""
        for _ in range(min(2, len(self._blocks))):
            block = self._blocks[0]
            self._blocks.rotate(-1)
            if len(block) >= size and _unseen(block):
                return memoryview(block)[:size]
        block = bytearray(-(-size // _STEP) * _STEP + 1)
        block.pop()  # so that there is room for the byte of `_unseen`
        if size <= self._largest:
            self._blocks.append(block)
        if len(self._blocks) > self._most:
            self._blocks.popleft()
        return memoryview(block)[:size]

    def array(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Return an array of any content, which stays the caller's as `take` says."""
        return np.frombuffer(self.take(int(np.prod(shape))), np.uint8).reshape(shape)


def _unseen(block: bytearray) -> bool:
    """Return whether no view of a block is alive: Python lets none be resized under a view."""
    try:
        block.append(0)
    except BufferError:
        return False
    block.pop()
    return True
