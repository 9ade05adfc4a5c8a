"""What runs on the nodes of a cluster: the local engine with one worker process, and what it tells the driver."""

from __future__ import annotations

import logging
import os
import pickle
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmdata.engines.base import Job
from mmdata.engines.local import LocalEngine
from mmdata.files import process_name
from mmdata.limits import Limits
from mmdata.versions import versions

_SECONDS_BETWEEN_NEWS = 1.0

_log = logging.getLogger("mmdata.build")


@dataclass(frozen=True)
class Site:
    """Where a build is at work: its folder for work in progress, the driver's current folder, and what a row may cost."""

    work: Path
    current: Path
    limits: Limits


@dataclass(frozen=True)
class Greeting:
    """What a supervisor says when it has started: where it is, which versions make bytes there, and why it cannot write."""

    process: str
    versions: dict[str, str]
    trouble: str


@dataclass(frozen=True)
class News:
    """What came of a task since the last news: rows done, rejects among them, what was logged, and what the job raised."""

    rows: int = 0
    rejects: int = 0
    logged: tuple[str, ...] = ()
    raised: Exception | None = None

    def __bool__(self) -> bool:
        return self != News()


class Supervisor:
    """Carries out tasks with one worker process beside it, so that no row can harm it; it is called by one thread."""

    def __init__(self, site: Site) -> None:
        """Stand in the driver's current folder, where there is one: recipes may name files as seen from there."""
        if site.current.is_dir():
            os.chdir(site.current)
        self._site = site
        self._engine = LocalEngine(1, site.work, site.limits)
        self._job: Job[Any] | None = None
        self._job_number = 0
        self._inbox = _Inbox()
        _log.addHandler(self._inbox)

    def greet(self, mark: str) -> Greeting:
        """Leave a file of the name `mark` in the build's folder, which the driver looks for."""
        try:
            (self._site.work / mark).touch()
            trouble = ""
        except OSError as error:
            trouble = error.strerror or str(error)
        return Greeting(process_name(), versions(), trouble)

    def carry_out(self, number: int, pickled: bytes, task: object) -> Iterator[News]:
        """Carry out a task of the job of this number; tell of it about once a second, and at the end."""
        try:
            yield from self._carried_out(self._loaded(number, pickled), task)
        except Exception as error:  # noqa: BLE001 - the driver raises it
            yield replace(self._inbox.emptied(), raised=error)

    def _loaded(self, number: int, pickled: bytes) -> Job[Any]:
        """Unpickle each job once: the engine knows a job that it has had before as the same object."""
        if self._job is None or self._job_number != number:
            self._job, self._job_number = pickle.loads(pickled), number  # noqa: S301 - the driver wrote it a moment ago
        return self._job

    def _carried_out(self, job: Job[Any], task: object) -> Iterator[News]:
        told = time.monotonic()
        for done in self._engine.looks(job, [task], self._inbox.count):
            if done or time.monotonic() - told >= _SECONDS_BETWEEN_NEWS:
                told = time.monotonic()
                if news := self._inbox.emptied():
                    yield news

    def close(self) -> None:
        """End the worker process and remove what it leaves behind."""
        self._engine.close()


class _Inbox(logging.Handler):
    """Gathers what there is to tell."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._news = News()

    def count(self, rows: int, rejects: int) -> None:
        """Add rows that are done, and rejects among them."""
        self._news = replace(self._news, rows=self._news.rows + rows, rejects=self._news.rejects + rejects)

    def emit(self, record: logging.LogRecord) -> None:
        """Add a line of the log."""
        self._news = replace(self._news, logged=(*self._news.logged, record.getMessage()))

    def emptied(self) -> News:
        """Return the news and have none."""
        news, self._news = self._news, News()
        return news
