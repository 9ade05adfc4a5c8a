"""Whoever ends a build, its workers end with it, and the same command finishes it; one that is only stopped loses no row."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from mmdata.interrupts import end_at_interrupts, held_back, ignore_interrupts
from tests.faults.accounts import contents, payloads, rejects
from tests.faults.commands import command, started, without_progress
from tests.faults.test_misdeeds import good_texts, recipe

LINGER = ["text.normalize", "tests.faults.misdeeds:Linger"]


def lingering(folder: Path, out: str, texts: list[str], **changes: object) -> subprocess.Popen[str]:
    """Start a build of these texts."""
    return started(command(folder, recipe(folder, texts, **changes), folder / out))


@pytest.fixture
def children() -> Iterator[list[subprocess.Popen[str]]]:
    """Builds that are ended with the test, whatever becomes of it."""
    held: list[subprocess.Popen[str]] = []
    yield held
    for process in held:
        if living(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def living(session: int) -> list[str]:
    """Return the processes of a session that are not yet ended."""
    found = subprocess.run(["ps", "-o", "stat=,args=", "-g", str(session)], capture_output=True, text=True, check=False)
    return [line for line in found.stdout.splitlines() if not line.startswith("Z")]


def wait_for(what: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def at_work(out: Path) -> bool:
    """Whether a worker has begun to write a shard."""
    return any(out.glob(".build/**/*.tar.*.tmp"))


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_ended_build_leaves_no_process_and_can_be_finished(
    tmp_path: Path, children: list[subprocess.Popen[str]], sent: signal.Signals, status: int
) -> None:
    """The exit status says which signal it was; workers in the midst of a row end at once; the bytes are the same in the end."""
    texts = good_texts(4)
    process = lingering(tmp_path, "out", texts, stages=LINGER, shards={"rows": 2})
    children.append(process)
    wait_for(lambda: at_work(tmp_path / "out"))
    process.send_signal(sent)
    _, said = process.communicate(timeout=30)
    assert process.returncode == status
    assert without_progress(said).strip() == "mmdata: interrupted; run the same command again to go on"
    assert not living(process.pid)
    assert not (tmp_path / "out/dataset.json").exists()
    for out in ("out", "undisturbed"):
        again = lingering(tmp_path, out, texts, stages=LINGER, shards={"rows": 2})
        children.append(again)
        assert (again.communicate(timeout=120), again.returncode)[1] == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")


def test_ctrl_c_while_workers_start_prints_no_traceback(tmp_path: Path, children: list[subprocess.Popen[str]]) -> None:
    """A terminal sends it to all processes at once, those included whose first imports are not done."""
    process = lingering(tmp_path, "out", good_texts(4), stages=LINGER, shards={"rows": 2})
    children.append(process)
    wait_for(lambda: any("multiprocessing.spawn" in line for line in living(process.pid)))
    os.killpg(process.pid, signal.SIGINT)
    said = without_progress(process.communicate(timeout=60)[1])
    assert (said.strip(), process.returncode) == (
        "mmdata: interrupted; run the same command again to go on",
        130,
    )


@pytest.mark.parametrize("ends", [False, True])
def test_a_process_hears_of_ctrl_c_when_it_has_said_what_it_does(ends: bool) -> None:  # noqa: FBT001 - a case
    """Until then it is held back; then it ends the process in silence, or is as if it had never come."""
    context = multiprocessing.get_context("spawn")
    pipe, other = context.Pipe()
    process = context.Process(target=interrupted, args=(other, ends))
    with held_back():
        process.start()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    other.close()
    assert pipe.poll(60)
    assert pipe.recv() == "imported"
    process.join(60)
    assert process.exitcode == (-signal.SIGINT if ends else 0)


def interrupted(pipe: Connection[str, str], ends: bool) -> None:  # noqa: FBT001 - as above
    """Be interrupted once more before Ctrl-C is let through, and say so."""
    os.kill(os.getpid(), signal.SIGINT)
    pipe.send("imported")
    (end_at_interrupts if ends else ignore_interrupts)()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a worker that holds the GIL cannot know that its parent is gone")
def test_a_stuck_worker_ends_with_its_parent(tmp_path: Path, children: list[subprocess.Popen[str]]) -> None:
    """Even one that lets no thread run, when the parent is killed without a word."""
    process = lingering(tmp_path, "out", ["hold the GIL"], limits={"seconds": 1000})
    children.append(process)
    wait_for(lambda: at_work(tmp_path / "out"))
    process.kill()
    process.wait()
    wait_for(lambda: not living(process.pid))


def test_a_build_that_was_stopped_for_a_while_loses_no_row(tmp_path: Path, children: list[subprocess.Popen[str]]) -> None:
    """While everything stands still (Ctrl-Z, a machine that sleeps), nobody is late."""
    process = lingering(tmp_path, "out", good_texts(6), stages=LINGER, limits={"seconds": 8})
    children.append(process)
    wait_for(lambda: at_work(tmp_path / "out"))
    os.killpg(process.pid, signal.SIGSTOP)
    time.sleep(10)
    os.killpg(process.pid, signal.SIGCONT)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert len(payloads(tmp_path / "out")) == 6
    assert rejects(tmp_path / "out") == []
