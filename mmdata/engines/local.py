"""The local engine: processes on this machine, each replaced where it dies or hangs."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from mmdata.engines.base import Job, Tick
from mmdata.engines.ledger import MOST_TRIES, Ledger
from mmdata.engines.process import WorkerProcess
from mmdata.engines.worker import Order
from mmdata.errors import MmdataError
from mmdata.files import process_name, remove_leftovers
from mmdata.limits import Limits

T = TypeVar("T")

_POLL_SECONDS = 0.2
_LONGEST_LOOK = 1.0
"""Seconds that may pass between two looks at a worker, at most, as far as it is concerned: when this process was stopped (Ctrl-Z,
a machine put to sleep), its workers were too, and their rows are not to blame."""

_log = logging.getLogger("mmdata.build")


@dataclass
class _Run(Generic[T]):
    """One job on its way through its tasks: those that wait for a worker, and how many are not done."""

    job: Path
    tasks: Sequence[T]
    progress: Tick
    ledger: Ledger
    waiting: deque[int] = field(init=False)
    open: int = field(init=False)

    def __post_init__(self) -> None:
        self.waiting = deque(range(len(self.tasks)))
        self.open = len(self.tasks)

    def count(self, news: tuple[int, int]) -> None:
        """Pass on how many rows and rejects there are since the last time."""
        if any(news):
            self.progress(*news)

    def order(self) -> tuple[int, Order]:
        """Return the next task with its number."""
        number = self.waiting.popleft()
        return number, Order(self.job, self.tasks[number], self.ledger.casualties(number))


def refuse_recursion() -> None:
    """Raise MmdataError in a worker that builds again because it imports the script that started it."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise MmdataError("workers import this script, which would build again: put the call under `if __name__ == '__main__'`")


class LocalEngine:
    """Up to `workers` processes that carry out tasks, by default one a core; the result does not depend on how many there are.

    They start with the first tasks and serve all jobs until the engine is closed; use it in a `with` block.
    """

    def __init__(self, workers: int | None, work: Path, limits: Limits) -> None:
        """Keep the jobs that workers read, and what they print, in the folder `work`, which must exist.

        Several engines may share the folder. What dead workers leave is removed wherever it stands below.
        """
        self._workers = workers or os.cpu_count() or 1
        self._work = work
        self._limits = limits
        self._jobs = 0
        self._job: tuple[Job[Any], Path] | None = None
        self._hired = 0
        self._failed_starts = 0
        self._context = multiprocessing.get_context("spawn")
        self._crew: list[WorkerProcess] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop at once: what is not finished is left for the next run, and half-written files have temporary names."""
        self._dismiss(self._crew)

    def run(self, job: Job[T], tasks: Sequence[T], progress: Tick) -> Iterator[T]:
        """Carry out all tasks; yield each when it is done, in the order of completion."""
        for done in self.looks(job, tasks, progress):
            yield from done

    def looks(self, job: Job[T], tasks: Sequence[T], progress: Tick) -> Iterator[Sequence[T]]:
        """Carry out all tasks as `run` does; yield after each look at the workers, a few times a second, what is done since."""
        if not tasks:
            return
        run = _Run(self._kept(job), tasks, progress, Ledger(job.places))
        looked = time.monotonic()
        try:
            while run.open:
                self._employ(run)
                connection.wait([handle for worker in self._crew for handle in worker.handles], _POLL_SECONDS)
                elapsed, looked = time.monotonic() - looked, time.monotonic()
                seconds = min(elapsed, _LONGEST_LOOK)
                yield [task for worker in tuple(self._crew) for task in self._settled(worker, run, seconds)]
        finally:
            self._dismiss([worker for worker in self._crew if worker.task is not None])

    def _kept(self, job: Job[Any]) -> Path:
        """Return where a job is pickled. The job that was carried out last stands there already, and workers have it open."""
        if self._job is None or self._job[0] is not job:
            self._jobs += 1
            path = self._work / f"job-{process_name()}-{self._jobs}.pickle"
            path.write_bytes(pickle.dumps(job))
            self._job = job, path
        return self._job[1]

    def _employ(self, run: _Run[T]) -> None:
        """Start as many workers as there is work for, and give a task to each that waits for one."""
        while len(self._crew) < min(self._workers, run.open):
            self._hired += 1
            said = self._work / f"worker-{process_name()}-{self._hired}.log"
            self._crew.append(WorkerProcess(self._context, self._limits.memory, said))
        for worker in self._crew:
            if worker.ready and worker.task is None and run.waiting:
                worker.give(*run.order())

    def _settled(self, worker: WorkerProcess, run: _Run[T], seconds: float) -> Iterator[T]:
        """See what became of a worker in the last `seconds`; yield the task that it has finished."""
        answered = worker.answered()
        run.count(worker.look(seconds))
        if answered:
            self._failed_starts = 0
            if (task := worker.task) is not None:
                worker.task = None
                run.open -= 1
                yield run.tasks[task]
        if worker.quiet >= self._limits.seconds:
            worker.stop()
        if worker.died():
            self._replace(worker, run)

    def _replace(self, worker: WorkerProcess, run: _Run[T]) -> None:
        """Take a worker that ended out of the crew, and put its task first in line again."""
        run.count(worker.look(0.0))
        if worker.task is not None:
            run.count(worker.forget())
            run.waiting.appendleft(worker.task)
            self._blame(worker, worker.task, run.ledger)
        elif not worker.ready:
            self._failed_starts += 1
        if self._failed_starts >= MOST_TRIES:
            words = worker.last_words() or " what stands above"
            raise MmdataError(f"worker processes cannot start ({worker.cause()}); the last one said:{words}")
        self._dismiss([worker])

    def _blame(self, worker: WorkerProcess, task: int, ledger: Ledger) -> None:
        """Write down which row is to blame for the end of a worker at a task, and say so."""
        place = ledger.place(worker.sight)
        if worker.quiet >= self._limits.seconds:
            ledger.hung(task, worker.sight, self._limits.seconds)
            _log.warning("a worker process was stopped %s, for longer than limits.seconds; the row is given up", place)
        elif worker.stopped:  # it moved on until it was stopped, and did nothing wrong
            return
        elif ledger.died(task, worker.sight, worker.cause()):
            _log.warning("a worker process died again %s (%s); the row is given up", place, worker.cause())
        else:
            words = worker.last_words() or " nothing"
            _log.warning("a worker process died %s (%s); its task begins again. It said last:%s", place, worker.cause(), words)

    def _dismiss(self, workers: Sequence[WorkerProcess]) -> None:
        """End workers at once, and remove what they leave behind."""
        for worker in workers:
            worker.kill()
        for worker in tuple(workers):
            self._crew.remove(worker)
            remove_leftovers(self._work, worker.close())
