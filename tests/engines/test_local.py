"""The local engine: what jobs raise arrives, what dead workers leave is removed, and every task is yielded once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mmdata.engines.base import Casualties, Watch
from mmdata.engines.local import LocalEngine
from mmdata.errors import DatasetError, RecordError
from mmdata.files import publishing
from mmdata.limits import Limits


class CannotTravelError(Exception):
    """An error that a pickle cannot hold, as many libraries have them."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


@dataclass(frozen=True)
class Job:
    """Writes a file for each task, of the process that wrote it and of its casualties; some tasks end otherwise."""

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

    @staticmethod
    def _misbehave(task: str) -> None:
        match task:
            case "die":
                os._exit(7)
            case "refuse":
                raise DatasetError("the folder is damaged")
            case "reject":
                raise RecordError("no picture", "in the row")
            case "stumble":
                raise CannotTravelError("neither", "nor")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[LocalEngine]:
    """An engine of two workers."""
    (tmp_path / "work").mkdir()
    with LocalEngine(2, tmp_path / "work", Limits()) as started:
        yield started


def test_every_task_is_yielded_once_in_any_number_of_jobs(engine: LocalEngine, tmp_path: Path) -> None:
    """The same workers serve one job after the other, and all rows are counted."""
    for number in range(2):
        folder = tmp_path / f"work/{number}"
        folder.mkdir()
        tasks = [f"{number}-{count}" for count in range(7)]
        counted: list[tuple[int, int]] = []
        done = list(engine.run(Job(folder), tasks, lambda rows, rejects, found=counted: found.append((rows, rejects))))
        assert sorted(done) == sorted(path.name for path in folder.iterdir()) == tasks
        assert (sum(rows for rows, _ in counted), sum(rejects for _, rejects in counted)) == (21, 0)
    assert list(engine.run(Job(tmp_path), [], lambda *_: None)) == []


def test_a_dead_worker_leaves_nothing_but_its_casualty(engine: LocalEngine, tmp_path: Path) -> None:
    """Half-written files go with the process that wrote them; what it counted is taken back."""
    counted: list[tuple[int, int]] = []
    done = list(engine.run(Job(tmp_path / "work"), ["die", "live"], lambda *news: counted.append(news)))
    assert sorted(done) == ["die", "live"]
    assert "stage='second'" in (tmp_path / "work/die").read_text()
    assert "it ended itself with status 7" in (tmp_path / "work/die").read_text()
    assert not list((tmp_path / "work").rglob("*.tmp"))
    assert (sum(rows for rows, _ in counted), sum(rejects for _, rejects in counted)) == (6, 1)


@pytest.mark.parametrize(
    ("task", "kind", "says"),
    [
        ("refuse", DatasetError, "the folder is damaged"),
        ("reject", RecordError, "no picture: in the row"),
        ("stumble", RuntimeError, "CannotTravelError: neither nor"),
    ],
)
def test_what_a_job_raises_arrives(engine: LocalEngine, tmp_path: Path, task: str, kind: type[Exception], says: str) -> None:
    """With its own type where that can be pickled, and with the traceback of the worker."""
    with pytest.raises(kind, match=says) as caught:
        list(engine.run(Job(tmp_path / "work"), [task], lambda *_: None))
    if kind is not RecordError:  # which pickles by its arguments alone
        assert "_misbehave" in "".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
