"""The local engine: a pool of processes on this machine."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from multiprocessing import connection
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from mmdata.errors import MmdataError

T_contra = TypeVar("T_contra", contravariant=True)
T = TypeVar("T")

Tick = Callable[[int, int], None]
"""Called by a job after each row: rows done since the last call, rejects among them."""

_POLL_SECONDS = 0.2


class Job(Protocol[T_contra]):
    """What is done with each task. It is pickled once to each worker and may open what it needs there, lazily."""

    def __call__(self, task: T_contra, tick: Tick) -> None:
        """Carry out one task and leave its result on the disk."""


class LocalEngine:
    """A pool of `workers` processes that carries out tasks; the result does not depend on how many there are.

    The processes start with the first task and serve all jobs until the engine is closed; use it in a `with` block.
    """

    def __init__(self, workers: int, work: Path) -> None:
        """Keep the jobs that workers read in the folder `work`, which must exist."""
        self._workers = workers
        self._work = work
        self._jobs = 0
        self._pool: ProcessPoolExecutor | None = None
        self._context = multiprocessing.get_context("spawn")
        self._counters = self._context.Array("q", 2)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._pool is not None:
            _stop(self._pool)

    def run(self, job: Job[T], tasks: Sequence[T], progress: Tick) -> Iterator[T]:
        """Carry out all tasks; yield each when it is done, in the order of completion."""
        if not tasks:
            return
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._workers, mp_context=self._context, initializer=_start_worker, initargs=(self._counters,)
            )
        self._jobs += 1
        path = self._work / f"job-{self._jobs}.pickle"
        path.write_bytes(pickle.dumps(job))
        try:
            pending = {self._pool.submit(_work, path, task): task for task in tasks}
            yield from _finished(pending, lambda: progress(*_take(self._counters)))
        except BrokenProcessPool as error:
            raise MmdataError(
                "a worker process died: out of memory, a decoder that crashed, or what stands above; run the build again to go on"
            ) from error


def refuse_recursion() -> None:
    """Raise MmdataError in a worker that builds again because it imports the script that started it."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise MmdataError("workers import this script, which would build again: put the call under `if __name__ == '__main__'`")


def _finished(pending: dict[Future[None], T], poll: Callable[[], None]) -> Iterator[T]:
    while pending:
        done, _ = wait(pending, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
        poll()
        for future in sorted(done, key=id):
            task = pending.pop(future)
            future.result()
            yield task


def _take(counters: Any) -> tuple[int, int]:  # noqa: ANN401 - a synchronized array has no public type
    with counters.get_lock():
        taken = counters[0], counters[1]
        counters[0] = counters[1] = 0
    return taken


def _stop(pool: ProcessPoolExecutor) -> None:
    """Stop at once: what is not finished is left for the next run, and half-written files have temporary names."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()


_tick: Tick | None = None
"""Set once in each worker process, which belongs to the pool."""


def _start_worker(counters: Any) -> None:  # noqa: ANN401 - see _take
    """Prepare a worker process: one thread for each library, Ctrl-C left to the parent, and no life without the parent."""
    global _tick  # noqa: PLW0603 - see its docstring
    import cv2
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_follow_parent, daemon=True).start()
    cv2.setNumThreads(1)
    threadpool_limits(1)

    def tick(rows: int, rejects: int) -> None:
        with counters.get_lock():
            counters[0] += rows
            counters[1] += rejects

    _tick = tick


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


@lru_cache(maxsize=1)
def _job_at(path: Path) -> Job[Any]:
    job: Job[Any] = pickle.loads(path.read_bytes())  # noqa: S301 - the parent wrote it a moment ago
    return job


def _work(path: Path, task: Any) -> None:  # noqa: ANN401 - whatever the job takes
    assert _tick is not None
    _job_at(path)(task, _tick)
