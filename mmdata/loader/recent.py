"""A bounded memory of what was opened last, shared by threads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """Makes an item when it is first asked for, once whatever the number of threads, and keeps the `capacity` used last.

    An item that falls out lives on until the last thread lets go of it. What could not be made is not kept: the error goes to
    all who wait for it, and the next one to ask tries again.
    """

    def __init__(self, make: Callable[[int], T], capacity: int) -> None:
        self._make = make
        self._capacity = capacity
        self._lock = Lock()
        # An item in a tuple is made; waiting for a future, even one that is done, takes longer than all else here.
        self._items: OrderedDict[int, Future[T] | tuple[T]] = OrderedDict()

    def __getitem__(self, key: int) -> T:
        with self._lock:
            item = self._items.get(key)
            missing = item is None
            if item is None:
                item = self._items[key] = Future()
                while len(self._items) > self._capacity:
                    self._items.popitem(last=False)
            else:
                self._items.move_to_end(key)
        if isinstance(item, tuple):
            return item[0]
        try:
            return self._made(key, item) if missing else item.result()
        finally:
            # A future holds its error, the error this frame, and that what called it: all would stay until the collector comes.
            del item

    def _made(self, key: int, item: Future[T]) -> T:
        try:
            made = self._make(key)
        except BaseException as error:
            with self._lock:
                if self._items.get(key) is item:
                    del self._items[key]
            item.set_exception(error)
            del item  # as above
            raise
        with self._lock:
            if self._items.get(key) is item:
                self._items[key] = (made,)
        item.set_result(made)
        return made
