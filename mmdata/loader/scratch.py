"""Memory that payloads are read into, used again as soon as nobody looks at it any more.

New memory for each payload costs ten times as much as reading it from the page cache: the system hands it out page by page.
"""

from __future__ import annotations

from collections import deque
from threading import local

_SMALLEST = 1 << 16
_MOST = 256
"""Blocks that a thread keeps; where more are looked at, the next ones are not kept."""


class Scratch(local):
    """Blocks of memory of one thread; each thread has its own."""

    def __init__(self) -> None:
        self._blocks: deque[bytearray] = deque()

    def take(self, size: int) -> memoryview:
        """Return `size` bytes of any content; they stay the caller's while a view of them is alive."""
        for _ in range(min(2, len(self._blocks))):
            block = self._blocks[0]
            self._blocks.rotate(-1)
            if len(block) >= size and _unseen(block):
                return memoryview(block)[:size]
        block = bytearray(max(_SMALLEST, 1 << (size - 1).bit_length()))
        self._blocks.append(block)
        if len(self._blocks) > _MOST:
            self._blocks.popleft()
        return memoryview(block)[:size]


def _unseen(block: bytearray) -> bool:
    """Return whether no view of a block is alive: Python lets none be resized under a view."""
    try:
        block.append(0)
    except BufferError:
        return False
    block.pop()
    return True
