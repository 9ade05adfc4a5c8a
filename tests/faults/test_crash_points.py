"""A build may be killed before any call that changes the disk and in the midst of any write, and the power may fail there.

Run again, it gives the same bytes; and at no moment does a folder call itself complete that is not.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import mmdata
from tests.faults import crash_main
from tests.incremental import Corpus, contents

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the harness looks files up in /proc")

SCENARIOS = ("build", "update", "repair")
SHARES = 12
"""How many tests share all cases of a scenario among them."""


@pytest.fixture
def site() -> Iterator[Path]:
    """A folder in memory, where there is one: thousands of fsyncs cost nothing there."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder) / "site"


def told(site: Path, scenario: str, first: int, step: int) -> dict[str, Any]:
    """Try some cases of a scenario in a process of its own; return what it tells."""
    command = [sys.executable, "-m", "tests.faults.crash_driver", str(site), scenario, str(first), str(step)]
    # Threads do not live on in forked processes.
    alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=alone)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def wrong(found: dict[str, Any]) -> list[str]:
    """Return what is wrong, one line a case, with the point that the build ended before."""
    return [f"{case['end']} before {found['points'][case['point']]}: {case['wrong']}" for case in found["cases"] if case["wrong"]]


@pytest.mark.parametrize(("scenario", "step"), [("build", 97), ("update", 101), ("repair", 103)])
def test_it_goes_on_from_points_here_and_there(site: Path, scenario: str, step: int) -> None:
    """Some points and ways to end of each scenario, spread over the whole run."""
    found = told(site, scenario, step // 2, step)
    assert len(found["cases"]) >= 3
    assert wrong(found) == []


@pytest.mark.slow
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_it_goes_on_from_every_point(site: Path, scenario: str, share: int) -> None:
    """Every point and way to end: the tests of a scenario have a share each."""
    found = told(site, scenario, share, SHARES)
    assert wrong(found) == []
    assert len(found["cases"]) >= 20


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_final_name_is_given_to_what_is_on_the_disk(site: Path, scenario: str) -> None:
    """Every file is flushed after its last write and before it is renamed, and the folder that it came to after that."""
    points = told(site, scenario, 10**6, 1)["points"]
    assert {"create", "write", "fsync", "rename", "unlink", "mkdir", "rmdir"} <= {point["kind"] for point in points}
    renamed = [number for number, point in enumerate(points) if point["kind"] == "rename"]
    assert any(points[number]["target"] == "out/dataset.json" for number in renamed) or scenario == "repair"
    for number in renamed:
        source, target = points[number]["path"], points[number]["target"]
        of_source = [point["kind"] for point in points[:number] if point["path"] == source]
        if of_source:
            assert of_source[-2:] == ["write", "fsync"], f"{source} became {target} after {of_source}"
        assert {"kind": "fsync", "path": str(Path(target).parent), "target": ""} == points[number + 1]


def test_dataset_json_comes_last_and_goes_first(site: Path) -> None:
    """Nothing of a dataset is written after `dataset.json`, and nothing changed before the old one is gone from the disk."""
    points = told(site, "update", 10**6, 1)["points"]
    changes = [
        (point["kind"], name)
        for point in points
        if point["kind"] in {"rename", "unlink", "write", "create"}
        for name in (point["path"], point["target"])
        if name and not name.startswith("out/.build")
    ]
    assert changes[0] == ("unlink", "out/dataset.json")
    assert changes[-1] == ("rename", "out/dataset.json")
    gone = next(number for number, point in enumerate(points) if (point["kind"], point["path"]) == changes[0])
    assert points[gone + 1] == {"kind": "fsync", "path": "out", "target": ""}


def build(folder: Path, out: str, number: int) -> int:
    """Build with two worker processes that end with the build at the point of this number; return how it ended."""
    command = [sys.executable, "-m", "tests.faults.crash_main", "recipe.yaml", str(folder / out), "points", str(number)]
    (folder / "points").unlink(missing_ok=True)
    return subprocess.run(command, cwd=folder, start_new_session=True, check=False, env=environment()).returncode


def environment() -> dict[str, str]:
    """The environment, with the path of these tests, since the build runs in another folder."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus, a recipe, and a dataset that was built without trouble; the points of that stand beside it."""
    folder = tmp_path_factory.mktemp("crash")
    corpus = Corpus.make(folder / "corpus", 10, shards={"rows": 3}, max_rejects=5)
    (corpus.folder / "2.png").write_bytes(b"no picture")
    corpus.write()
    (folder / "recipe.yaml").write_text(yaml.safe_dump(corpus.data))
    assert build(folder, "undisturbed", -1) == 0
    (folder / "points").rename(folder / "all points")
    assert mmdata.validate(folder / "undisturbed").ok
    return folder


def test_the_points_of_all_processes_are_counted(undisturbed: Path) -> None:
    """Workers write the shards, and their points are among those counted."""
    points = crash_main.read(undisturbed / "all points")
    assert len(points) > 100
    for kind in ("create", "write", "fsync", "rename"):
        assert any(one == kind and path.startswith(".build/shards/") for one, path, _ in points), kind
    assert any(one == "rename" and target == "dataset.json" for one, _, target in points)


@pytest.mark.parametrize("parts", [3, pytest.param(40, marks=pytest.mark.slow)])
def test_a_build_with_workers_goes_on_wherever_all_its_processes_are_killed(undisturbed: Path, parts: int) -> None:
    """Points spread over the whole build; each time a fresh process goes on, whose points are of course others."""
    count = len(crash_main.read(undisturbed / "all points"))
    wanted = contents(undisturbed / "undisturbed")
    for part in range(1, parts + 1):
        out = undisturbed / "out"
        assert build(undisturbed, "out", count * part // (parts + 1)) == -signal.SIGKILL
        assert build(undisturbed, "out", -1) == 0
        assert contents(out) == wanted
        shutil.rmtree(out)


def test_a_build_that_is_killed_again_and_again_comes_to_its_end(undisturbed: Path) -> None:
    """What is done is never done again, so each run comes a little further, though each is killed after as many points."""
    count, ends = len(crash_main.read(undisturbed / "all points")), []
    while not ends or ends[-1] != 0:
        ends.append(build(undisturbed, "again", count // 3))
        assert len(ends) <= 12
    assert set(ends[:-1]) == {-signal.SIGKILL}
    assert len(ends) > 2
    assert contents(undisturbed / "again") == contents(undisturbed / "undisturbed")
