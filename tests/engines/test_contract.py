"""What every engine does: all tasks are yielded once, what jobs raise arrives, and no row of a task can stop it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import mkdtemp

import pytest

from mmdata.engines.base import Engine
from mmdata.engines.local import LocalEngine
from mmdata.engines.ray import RayEngine
from mmdata.errors import DatasetError, RecordError
from mmdata.limits import Limits
from tests.engines.jobs import Count, Job

pytestmark = pytest.mark.xdist_group("ray")
LIMITS = Limits(seconds=5)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all engines share."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture
def folder(work: Path) -> Path:
    """A folder of a test's own below it."""
    return Path(mkdtemp(dir=work))


@pytest.fixture(scope="module", params=["local", "ray"])
def engine(request: pytest.FixtureRequest, work: Path) -> Iterator[Engine]:
    """Each engine with two workers; it serves all tests, one after the other."""
    kind: AbstractContextManager[Engine]
    if request.param == "local":
        kind = LocalEngine(2, work, LIMITS)
    else:
        request.getfixturevalue("cluster")
        kind = RayEngine(2, work, LIMITS)
    with kind as started:
        yield started


def test_every_task_is_yielded_once_in_any_number_of_jobs(engine: Engine, folder: Path) -> None:
    """The same workers serve one job after the other, and all rows are counted."""
    for number in range(2):
        tasks, count = [f"{number}-{task}" for task in range(7)], Count()
        assert sorted(engine.run(Job(folder), tasks, count)) == tasks
        assert all((folder / task).exists() for task in tasks)
        assert (count.rows, count.rejects) == (21, 0)
    assert list(engine.run(Job(folder), [], Count())) == []


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ("die", "Reject(kind='error', reason='worker process died', detail='it ended itself with status 7')"),
        ("grow", "Reject(kind='error', reason='memory exhausted', detail='a worker took more than limits.memory allows')"),
        ("hang", "Reject(kind='error', reason='took longer than limits.seconds', detail='5 seconds')"),
    ],
)
def test_a_fatal_row_costs_itself_alone(engine: Engine, folder: Path, task: str, says: str) -> None:
    """Its task is done again without it, what was counted is taken back, and other tasks are as ever."""
    count = Count()
    assert sorted(engine.run(Job(folder), [task, "live"], count)) == sorted([task, "live"])
    assert (folder / task).read_text() == f"a row\nCasualty(stage='second', reject={says})\na row\n"
    assert (folder / "live").read_text() == "a row\na row\na row\n"
    assert (count.rows, count.rejects) == (6, 1)
    assert not list(folder.glob(".*.tmp"))


@pytest.mark.parametrize(
    ("task", "kind", "says"),
    [
        ("refuse", DatasetError, "the folder is damaged"),
        ("reject", RecordError, "no picture: in the row"),
        ("stumble", RuntimeError, "CannotTravelError: neither nor"),
    ],
)
def test_what_a_job_raises_arrives(engine: Engine, folder: Path, task: str, kind: type[Exception], says: str) -> None:
    """With its own type where that can be pickled, and with the traceback of the worker."""
    with pytest.raises(kind, match=says) as caught:
        list(engine.run(Job(folder), [task], Count()))
    assert type(caught.value) is kind
    if kind is not RecordError:  # which pickles by its arguments alone
        assert "_misbehave" in "".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
