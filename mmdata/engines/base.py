"""What an engine is: it carries out the tasks of a job somewhere, and no row of a task can stop it.

A job says through its `Watch` which row it is at. Where a row kills the process that works on it, or is at it for too long, the
engine runs the task again and hands the job a `Casualty` in place of that row. So a job is a pure function of its task and its
casualties, and knows nothing of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from mmdata.record import Reject

T_contra = TypeVar("T_contra", contravariant=True)
T = TypeVar("T")

Tick = Callable[[int, int], None]
"""Told of progress: rows done since the last call, and rejects among them; below zero where a task has to be done again."""


@dataclass(frozen=True)
class Casualty:
    """A row that no worker survives, or that takes too long: the stage it was in, and the reject that stands for it."""

    stage: str
    reject: Reject


Casualties = Mapping[int, Casualty]
"""The casualties of a task by the row's position in it."""


class Watch(Protocol):
    """What a job tells while it works. Every call is a store or two into memory, so that it can be made for each stage."""

    def begin(self, position: int) -> None:
        """The row at this position of the task begins, in the first of the job's places."""

    def enter(self, place: int) -> None:
        """The row, or a record of it, is now at the job's place of this number."""

    def made(self) -> None:
        """A record is made: what comes next has its full time again."""

    def end(self, *, rejected: bool) -> None:
        """The row is done; it gave a record unless it was `rejected`."""


class Job(Protocol[T_contra]):
    """What is done with each task. It is pickled once to each worker and may open what it needs there, lazily."""

    @property
    def places(self) -> Sequence[str]:
        """The names of the stages that a row passes; `Watch.enter` says their numbers."""

    def __call__(self, task: T_contra, watch: Watch, casualties: Casualties) -> None:
        """Carry out one task, its casualties taken for what they stand for, and leave the result on the disk."""


class Engine(Protocol):
    """Carries out jobs; what they leave on the disk does not depend on where and in how many places that is done."""

    def run(self, job: Job[T], tasks: Sequence[T], progress: Tick) -> Iterator[T]:
        """Carry out all tasks; yield each when it is done, in the order of completion.

        Raises what a job raises, and MmdataError where tasks fail again and again outside of any row.
        """


class Unwatched:
    """The watch of who runs rows without an engine: nobody looks."""

    def begin(self, position: int) -> None:
        """Do nothing."""

    def enter(self, place: int) -> None:
        """Do nothing."""

    def made(self) -> None:
        """Do nothing."""

    def end(self, *, rejected: bool) -> None:
        """Do nothing."""
