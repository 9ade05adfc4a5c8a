"""The local engine: a pool of processes on this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any, Generic, Protocol, TypeVar

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


@dataclass(frozen=True)
class LocalEngine(Generic[T]):
    """Runs tasks in `workers` processes. The result does not depend on how many."""

    workers: int

    def run(self, job: Job[T], tasks: Sequence[T], progress: Tick) -> Iterator[T]:
        """Carry out all tasks; yield each when it is done, in the order of completion."""
        if not tasks:
            return
        context = multiprocessing.get_context("spawn")
        counters = context.Array("q", 2)
        processes = min(self.workers, len(tasks))
        pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_start_worker, initargs=(job, counters))
        try:
            pending = {pool.submit(_work, task): task for task in tasks}
            yield from _finished(pending, lambda: progress(*_take(counters)))
        except BrokenProcessPool as error:
            raise MmdataError(
                "a worker process died (out of memory, or a decoder crashed); run the build again to resume"
            ) from error
        finally:
            _stop(pool)


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


_worker: tuple[Job[Any], Tick] | None = None


def _start_worker(job: Job[Any], counters: Any) -> None:  # noqa: ANN401 - see _take
    """Prepare a worker process: one thread for each library, Ctrl-C left to the parent, and no life without the parent."""
    global _worker  # noqa: PLW0603 - the process belongs to the pool
    import cv2
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()
    cv2.setNumThreads(1)
    threadpool_limits(1)

    def tick(rows: int, rejects: int) -> None:
        with counters.get_lock():
            counters[0] += rows
            counters[1] += rejects

    _worker = job, tick


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _work(task: Any) -> None:  # noqa: ANN401 - whatever the job takes
    assert _worker is not None
    job, tick = _worker
    job(task, tick)
