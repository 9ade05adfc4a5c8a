"""What runs in a worker process: it takes orders from its parent, carries out one after the other, and answers each."""

from __future__ import annotations

import ctypes
import faulthandler
import multiprocessing
import os
import pickle
import re
import resource
import signal
import sys
import threading
import traceback
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import connection
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mmdata.engines.base import Casualties, Job
from mmdata.engines.signs import Signs
from mmdata.interrupts import ignore_interrupts

Answer = Exception | None
"""What a worker sends when it is ready, and after each order: None, or what the job raised."""

_STDOUT, _STDERR = 1, 2
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>


@dataclass(frozen=True)
class Order:
    """One task of the job that is pickled in a file."""

    job: Path
    task: Any
    casualties: Casualties


def serve(pipe: Connection[Answer, Order], signs: Signs, memory: int, said: Path) -> None:
    """Carry out orders until the parent closes the pipe or dies. What libraries print goes to the file `said`.

    The memory that the process may take is `memory` bytes on top of what it holds once a job is loaded.
    """
    _prepare(said)
    pipe.send(None)
    while True:
        try:
            order = pipe.recv()
        except EOFError:
            return
        os.ftruncate(_STDERR, 0)
        pipe.send(_carried_out(order, signs, memory))


def _prepare(said: Path) -> None:
    """One thread for each library, Ctrl-C left to the parent, no life without the parent, and nothing on its terminal.

    OpenCV resizes with Intel's IPP where it can, which rounds otherwise on other processors; its own code is exact on all.
    """
    import cv2
    import pyarrow as pa
    from threadpoolctl import threadpool_limits

    ignore_interrupts()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _follow_parent()
    _print_to(said)
    cv2.setNumThreads(1)
    cv2.ipp.setUseIPP(False)
    threadpool_limits(1)
    pa.allocate_buffer(1)  # Arrow maps a gigabyte for its first one: before memory is limited, so that it does not count


def _follow_parent() -> None:
    """End when the parent does. The kernel sees to it where it can, since a thread of ours may wait for ever for the GIL.

    To the kernel the parent is the thread that started this process; that one runs the engine, so it lives as long.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)

    def follow() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _print_to(said: Path) -> None:
    """Send what this process and its libraries print to a file: decoders written in C print to the descriptors themselves."""
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, _STDOUT)
    os.dup2(descriptor, _STDERR)
    os.close(descriptor)
    faulthandler.enable(_STDERR, all_threads=False)


def _carried_out(order: Order, signs: Signs, memory: int) -> Answer:
    try:
        _job_at(order.job, memory)(order.task, signs, order.casualties)
    except MemoryError:
        # What else this process holds is not known, so it is not used any more; its parent deals with the row as with a death.
        signs.give_up()
        os._exit(1)
    except Exception as error:  # noqa: BLE001 - the parent raises it
        return _sendable(error)
    return None


@lru_cache(maxsize=1)
def _job_at(path: Path, memory: int) -> Job[Any]:
    job: Job[Any] = pickle.loads(path.read_bytes())  # noqa: S301 - the parent wrote it a moment ago
    limit_memory(memory)
    return job


def limit_memory(more: int) -> None:
    """Let this process take `more` bytes of memory on top of what it holds; only Linux counts what is meant."""
    status = Path("/proc/self/status")
    if sys.platform == "linux" and (held := re.search(r"VmData:\s+(\d+) kB", status.read_text(encoding="ascii"))):
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = int(held[1]) * 1024 + more
        resource.setrlimit(resource.RLIMIT_DATA, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


def _sendable(error: Exception) -> Exception:
    """Return an error that survives the pipe and says where it was raised."""
    where = "".join(traceback.format_exception(error))
    error.add_note(f"raised in a worker process:\n{where}")
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - just written
    except Exception:  # noqa: BLE001 - errors of libraries fail in many ways
        return RuntimeError(where)
    return error
