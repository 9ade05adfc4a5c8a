"""The Ray engine: what is lost of the cluster costs time alone, and a cluster that cannot build the dataset is told so."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from mmdata.engines.ray import RayEngine, refuse_other_versions
from mmdata.engines.supervisor import Greeting
from mmdata.errors import MmdataError
from mmdata.limits import Limits
from mmdata.versions import versions
from tests.engines.jobs import Count, Job

pytestmark = pytest.mark.xdist_group("ray")


@pytest.fixture
def engine(cluster: Cluster, tmp_path: Path) -> Iterator[RayEngine]:
    """An engine of as many workers as the cluster has CPUs."""
    del cluster
    with RayEngine(None, tmp_path, Limits()) as started:
        yield started


def supervisor_of(task: Path) -> int:
    """Return the process that looks after a task, as soon as it is at work."""
    said = task.with_suffix(".parent")
    end = time.monotonic() + 60
    while not (said.exists() and said.read_text()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)
    return int(said.read_text())


def test_a_supervisor_that_is_killed_costs_no_row(engine: RayEngine, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever kills a process of Ray's: its task begins again, and the log says so; all rows are counted once."""
    count = Count()
    tasks = ["wait-1", "quick-1", "wait-2", "quick-2", "quick-3"]
    done = []
    with caplog.at_level(logging.WARNING, "mmdata.build"):
        for task in engine.run(Job(tmp_path), tasks, count):
            done.append(task)
            if len(done) == 3:
                os.kill(supervisor_of(tmp_path / "wait-1"), signal.SIGKILL)
                supervisor_of(tmp_path / "wait-2")
                (tmp_path / "go").touch()
    assert sorted(done) == sorted(tasks)
    assert all((tmp_path / task).read_text() == "a row\n" * 3 for task in tasks)
    assert (count.rows, count.rejects) == (15, 0)
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("a supervisor was lost; its task begins again. Ray says:")


@pytest.mark.slow
def test_a_node_that_goes_away_costs_no_row(cluster: Cluster, engine: RayEngine, tmp_path: Path) -> None:
    """Its tasks are done by those that are left."""
    third = cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    tasks = [f"wait-{number}" for number in range(6)]
    running = engine.run(Job(tmp_path), [*tasks, "quick"], Count())
    (tmp_path / "go").touch()
    done = [next(running)]
    cluster.remove_node(third, allow_graceful=False)
    assert sorted([*done, *running]) == sorted([*tasks, "quick"])
    assert all((tmp_path / task).read_text() == "a row\n" * 3 for task in tasks)


@pytest.mark.slow
def test_a_task_that_loses_every_supervisor_ends_the_run(engine: RayEngine, tmp_path: Path) -> None:
    """It is not tried for ever, and what became of the last one is said."""
    with pytest.raises(MmdataError, match="supervisors were lost 3 times at the same task; run the build again") as caught:
        list(engine.run(Job(tmp_path), ["orphan"], Count()))
    assert "worker" in str(caught.value)


@pytest.mark.parametrize(
    ("folders", "says"),
    [
        (("driver/work", "nodes/work"), "writes where this machine does not see it"),
        (("driver/work", "nodes"), "cannot write there"),
    ],
)
def test_a_folder_that_is_not_shared_is_refused(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: tuple[str, ...], says: str
) -> None:
    """Where the path of the folder means another one to the nodes, or none, nothing is built."""
    del cluster
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "nodes")
    engine = RayEngine(1, Path("/proc/self/cwd/work"), Limits())
    monkeypatch.chdir(tmp_path / "driver")
    with engine, pytest.raises(MmdataError, match=f"{says}.*name a folder on a file system that all nodes of the cluster share"):
        list(engine.run(Job(tmp_path), ["quick"], Count()))
    assert not (tmp_path / "quick").exists()


def test_a_node_with_other_versions_is_refused() -> None:
    """It could make other bytes; the difference is said."""
    refuse_other_versions(Greeting("here-1", versions(), ""))
    with pytest.raises(MmdataError, match=r"there-2 would make other bytes; .*\n  numpy: 1.0 there, .* here$"):
        refuse_other_versions(Greeting("there-2", versions() | {"numpy": "1.0"}, ""))


def test_signals_are_handled_as_before(cluster: Cluster, tmp_path: Path) -> None:
    """Ray's own handler would end the process with a status that says nothing."""
    del cluster
    before = signal.getsignal(signal.SIGTERM)
    with RayEngine(1, tmp_path, Limits()):
        assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("ray://127.0.0.1:10001", "'ray://127.0.0.1:10001' is not HOST:PORT of a cluster"),
        ("nowhere", "'nowhere' is not HOST:PORT of a cluster"),
        ("127.0.0.1:1", "nobody answers at 127.0.0.1:1 .*is the cluster running"),
    ],
)
def test_a_cluster_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, says: str) -> None:
    """With the address that was tried, and without starting another one."""
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(MmdataError, match=says), RayEngine(1, tmp_path, Limits()):
        pass
