"""Keeps the latest result of a pure function, so that a value which many rows share is worked on once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

A = TypeVar("A")
R = TypeVar("R")


class Latest(Generic[A, R]):
    """A pure function of one immutable value; it answers at once when the very same object comes again."""

    def __init__(self, function: Callable[[A], R]) -> None:
        self._function = function
        self._kept: tuple[A, R] | None = None

    def __call__(self, value: A) -> R:
        """Return the function's result for a value."""
        if self._kept is None or self._kept[0] is not value:
            self._kept = value, self._function(value)
        return self._kept[1]
