"""Memory for payloads, decoded pictures and batches, used again as soon as nobody looks at it any more.

New memory for each payload costs ten times as much as reading it from the page cache: the system hands it out page by page.
"""

from __future__ import annotations

import math
import sys
from collections import deque
from threading import local

import torch

_STEP = 1 << 16
"""Sizes of blocks are multiples of it, large ones of a quarter of their size: what was made for one mostly fits the next."""

_SLACK = 4
"""A column may keep so many times its own memory: users keep small columns of many batches, and let go of the large ones."""


class Scratch(local):
    """Blocks of memory, other ones in each thread; at most `most` are kept, what is looked at beyond these lives without it.

    Blocks larger than `largest` bytes are not kept: one huge picture should not take its memory for good, in every thread.
    `looks` is the number of blocks that are looked at before a new one is made; one that is more than `slack` times as large as
    what is asked for is passed over.
    """

    def __init__(self, most: int = 256, largest: int = 1 << 24, looks: int = 2, slack: int = sys.maxsize) -> None:
        self._most, self._largest, self._looks, self._slack = most, largest, looks, slack
        self._blocks: deque[bytearray] = deque()

    def __reduce__(self) -> tuple[type[Scratch], tuple[int, int, int, int]]:
        """Begin anew in the other process: memory stays behind."""
        return type(self), (self._most, self._largest, self._looks, self._slack)

    def take(self, size: int) -> memoryview:
        """Return `size` bytes of any content; they stay the caller's while a view of them is alive."""
        looks, nearest = min(self._looks, len(self._blocks)), (0, 0)
        for look in range(looks):
            block = self._blocks[0]
            self._blocks.rotate(-1)
            if len(block) > size * self._slack or not _unseen(block):
                continue
            if len(block) >= size:
                return memoryview(block)[:size]
            nearest = max(nearest, (len(block), look))
        step = max(_STEP, 1 << max(size.bit_length() - 3, 0))
        block = bytearray(-(-size // step) * step + 1)
        block.pop()  # so that there is room for the byte of `_unseen`
        if size <= self._largest:
            if nearest[0]:  # it is free but too small; the new block takes its place, or blocks would gather up to `most`
                del self._blocks[nearest[1] - looks]
            self._blocks.append(block)
        if len(self._blocks) > self._most:
            self._blocks.popleft()
        return memoryview(block)[:size]


class BatchMemory:
    """Memory for the columns of batches: page-locked with `pin`, else blocks of which each thread keeps `most` to use again.

    Columns smaller than a block get memory of their own, which costs little.
    Page-locked memory is kept by torch itself, which also waits for copies out of it before it is used again.
    """

    def __init__(self, most: int = 0, *, pin: bool = False) -> None:
        self.pinned = pin
        self._most = most
        self._scratch = Scratch(most, sys.maxsize, most, _SLACK)

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Return a tensor of any content."""
        size = math.prod(shape) * dtype.itemsize
        if self.pinned or size < _STEP or not self._most:
            return torch.empty(shape, dtype=dtype, pin_memory=self.pinned)
        return torch.frombuffer(self._scratch.take(size), dtype=dtype).reshape(shape)


def _unseen(block: bytearray) -> bool:
    """Return whether no view of a block is alive: Python lets none be resized under a view."""
    try:
        block.append(0)
    except BufferError:
        return False
    block.pop()
    return True
