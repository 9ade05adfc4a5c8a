"""The progress of long work: bars on a terminal; anywhere else a plain line now and then, which a log can hold."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from mmdata.cli.main import printable

if TYPE_CHECKING:
    from mmdata.builder import Progress

_QUIET_SECONDS = 10.0
_EVERY_SECONDS = 30.0


@dataclass(frozen=True)
class Work:
    """What is being done, and how far it is: so many units of a total, which is 0 where it is not known yet."""

    name: str
    unit: str
    done: int = 0
    total: int = 0
    remark: str = ""


Show = Callable[[Work], None]


@contextmanager
def shown(first: Work) -> Iterator[Show]:
    """Show on standard error how far work is, from what is done first: bars on a terminal, lines anywhere else.

    Without a terminal, work that is done in a few seconds says nothing, so that what is on standard error means something.
    """
    with _bars() if sys.stderr.isatty() else _Lines() as show:
        show(first)
        yield show


@contextmanager
def building() -> Iterator[Callable[[Progress], None]]:
    """Show the progress of a build."""
    with shown(Work("preparing", "rows")) as show:

        def tell(now: Progress) -> None:
            name = "building" if now.phase == "build" else f"learning {now.phase}"
            show(Work(name, "rows", now.done, now.total, f"{now.rejects:,} rejected" if now.rejects else ""))

        yield tell


@contextmanager
def _bars() -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[remark]}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def show(work: Work) -> None:
            if work.name not in tasks:
                for one in bars.tasks:  # what had no total has come to its end, too
                    bars.update(one.id, visible=bool(one.total))
                tasks[work.name] = bars.add_task(work.name, total=None, rate="", remark="")
            task = tasks[work.name]
            speed = bars.tasks[task].speed
            rate = f"{_rate(speed)} {work.unit}/s" if speed else ""
            bars.update(task, completed=work.done, total=work.total or None, rate=rate, remark=work.remark)

        yield show


@dataclass
class _Lines(AbstractContextManager[Show]):
    """Prints a line when work has lasted for some seconds, then now and then, and where something else begins.

    It comes from a thread: it must also come while one row takes long.
    """

    begun: float = field(default_factory=time.monotonic)
    _latest: Work | None = None
    _start: tuple[float, int] = (0.0, 0)
    """When the latest work began, and how much of it was done then."""
    _lock: Lock = field(default_factory=Lock)
    _ended: Event = field(default_factory=Event)
    _thread: Thread | None = None

    def __enter__(self) -> Show:
        self._thread = Thread(target=self._speak, name="progress", daemon=True)
        self._thread.start()
        return self.show

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        assert self._thread is not None
        self._thread.join()

    def show(self, work: Work) -> None:
        """Take note of how far work is; say it at once where it has just begun."""
        with self._lock:
            is_new = self._latest is None or self._latest.name != work.name
            self._latest = work
            if is_new:
                self._start = time.monotonic(), work.done
                if time.monotonic() - self.begun >= _QUIET_SECONDS:
                    self._say()

    def _speak(self) -> None:
        # The thread that waits for workers answers signals, and at times it holds them back; they are not to come in here.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        wait = _QUIET_SECONDS
        while not self._ended.wait(wait):
            wait = _EVERY_SECONDS
            with self._lock:
                self._say()

    def _say(self) -> None:
        if self._latest is not None:
            began, done = self._start
            line = _line(self._latest, self._latest.done - done, time.monotonic() - began)
            with suppress(OSError):  # whoever read it is gone; the work goes on
                sys.stderr.write(f"{printable(line)}\n")
                sys.stderr.flush()


def _line(work: Work, done_here: int, seconds: float) -> str:
    """Return how far work is, of which so much was done in these last seconds, on one line."""
    if not work.total:
        return f"mmdata: {work.name}"
    rate = done_here / seconds if seconds > 0 else 0.0
    parts = [f"{work.done:,} of {work.total:,} {work.unit}"]
    if rate > 0:
        parts += [f"{_rate(rate)} {work.unit}/s"]
        parts += [f"about {_duration((work.total - work.done) / rate)} left"] if work.done < work.total else []
    return f"mmdata: {work.name}: {', '.join(filter(None, [*parts, work.remark]))}"


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
