"""Disks that are full or read-only, folders that vanish, and two builds into one folder: said clearly, and nothing half stays."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.accounts import contents, rejects
from tests.faults.commands import command, started
from tests.faults.test_misdeeds import good_texts, recipe
from tests.faults.test_signals import LINGER, wait_for

needs_mount = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None, reason="only root of Linux may mount a disk"
)
TEXTS = [f"text {number} {'x' * 3000}" for number in range(60)]


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """Mount a disk in memory at a folder. Skips the test where that is not allowed, as in most containers."""
    folder.mkdir()
    ended = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False)
    if ended.returncode:
        pytest.skip(f"a disk cannot be mounted here: {ended.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    """Change the size of a disk, or whether it can be written to."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def build(corpus: Path, out: Path) -> tuple[int, str]:
    """Build the texts into a folder; return the exit status and what was said."""
    data = recipe(corpus, TEXTS, stages=["text.normalize"], shards={"rows": 10})
    process = started(command(corpus, data, out))
    _, said = process.communicate(timeout=300)
    return process.returncode, said


def final_files(out: Path) -> dict[str, str]:
    """Return the sha256 of the files that have their final names."""
    return {name: sha256 for name, sha256 in contents(out).items() if not name.startswith(".build/")}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the corpus and its recipe, with an undisturbed dataset of it."""
    folder = tmp_path_factory.mktemp("corpus")
    assert build(folder, folder / "undisturbed")[0] == 0
    return folder


@needs_mount
@pytest.mark.parametrize("size", ["4k", "24k", "96k", "240k"])
def test_a_full_disk_is_said_and_leaves_nothing_half(tmp_path: Path, corpus: Path, size: str) -> None:
    """From one on which nothing fits to one where the last file does not; with more room the same command finishes."""
    with mounted(tmp_path / "disk", f"size={size}") as disk:
        status, said = build(corpus, disk / "out")
        assert status == 2, said
        assert "No space left on device" in said
        assert "make room or name another folder, then run it again" in said
        assert "Traceback" not in said
        assert not (disk / "out/dataset.json").exists()
        wanted = contents(corpus / "undisturbed")
        assert final_files(disk / "out").items() <= wanted.items()
        remount(disk, "size=8m")
        assert build(corpus, disk / "out")[0] == 0
        assert contents(disk / "out") == wanted


@needs_mount
def test_a_disk_that_becomes_read_only_is_said(tmp_path: Path, corpus: Path) -> None:
    """As it does when it fails: before the build, of a complete dataset, and in the midst of it."""
    with mounted(tmp_path / "disk", "size=8m") as disk:
        remount(disk, "ro")
        status, said = build(corpus, disk / "out")
        assert status == 2
        assert "Read-only file system" in said
        assert "Traceback" not in said
        remount(disk, "rw")
        assert build(corpus, disk / "out")[0] == 0
        remount(disk, "ro")
        assert build(corpus, disk / "out")[0] == 0
        assert contents(disk / "out") == contents(corpus / "undisturbed")


def at_first_shard(out: Path) -> bool:
    """Whether a shard has its final name."""
    return (out / "train-000000.tar").exists()


def at_lock(out: Path) -> bool:
    """Whether the folder is held."""
    return (out / ".build/lock").exists()


def at_worker(out: Path) -> bool:
    """Whether a worker writes a shard."""
    return any(out.glob(".build/shards/.*.tmp"))


@pytest.mark.parametrize(
    ("moment", "part"), [(at_lock, ""), (at_worker, ""), (at_first_shard, ""), (at_first_shard, "train-000000.tar")]
)
def test_a_folder_that_vanishes_ends_the_build(tmp_path: Path, moment: Callable[[Path], bool], part: str) -> None:
    """All of it or a part: the build ends, says so, and calls nothing complete; the same command makes it whole."""
    out = tmp_path / "out"
    data = recipe(tmp_path, good_texts(6), stages=LINGER, shards={"rows": 2})
    process = started(command(tmp_path, data, out))
    wait_for(lambda: moment(out))
    subprocess.run(["rm", "-rf", str(out / part)], check=False)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2, said
    assert "something removed it while the dataset was built; run the same command again" in said
    assert "Traceback" not in said
    assert not (out / "dataset.json").exists()
    for folder in (out, tmp_path / "undisturbed"):
        again = started(command(tmp_path, data, folder))
        assert (again.communicate(timeout=120), again.returncode)[1] == 0
    assert contents(out) == contents(tmp_path / "undisturbed")
    assert rejects(out) == []


@pytest.mark.parametrize("left", ["index", "artifacts"])
def test_an_empty_folder_that_a_removal_left_is_no_obstacle(tmp_path: Path, left: str) -> None:
    """Whoever removed the folder while it was being made may have missed one; with a file in it, it is somebody's."""
    out = tmp_path / "out"
    (out / left).mkdir(parents=True)
    (out / left / "notes").touch()
    status, said = build(tmp_path / "corpus", out)
    assert (status, f"holds '{left}', which no build wrote" in said) == (2, True)
    (out / left / "notes").unlink()
    status, said = build(tmp_path / "corpus", out)
    assert status == 0, said


def test_the_second_build_into_a_folder_is_refused(tmp_path: Path) -> None:
    """It says which process on which machine holds the folder; the first is not disturbed."""
    out = tmp_path / "out"
    data = recipe(tmp_path, good_texts(4), stages=LINGER, shards={"rows": 2})
    first = started(command(tmp_path, data, out))
    wait_for(lambda: at_worker(out))
    second = started(command(tmp_path, data, out))
    _, said = second.communicate(timeout=60)
    assert second.returncode == 2
    assert said.strip().endswith(
        f"another build holds this folder (process {first.pid} on {socket.gethostname()}); wait for it, or stop it"
    )
    assert (first.communicate(timeout=120), first.returncode)[1] == 0


def test_the_lock_of_a_build_that_was_killed_is_no_obstacle(tmp_path: Path) -> None:
    """The lock file stays, with the name of a process that is no more; the lock does not."""
    out = tmp_path / "out"
    data = recipe(tmp_path, good_texts(4), stages=LINGER, shards={"rows": 2})
    first = started(command(tmp_path, data, out))
    wait_for(lambda: at_worker(out))
    first.kill()
    first.communicate()
    assert f"process {first.pid} " in (out / ".build/lock").read_text()
    again = started(command(tmp_path, data, out))
    assert (again.communicate(timeout=120), again.returncode)[1] == 0
