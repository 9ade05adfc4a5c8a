"""What was opened last is kept, made once, and bounded."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from mmdata.loader.recent import Recent


def test_the_items_used_last_are_kept() -> None:
    """An item is made again only after `capacity` others were used."""
    made: list[int] = []
    recent = Recent(lambda key: made.append(key) or key, capacity=2)  # type: ignore[func-returns-value]
    assert [recent[key] for key in (1, 2, 1, 3, 1, 2)] == [1, 2, 1, 3, 1, 2]
    assert made == [1, 2, 3, 2]


def test_threads_that_ask_at_once_share_one_item() -> None:
    """Eight threads that ask for an item at the same time get the same one."""
    barrier = Barrier(8)
    recent = Recent(lambda _: object(), capacity=1)

    def ask(_: int) -> object:
        barrier.wait()
        return recent[0]

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1


def test_a_failure_is_not_kept() -> None:
    """What could not be made raises, and is tried again when asked for again."""
    attempts: list[int] = []

    def make(key: int) -> int:
        attempts.append(key)
        if len(attempts) == 1:
            raise OSError("not yet")
        return key

    recent = Recent(make, capacity=1)
    with pytest.raises(OSError, match="not yet"):
        recent[5]
    assert recent[5] == 5


@pytest.fixture
def no_collector() -> Iterator[None]:
    """The collector of cycles does nothing meanwhile, as in many training runs."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_a_failure_leaves_nothing_behind() -> None:
    """What stood in the frames of a failure goes with the error, for the thread that made the item and for those that waited."""

    class Large:
        """Something that a frame holds."""

    seen: list[weakref.ref[Large]] = []
    barrier = Barrier(4)

    def fail(_: int) -> int:
        large = Large()
        seen.append(weakref.ref(large))
        raise OSError("not there")

    recent = Recent(fail, capacity=1)

    def ask(_: int) -> None:
        barrier.wait()
        large = Large()
        seen.append(weakref.ref(large))
        with pytest.raises(OSError, match="not there"):
            recent[5]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(4)))
    assert len(seen) > 4
    assert not any(one() for one in seen)
