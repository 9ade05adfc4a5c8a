"""The Ray engine: tasks run on the nodes of a cluster, each under a supervisor that does there what the local engine does here.

Every node must have mmdata in the same version, and the dataset folder and the corpus under the same paths: tasks leave their
results on the disk, and only news of them cross the network.
"""

from __future__ import annotations

import logging
import os
import pickle
import secrets
import signal
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import ray
from ray.exceptions import RayError

from mmdata.engines.base import Job, Tick
from mmdata.engines.ledger import MOST_TRIES
from mmdata.engines.supervisor import Greeting, News, Site, Supervisor
from mmdata.errors import MmdataError
from mmdata.limits import Limits
from mmdata.versions import versions

T = TypeVar("T")

_POLL_SECONDS = 1.0
_SECONDS_TO_CLOSE = 10.0
_SECONDS_TO_ANSWER = 5.0
_PATIENCE_SECONDS = 30.0
"""How long nothing may run for want of a free CPU until the log says so."""

_log = logging.getLogger("mmdata.build")


class _Lost(Exception):  # noqa: N818 - no error of ours: the task is done again
    """A supervisor is no more: its process was killed, its node went away, or it cannot start there."""


class _RemoteSupervisor:
    """A supervisor on some node, as the driver sees it.

    It is `ready` once it has greeted; `task` is the number of what it is at, None while it has nothing to do. What it says comes
    by `awaited`.
    """

    def __init__(self, site: Site) -> None:
        """Ask the cluster for a place; it may take a while until there is one."""
        self.ready = False
        self.task: int | None = None
        self._site = site
        self._mark = f"supervisor-{secrets.token_hex(8)}"
        self._counted = Counter[str]()
        self._actor: Any = _actor_class().remote(site)
        self.awaited: Any = self._actor.greet.remote(self._mark)

    def welcome(self) -> None:
        """Hear its greeting. Raises MmdataError where its node cannot build the same bytes to the same place."""
        greeting: Greeting = self._got(self.awaited)
        self.awaited, self.ready = None, True
        refuse_other_versions(greeting)
        mark = self._site.work / self._mark
        if greeting.trouble or not mark.exists():
            found = (
                f"cannot write there ({greeting.trouble})" if greeting.trouble else "writes where this machine does not see it"
            )
            raise MmdataError(
                f"{self._site.work.parent}: {greeting.process} {found}; name a folder on a file system that all nodes of the "
                "cluster share, under the same path"
            )
        mark.unlink()

    def give(self, task: int, job_number: int, job: ray.ObjectRef[bytes], content: object) -> None:
        """Let it carry out a task, which is called by this number. It must be ready and without one."""
        self.task = task
        self._counted.clear()
        self.awaited = self._actor.carry_out.options(num_returns="streaming").remote(job_number, job, content)

    def news(self) -> News | None:
        """Return what it has to tell of its task; None when the task is done. Raises what the job raised."""
        try:
            news: News = self._got(next(self.awaited))
        except StopIteration:
            self.task, self.awaited = None, None
            return None
        self._counted.update(rows=news.rows, rejects=news.rejects)
        return news

    def forget(self) -> tuple[int, int]:
        """Return what has to be added to the counts of rows and rejects where the task is done again."""
        return -self._counted["rows"], -self._counted["rejects"]

    @staticmethod
    def _got(reference: Any) -> Any:  # noqa: ANN401 - whatever the supervisor returns
        try:
            return ray.get(reference)
        except RayError as error:
            raise _Lost(str(error).strip().replace("\n", "\n  ")) from error

    def closing(self) -> ray.ObjectRef[None]:
        """Let it end its worker process and tidy up, as soon as its task is done."""
        closed: ray.ObjectRef[None] = self._actor.close.remote()
        return closed

    def kill(self) -> None:
        """End it at once; its worker process ends with it."""
        ray.kill(self._actor)
        (self._site.work / self._mark).unlink(missing_ok=True)


