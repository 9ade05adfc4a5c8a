"""A job whose tasks misbehave as they are told, for the tests of every engine."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmdata.engines.base import Casualties, Watch
from mmdata.errors import DatasetError, RecordError
from mmdata.files import publishing


class CannotTravelError(Exception):
    """An error that a pickle cannot hold, as many libraries have them."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


@dataclass(frozen=True)
class Job:
    """Writes a file for each task, of its rows and its casualties; some tasks misbehave at their second row."""

    folder: Path
    places: tuple[str, ...] = ("first", "second")

    def __call__(self, task: str, watch: Watch, casualties: Casualties) -> None:
        """Carry out a task of three rows."""
        with publishing(self.folder / task) as file:
            for position in range(3):
                watch.begin(position)
                watch.enter(1)
                file.write(b"a row\n" if position not in casualties else f"{casualties[position]}\n".encode())
                if position == 1 and not casualties:
                    self._misbehave(task)
                watch.end(rejected=position in casualties)

    def _misbehave(self, task: str) -> None:
        match task.partition("-")[0]:
            case "die":
                os._exit(7)
            case "hang":
                time.sleep(1000)
            case "grow":
                np.ones(1 << 40, np.uint8)
            case "refuse":
                raise DatasetError("the folder is damaged")
            case "reject":
                raise RecordError("no picture", "in the row")
            case "stumble":
                raise CannotTravelError("neither", "nor")
            case "orphan":
                os.kill(os.getppid(), signal.SIGKILL)
                time.sleep(1000)
            case "wait":
                self._wait(task)

    def _wait(self, task: str) -> None:
        """Say which process looks after this one, and wait until the test lets it go on."""
        (self.folder / f"{task}.parent").write_text(f"{os.getppid()}")
        while not (self.folder / "go").exists():
            time.sleep(0.05)


class Count:
    """Adds up what is told of progress."""

    def __init__(self) -> None:
        self.rows = self.rejects = 0

    def __call__(self, rows: int, rejects: int) -> None:
        """Add what is told."""
        self.rows, self.rejects = self.rows + rows, self.rejects + rejects
