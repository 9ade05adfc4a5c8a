"""A trainer that is killed at any moment leaves nothing to clean, and its last state goes on exactly."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import pytest

from mmdata.loader import Loader, LoaderOptions
from mmdata.loader.testing import assert_equal_batches, stream
from tests.loader.conftest import make_dataset, shared  # noqa: F401 - fixtures

_TRAINER = """
import json, os, sys
from mmdata.loader import Loader, LoaderOptions
from mmdata.loader.testing import stream
out, state = sys.argv[1:]
loader = Loader(out, batch_size=4, seed=3, options=LoaderOptions(window=2, threads=3, prefetch=3))
for batch in stream(loader):
    with open(state + ".new", "w") as file:
        json.dump(loader.state_dict(), file)
    os.replace(state + ".new", state)
"""


def shared_memory() -> set[Path]:
    """Return the named shared memory of the machine, where there is a place for it."""
    return set(Path("/dev/shm").iterdir()) if Path("/dev/shm").is_dir() else set()


@pytest.mark.parametrize("seed", range(4))
def test_a_trainer_that_is_killed_leaves_nothing_to_clean(shared: Path, tmp_path: Path, seed: int) -> None:  # noqa: F811
    """After SIGKILL the dataset folder and shared memory are as before, and the batch after the last state is the next one."""
    before, memory = _files(shared), shared_memory()
    state = tmp_path / "state.json"
    process = subprocess.Popen([sys.executable, "-c", _TRAINER, str(shared), str(state)])
    deadline = time.monotonic() + 120
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(random.Random(seed).uniform(0, 0.5))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert _files(shared) == before
    assert shared_memory() - memory == set()
    saved = json.loads(state.read_text())
    options = LoaderOptions(window=2, threads=1)
    with (
        Loader(shared, batch_size=4, seed=3, options=options) as undisturbed,
        Loader(shared, batch_size=4, seed=3, options=options) as resumed,
    ):
        resumed.load_state_dict(saved)
        undisturbed.load_state_dict({**undisturbed.state_dict(), "order": saved["order"], "epoch": saved["epoch"]})
        expected = islice(stream(undisturbed), saved["step"], saved["step"] + 3)
        for one, other in zip(expected, islice(stream(resumed), 3), strict=True):
            assert_equal_batches(one, other)


def _files(folder: Path) -> dict[str, int]:
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in folder.rglob("*")}