def _actor_class() -> Any:  # noqa: ANN401 - Ray makes it
    """One CPU each, on as many nodes as there are. Ray starts none anew: a task belongs to whoever is ready first."""
    return ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD")(Supervisor)


def refuse_other_versions(greeting: Greeting) -> None:
    """Raise MmdataError where a node has other versions of what makes bytes than this machine."""
    here = versions()
    names = sorted(name for name in here.keys() | greeting.versions.keys() if here.get(name) != greeting.versions.get(name))
    if names:
        lines = "".join(f"\n  {name}: {greeting.versions.get(name)} there, {here.get(name)} here" for name in names)
        raise MmdataError(f"{greeting.process} would make other bytes; install the same versions on all nodes:{lines}")


@dataclass
class _Run(Generic[T]):
    """One job on its way through its tasks: those that wait for one of `most` supervisors, and how many are not done."""

    number: int
    job: ray.ObjectRef[bytes]
    tasks: Sequence[T]
    progress: Tick
    most: int
    waiting: deque[int] = field(init=False)
    open: int = field(init=False)
    losses: Counter[int] = field(init=False, default_factory=Counter)

    def __post_init__(self) -> None:
        self.waiting = deque(range(len(self.tasks)))
        self.open = len(self.tasks)


class RayEngine:
    """Up to `workers` supervisors on a cluster, by default one for each of its CPUs; the result does not depend on how many.

    The cluster is the one that Ray finds (RAY_ADDRESS, or one that `ray start` made here), else one on this machine that lasts as
    long as the engine; use it in a `with` block.
    """

    def __init__(self, workers: int | None, work: Path, limits: Limits) -> None:
        """Let tasks work in the folder `work`, which must exist, on a file system that all nodes share."""
        self._workers = workers
        self._site = Site(work.absolute(), Path.cwd(), limits)
        self._connected = False
        self._jobs = 0
        self._failed_starts = 0
        self._crew: list[_RemoteSupervisor] = []

    def __enter__(self) -> Self:
        if not ray.is_initialized():
            _connect()
            self._connected = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop; at once where there was an error: what is not finished is left for the next run."""
        if kind is None:
            idle = [supervisor.closing() for supervisor in self._crew if supervisor.ready]
            ray.wait(idle, num_returns=len(idle), timeout=_SECONDS_TO_CLOSE) if idle else None
        self._dismiss(self._crew)
        if self._connected:
            ray.shutdown()

    def run(self, job: Job[T], tasks: Sequence[T], progress: Tick) -> Iterator[T]:
        """Carry out all tasks; yield each when it is done, in the order of completion."""
        if not tasks:
            return
        self._jobs += 1
        most = self._workers or int(ray.cluster_resources().get("CPU", 0)) or 1  # type: ignore[no-untyped-call]
        run = _Run(self._jobs, ray.put(pickle.dumps(job)), tasks, progress, most)
        patience = _Patience()
        try:
            while run.open:
                self._employ(run)
                for supervisor in self._next():
                    yield from self._settled(supervisor, run)
                patience.look(any(supervisor.ready for supervisor in self._crew))
        finally:
            self._dismiss([supervisor for supervisor in self._crew if supervisor.task is not None])

    def _employ(self, run: _Run[T]) -> None:
        """Ask for as many supervisors as there is work for, and give a task to each that waits for one."""
        while len(self._crew) < min(run.most, run.open):
            self._crew.append(_RemoteSupervisor(self._site))
        for supervisor in self._crew:
            if supervisor.ready and supervisor.task is None and run.waiting:
                number = run.waiting.popleft()
                supervisor.give(number, run.number, run.job, run.tasks[number])

    def _next(self) -> list[_RemoteSupervisor]:
        """Wait until one has something to tell, and return it; none where that takes long."""
        awaited = [(supervisor, supervisor.awaited) for supervisor in self._crew if supervisor.awaited is not None]
        ready, _ = ray.wait([reference for _, reference in awaited], num_returns=1, timeout=_POLL_SECONDS)
        return [supervisor for supervisor, reference in awaited if any(reference is one for one in ready)]

    def _settled(self, supervisor: _RemoteSupervisor, run: _Run[T]) -> Iterator[T]:
        """Hear what one has to tell; yield the task that it has finished."""
        try:
            if not supervisor.ready:
                supervisor.welcome()
                self._failed_starts = 0
                return
            task, news = supervisor.task, supervisor.news()
        except _Lost as loss:
            self._replace(supervisor, run, loss)
            return
        assert task is not None
        if news is None:
            run.open -= 1
            yield run.tasks[task]
            return
        for line in news.logged:
            _log.warning("%s", line)
        if news.raised is not None:
            raise news.raised
        if news.rows or news.rejects:
            run.progress(news.rows, news.rejects)

    def _replace(self, supervisor: _RemoteSupervisor, run: _Run[T], loss: _Lost) -> None:
        """Take a supervisor that is no more out of the crew, and put its task first in line again."""
        if (task := supervisor.task) is None:
            self._failed_starts += 1
            if self._failed_starts >= MOST_TRIES:
                raise MmdataError(
                    f"supervisors cannot start on the cluster; is mmdata installed on every node? The last:\n  {loss}"
                )
        else:
            if any(supervisor.forget()):
                run.progress(*supervisor.forget())
            run.waiting.appendleft(task)
            run.losses[task] += 1
            if run.losses[task] >= MOST_TRIES:
                raise MmdataError(
                    f"supervisors were lost {MOST_TRIES} times at the same task; run the build again. The last:\n  {loss}"
                )
            _log.warning("a supervisor was lost; its task begins again. Ray says:\n  %s", loss)
        self._dismiss([supervisor])

    def _dismiss(self, supervisors: Sequence[_RemoteSupervisor]) -> None:
        """End supervisors at once."""
        for supervisor in tuple(supervisors):
            supervisor.kill()
            self._crew.remove(supervisor)


class _Patience:
    """Says in the log, once, that the cluster has no free CPU."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._said = False

    def look(self, runs: bool) -> None:  # noqa: FBT001 - what was seen
        """Look whether anything runs."""
        if runs:
            self._since = time.monotonic()
        elif not self._said and time.monotonic() - self._since > _PATIENCE_SECONDS:
            self._said = True
            _log.warning(
                "no supervisor could start for %g seconds: the Ray cluster has no free CPU, or its nodes are slow",
                _PATIENCE_SECONDS,
            )


def _connect() -> None:
    """Connect to the cluster that there is, or start one here; print nothing, and leave the handling of signals as it was."""
    address = os.environ.get("RAY_ADDRESS", "")
    _refuse_unreachable(address)
    handler = signal.getsignal(signal.SIGTERM)
    wait = threading.Timer(
        _PATIENCE_SECONDS, _log.warning, ["the Ray cluster does not answer yet; `ray status` says whether it runs"]
    )
    wait.start()
    try:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        raise MmdataError(
            f"cannot connect to a Ray cluster ({error}); set RAY_ADDRESS, or end a stale one by `ray stop`"
        ) from error
    finally:
        wait.cancel()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _refuse_unreachable(address: str) -> None:
    """Raise MmdataError where nobody listens at the value of RAY_ADDRESS: Ray itself would try for many minutes."""
    if address in {"", "auto", "local"}:
        return
    host, colon, port = address.rpartition(":")
    if "://" in address or not colon or not port.isdecimal():
        raise MmdataError(
            f"RAY_ADDRESS: {address!r} is not HOST:PORT of a cluster; Ray clients (ray://) cannot see what tasks write"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), _SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise MmdataError(f"RAY_ADDRESS: nobody answers at {address} ({error}); is the cluster running?") from error
