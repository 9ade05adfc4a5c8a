"""Memory is used again when nobody looks at it, and never before."""

from __future__ import annotations

import pickle
from collections import deque
from pathlib import Path
from threading import Thread

import torch

from mmdata.loader import ShardedRecords
from mmdata.loader.scratch import BatchMemory, Scratch
from mmdata.rng import rng_for


def test_memory_is_used_again_once_it_is_unseen() -> None:
    """A block that has no view left is the next one given."""
    scratch = Scratch()
    first = scratch.take(1000)
    first[:] = b"a" * 1000
    del first
    assert scratch.take(1000) == b"a" * 1000


def test_what_is_looked_at_is_left_alone() -> None:
    """However much is taken, views keep their content, also parts of views."""
    scratch = Scratch()
    kept = []
    for number in range(600):
        block = scratch.take(70_000 if number % 7 == 0 else 100)
        block[:] = bytes([number % 251]) * len(block)
        kept.append(block[10:20] if number % 3 else block)
        if number % 5 == 0:
            kept[-1] = memoryview(b"")
    for number, view in enumerate(kept):
        assert set(view.tolist()) <= {number % 251}
        assert len(view) == 0 if number % 5 == 0 else len(view) >= 10


def test_threads_share_no_memory() -> None:
    """Each thread has blocks of its own, also of the same object."""
    scratch = Scratch()
    mine = scratch.take(8)
    mine[:] = b"mine...."
    del mine
    theirs: list[bytes] = []
    thread = Thread(target=lambda: theirs.append(bytes(scratch.take(8))))
    thread.start()
    thread.join()
    assert theirs == [bytes(8)]


def test_undecoded_records_keep_their_content(shared: Path) -> None:
    """Payloads of many records, read together, are those that each has alone."""
    records = ShardedRecords(shared)
    together = records.payloads(range(len(records)))
    for index, raw in enumerate(together):
        alone = {extension: bytes(payload) for extension, payload in records.payloads([index])[0].payloads.items()}
        assert {extension: bytes(payload) for extension, payload in raw.payloads.items()} == alone
        assert alone["txt"].decode() == records[index].fields["text"]


def test_a_huge_block_is_not_kept() -> None:
    """What is larger than the limit is given, and given up again; what is smaller is kept beside it."""
    scratch = Scratch(largest=1 << 16)
    scratch.take(8)[:] = b"kept...."
    scratch.take(1 << 17)[:] = bytes(1 << 17)
    assert scratch.take(8) == b"kept...."
    assert len(scratch.take(1 << 17)) == 1 << 17
    assert len(scratch._blocks) == 1


def test_a_pickled_copy_begins_anew() -> None:
    """Memory stays behind, settings go along."""
    scratch = Scratch(3, 1000, 1, 9)
    scratch.take(8)
    copy = pickle.loads(pickle.dumps(scratch))
    assert copy.__reduce__() == scratch.__reduce__() == (Scratch, (3, 1000, 1, 9))
    assert not copy._blocks


def test_columns_use_the_memory_of_columns_that_are_gone() -> None:
    """A tensor, or a view of it, keeps its memory; of one that is gone another one is made, also of another type and size."""
    memory = BatchMemory(4)
    first = memory.empty((2, 3, 50_000), torch.float32)
    place, row = first.data_ptr(), first.fill_(7.0)[1]
    del first
    second = memory.empty((1_000_000,), torch.uint8).fill_(1)
    assert second.data_ptr() != place
    assert torch.equal(row, torch.full((3, 50_000), 7.0))
    del row
    assert memory.empty((100_000,), torch.int64).data_ptr() == place
    assert memory.empty((0, 5), torch.int64).shape == (0, 5)


def test_a_column_that_is_kept_keeps_little_more_than_itself() -> None:
    """A small column takes neither the memory of a large one that is gone, nor a block: users keep labels of many batches."""
    memory = BatchMemory(4)
    large = memory.empty((10, 1_000_000), torch.uint8)
    place = large.data_ptr()
    del large
    assert memory.empty((100, 1000), torch.uint8).data_ptr() != place
    labels = memory.empty((100,), torch.int64)
    assert labels.untyped_storage().nbytes() == 800
    assert memory.empty((9, 1_000_000), torch.uint8).data_ptr() == place


def test_blocks_that_are_free_do_not_gather() -> None:
    """A free block that is too small makes place for the one that is asked for: what is held is what was in use at one time."""
    scratch, rng = Scratch(), rng_for(0, "sizes")
    kept = deque[memoryview](maxlen=3)
    for size in rng.integers(1, 1 << 20, 500).tolist():
        kept.append(scratch.take(size))
    assert len(scratch._blocks) <= len(kept) + 2
    assert sum(map(len, scratch._blocks)) < (len(kept) + 2) * 5 << 18


def test_columns_of_different_sizes_do_not_drive_each_other_out() -> None:
    """Batch after batch, each column comes into the memory of its like."""
    memory = BatchMemory(8)

    def batch(largest: int) -> list[torch.Tensor]:
        return [memory.empty((size,), torch.uint8) for size in (100_000, largest, 1_000_000)]

    first = batch(10_000_000)
    places = [column.data_ptr() for column in first]
    del first
    for _ in range(9):
        assert [column.data_ptr() for column in batch(9_000_000)] == places
    larger = batch(20_000_000)
    assert [column.data_ptr() for column in larger][::2] == places[::2]
    del larger
    assert len(memory._scratch._blocks) == 3
