"""Ctrl-C while processes start: a terminal sends it to every process of a command, and the one that was called alone answers."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


@contextmanager
def held_back() -> Iterator[None]:
    """Hold Ctrl-C back in this thread, and in processes that are started here until they say what it does to them.

    A process inherits what is held back, so its first imports cannot be interrupted, which would print a traceback. Here, an
    interrupt that came meanwhile is raised at the end.
    """
    # Python starts this helper of its own with the first process, and lets signals through again after it.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_interrupts() -> None:
    """Leave Ctrl-C to the parent, in a process that was started while it was held back."""
    _let_through(signal.SIG_IGN)


def end_at_interrupts() -> None:
    """Let Ctrl-C end this process, which was started while it was held back, at once and without a word."""
    _let_through(signal.SIG_DFL)


def _let_through(action: signal.Handlers) -> None:
    signal.signal(signal.SIGINT, action)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
